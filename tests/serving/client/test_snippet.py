"""The client that is printed for a model is valid Python with the right names, shapes and types."""

from __future__ import annotations

import ast
from typing import Any

from portinf.serving.client.description import render
from portinf.serving.client.snippet import snippet, tensors

CONFIG: dict[str, Any] = {
    "name": "it's",
    "max_batch_size": 8,
    "input": [
        {"name": "x", "data_type": "TYPE_FP32", "dims": ["-1", "3"], "optional": False},
        {"name": "text", "data_type": "TYPE_STRING", "dims": [2]},
        {"name": "flag", "data_type": "TYPE_BOOL", "dims": [1]},
        {"name": "extra", "data_type": "TYPE_FP32", "dims": [1], "optional": True},
    ],
    "output": [{"name": "y", "data_type": "TYPE_INT64", "dims": [1]}],
}


def test_tensors_have_the_batch_axis_and_protocol_types() -> None:
    found = [(tensor.name, tensor.datatype, tensor.shape) for tensor in tensors(CONFIG, "input")]
    assert found == [("x", "FP32", (-1, -1, 3)), ("text", "BYTES", (-1, 2)), ("flag", "BOOL", (-1, 1))]
    assert tensors({**CONFIG, "max_batch_size": 0}, "output")[0].shape == (1,)


def test_the_script_is_valid_and_complete() -> None:
    script = snippet(CONFIG, "127.0.0.1:8000")
    ast.parse(script)
    assert "import tritonclient.http as triton" in script
    assert 'triton.InferenceServerClient("127.0.0.1:8000")' in script
    assert "np.zeros((1, 1, 3), dtype=np.float32)" in script
    assert "np.zeros((1, 1), dtype=bool)" in script
    assert 'np.full((1, 2), b"text", dtype=object)' in script
    assert "result.as_numpy('y')" in script
    assert "extra" not in script
    assert "tritonclient.grpc" in snippet(CONFIG, "127.0.0.1:8001", "grpc")


def test_names_are_texts_of_the_script_and_never_code() -> None:
    evil = "x'\"\nimport os\nos.system('touch EXECUTED')\n# \\ {0} \x1b[31m"
    tensor = {"name": evil, "data_type": "TYPE_FP32", "dims": [1]}
    script = snippet({"name": evil, "max_batch_size": 0, "input": [tensor], "output": [tensor]}, "127.0.0.1:8000")
    tree = ast.parse(script)
    assert [node.names[0].name for node in tree.body if isinstance(node, ast.Import)] == ["numpy", "tritonclient.http"]
    assert sum(isinstance(node, ast.Constant) and node.value == evil for node in ast.walk(tree)) == 4
    addresses = {"http": "h", "grpc": "g", "metrics": "m"}
    text = render({**addresses, "models": [{"name": evil, "versions": [1], "client": script}]})
    comments = [line for line in text.splitlines() if line.startswith("# Model ")]
    assert len(comments) == 1
    assert "import os" not in text.splitlines()
    assert "\x1b" not in text


def test_a_sequence_model_is_asked_with_a_whole_sequence() -> None:
    script = snippet({**CONFIG, "sequence_batching": {}}, "127.0.0.1:8000")
    assert "inputs, sequence_id=1, sequence_start=True, sequence_end=True)" in script


def test_largest_sizes_are_named_beside_the_values() -> None:
    told = {"portinf_maximum.x.1": {"string_value": "200"}, "other": {"string_value": "1"}}
    script = snippet({**CONFIG, "parameters": told}, "127.0.0.1:8000")
    ast.parse(script)
    assert "# the model is right for axis 1 of 'x' up to 200\nvalues = np.zeros((1, 1, 3), dtype=np.float32)" in script
    assert tensors({**CONFIG, "parameters": told}, "input")[0].maximums == {1: 200}
    assert "is right for" not in snippet(CONFIG, "127.0.0.1:8000")
