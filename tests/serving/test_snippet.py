"""The client that is printed for a model is valid Python with the right names, shapes and types."""

from __future__ import annotations

import ast
from typing import Any

from portinf.serving.snippet import snippet, tensors

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


def test_a_sequence_model_is_asked_with_a_whole_sequence() -> None:
    script = snippet({**CONFIG, "sequence_batching": {}}, "127.0.0.1:8000")
    assert "inputs, sequence_id=1, sequence_start=True, sequence_end=True)" in script
