"""A kernel that ends its process on empty tensors is a refusal, and the next request is answered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, load, save

from portinf.core.errors import RunnerError
from portinf.ort import isolated as isolated_module
from portinf.runners.onnx import OnnxRuntimeRunner


def _einsum(path: Path) -> Path:
    ends = {"a": ["b", "n", 4], "c": ["b", "m", 4], "y": ["b", "n", "m"]}
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in ends.items()}
    node = helper.make_node("Einsum", ["a", "c"], ["y"], equation="bic,bjc->bij")
    graph = helper.make_graph([node], "g", [values["a"], values["c"]], [values["y"]])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), str(path))
    return path


def _ask(runner: OnnxRuntimeRunner, batch: int, n: int, m: int) -> tuple[int, ...]:
    inputs = {"a": np.ones((batch, n, 4), np.float32), "c": np.ones((batch, m, 4), np.float32)}
    return runner.infer(inputs)["y"].shape


def test_an_empty_batch_does_not_end_this_process(tmp_path: Path) -> None:
    with OnnxRuntimeRunner(_einsum(tmp_path / "m.onnx"), name="onnx") as runner:
        try:
            assert _ask(runner, 0, 3, 2) == (0, 3, 2)
        except RunnerError as error:
            assert str(error).startswith("onnx: ")
        assert _ask(runner, 2, 3, 2) == (2, 3, 2)


def test_a_child_that_dies_is_one_line_and_starts_again(tmp_path: Path) -> None:
    with OnnxRuntimeRunner(_einsum(tmp_path / "m.onnx"), name="onnx") as runner:
        isolated = runner._session._isolated
        assert isolated is not None
        empty = {"a": np.ones((1, 0, 4), np.float32), "c": np.ones((1, 2, 4), np.float32)}
        assert isolated.infer(empty)["y"].shape == (1, 0, 2)
        assert isolated_module._CHILD._process is not None
        isolated_module._CHILD._process.kill()
        isolated_module._CHILD._process.wait()
        with pytest.raises(RunnerError, match=r"^onnx: ONNX Runtime crashed \(signal 9\)$"):
            isolated.infer(empty)
        assert isolated.infer(empty)["y"].shape == (1, 0, 2)


def test_sessions_share_one_process_that_ends_with_the_last(tmp_path: Path) -> None:
    """A file that is written again under its name is opened again: sessions are distinguished by more than their path."""
    path = _einsum(tmp_path / "m.onnx")
    with OnnxRuntimeRunner(path) as first:
        assert _ask(first, 1, 0, 2) == (1, 0, 2)
        process = isolated_module._CHILD._process
        model = load(str(path))
        model.graph.node[0].attribute[0].s = b"bic,bjc->bji"
        model.graph.output[0].type.tensor_type.shape.dim[1].dim_param = "m"
        model.graph.output[0].type.tensor_type.shape.dim[2].dim_param = "n"
        save(model, str(path))
        with OnnxRuntimeRunner(path) as second:
            assert _ask(second, 1, 0, 2) == (1, 2, 0)
            assert _ask(first, 1, 0, 2) == (1, 0, 2)
        assert isolated_module._CHILD._process is process is not None and process.poll() is None
    assert isolated_module._CHILD._process is None and process.poll() is not None
