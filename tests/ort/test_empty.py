"""ONNX Runtime ends the whole process in an LSTM or GRU without rows: such requests are answered isolated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from portinf.core.errors import RunnerError
from portinf.runners.onnx import OnnxRuntimeRunner


@pytest.mark.parametrize(("kind", "gates"), [("LSTM", 4), ("GRU", 3)])
def test_no_rows(kind: str, gates: int, tmp_path: Path) -> None:
    weights = [
        numpy_helper.from_array(np.full((1, gates * 4, size), 0.1, np.float32), name) for name, size in (("w", 3), ("r", 4))
    ]
    graph = helper.make_graph(
        [helper.make_node(kind, ["x", "w", "r"], ["all", "y"], hidden_size=4)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["steps", "rows", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, "rows", 4])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with OnnxRuntimeRunner(tmp_path / "m.onnx") as runner:
        assert runner.infer({"x": np.ones((3, 2, 3), np.float32)})["y"].shape == (1, 2, 4)
        with pytest.raises(RunnerError, match="ONNX Runtime crashed"):
            runner.infer({"x": np.ones((3, 0, 3), np.float32)})
        assert runner.infer({"x": np.ones((3, 2, 3), np.float32)})["y"].shape == (1, 2, 4)
