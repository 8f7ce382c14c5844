"""What a conversion does with an exported file: held against the standard, and the source asked no more often than needed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from portinf.conversion.candidate import _check_standard, _narrowed
from portinf.conversion.convert import goldens
from portinf.conversion.open_source import open_source
from portinf.conversion.options import SourcingOptions
from portinf.core.batch import Array, Arrays, Batch, Origin
from portinf.core.errors import CannotError
from portinf.core.signature import Axis, Signature, TensorSpec
from portinf.sources.process.parent import SourceProcess
from portinf.validation import CaseResult, Comparison
from portinf.validation.results import CaseStatus


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


def _case(name: str, status: CaseStatus, length: int = 4, **more: Any) -> CaseResult:
    return CaseResult(name=name, origin="generated", sizes={"n": 3, "L": length}, status=status, **more)


def _comparison(*cases: CaseResult) -> Comparison:
    return Comparison(reference="source", candidate="onnx", cases=cases)


class _Opened:
    """A source of which only the axes matter."""

    def __init__(self, minimum: int = 0) -> None:
        shape = (Axis(label="n"), Axis(label="L", minimum=minimum))
        self.signature = Signature(inputs=(TensorSpec(name="x", dtype="float32", shape=shape),), outputs=())

    def with_minimum(self, _: str, minimum: int) -> _Opened:
        return _Opened(minimum)


def test_a_length_at_which_the_file_refuses_where_the_source_has_no_number_is_left_out() -> None:
    empty = _case("empty", "outside domain", 0, reason="no numbers", refused=True)
    found = _narrowed(_Opened(), _comparison(_case("full", "equal"), empty))  # type: ignore[arg-type]
    assert found is not None and found[0].signature.axes["L"].minimum == 1 and "the smallest length 1" in found[1][0]
    unanswered = _case("empty", "outside domain", 0, reason="the source fails")
    assert _narrowed(_Opened(), _comparison(_case("full", "equal"), unanswered)) is None  # type: ignore[arg-type]


def test_what_was_compared_in_part_is_no_golden() -> None:
    def batch(name: str, rows: int, origin: Origin) -> Batch:
        return Batch(name=name, inputs={"x": np.ones((rows, 2), np.float32)}, origin=origin)

    cases = [batch("mine", 5, "given"), batch("whole", 2, "generated"), batch("part", 1, "generated")]
    opened = SimpleNamespace(given=cases[:1], cases=cases, runner=SimpleNamespace(infer=lambda _: {}))
    comparison = _comparison(
        _case("mine", "equal"), _case("whole", "equal"), _case("part", "equal", reason="not compared: 3 elements")
    )
    assert [golden.name for golden in goldens(opened, comparison)] == ["mine", "whole"]  # type: ignore[arg-type]
