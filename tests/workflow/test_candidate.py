"""What a conversion does with an exported file: held against the standard, and the source asked no more often than needed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from portinf.errors import CannotError
from portinf.samples import Array, Arrays, Batch
from portinf.sources.process import SourceProcess
from portinf.workflow.candidate import _check_standard
from portinf.workflow.sourcing import SourcingOptions, open_source


def _model(operator: str) -> onnx.ModelProto:
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in "xy"]
    weight = onnx.numpy_helper.from_array(np.ones((2, 2), np.float32), "w")
    node = helper.make_node(operator, ["x", "w"], ["y"])
    graph = helper.make_graph([node], "g", value[:1], value[1:], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


@pytest.mark.parametrize("external", [False, True])
def test_a_file_against_the_standard_is_refused(external: bool, tmp_path: Path) -> None:
    for operator in ("MatMul", "NoSuchOperator"):
        path = tmp_path / operator / "model.onnx"
        path.parent.mkdir()
        onnx.save(_model(operator), str(path), save_as_external_data=external, location="data", size_threshold=0)
        if operator == "MatMul":
            _check_standard(path)
            continue
        with pytest.raises(CannotError, match=r"the exporter wrote an invalid file.*NoSuchOperator"):
            _check_standard(path)


def test_a_missing_data_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(_model("MatMul"), str(path), save_as_external_data=True, location="data", size_threshold=0)
    (tmp_path / "data").unlink()
    with pytest.raises(CannotError, match="invalid file"):
        _check_standard(path)


def test_the_source_answers_a_sample_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Mapping[str, Array]] = []
    infer = SourceProcess.infer

    def counting(self: SourceProcess, inputs: Mapping[str, Array]) -> Arrays:
        asked.append(inputs)
        return infer(self, inputs)

    monkeypatch.setattr(SourceProcess, "infer", counting)
    onnx.save(_model("MatMul"), str(tmp_path / "net.onnx"))
    sample = Batch(name="sample", inputs={"x": np.ones((3, 2), np.float32)})
    with open_source(str(tmp_path / "net.onnx"), SourcingOptions(batches=[sample])) as opened:
        assert sum(inputs is sample.inputs for inputs in asked) == 1
        np.testing.assert_array_equal(opened.runner.infer(sample.inputs)["y"], np.full((3, 2), 2, np.float32))
        assert sum(inputs is sample.inputs for inputs in asked) == 1
