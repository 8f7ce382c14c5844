"""A reassociated sum may be further from the original than the tolerance only where the original itself is off from float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from portinf.runners.onnxruntime import OnnxRuntimeRunner
from portinf.samples import Batch
from portinf.validation import Hop, Tolerance, compare
from portinf.workflow.rounding_only import Rounding

MANY = 1_000_000
_TEXT = """<ir_version: 8, opset_import: ["" : 18]>
g (float[n] x) => (float[1] y) {{
    zero = Constant <value_ints: ints = [0]> () one = Constant <value_ints: ints = [1]> () lengths = Shape (x)
    {body}
}}"""
IN_TURN = """
    start = ConstantOfShape (one) index = ConstantOfShape <value: tensor = int64[1] {0}> (lengths)
    y = ScatterElements <axis: int = 0, reduction: string = "add"> (start, index, x) """
AT_ONCE = " y = ReduceSum <keepdims: int = 1> (x, zero) "
WRONG = AT_ONCE.replace("y =", "s =") + " factor = Constant <value_float: float = 1.3> () y = Mul (s, factor) "


def written(path: Path, body: str) -> Path:
    onnx.save(onnx.parser.parse_model(_TEXT.format(body=body)), str(path))
    return path


def judged(tmp_path: Path, candidate: str, origin: str) -> tuple[Hop, Hop]:
    batches = [
        Batch(name="few", inputs={"x": np.full(3, 0.1, np.float32)}, origin=origin),  # type: ignore[arg-type]
        Batch(name="many", inputs={"x": np.full(MANY, 0.1, np.float32)}, origin=origin),  # type: ignore[arg-type]
    ]
    original = written(tmp_path / "a.onnx", IN_TURN)
    with (
        OnnxRuntimeRunner(original, level="none") as left,
        OnnxRuntimeRunner(written(tmp_path / "b.onnx", candidate)) as right,
        Rounding(original) as rounding,
    ):
        hop = compare(left, right, batches, tolerance=Tolerance())
        return hop, rounding.excused(hop, batches, left, right)


def test_a_sum_in_another_order_is_excused_and_said(tmp_path: Path) -> None:
    before, after = judged(tmp_path, AT_ONCE, "generated")
    assert [case.status for case in before.cases] == ["equal", "disagrees"]
    assert after.verdict == "equal" and not after.reason
    (check,) = after.checks
    assert check.status == "passed" and check.output == "y" and "as rounding explains" in check.text and "many" in check.text
    assert before.outputs[0].tally == after.outputs[0].tally  # the difference is still shown


@pytest.mark.parametrize(("candidate", "origin"), [(WRONG, "generated"), (AT_ONCE, "given")])
def test_a_wrong_number_and_the_users_own_samples_are_not_excused(candidate: str, origin: str, tmp_path: Path) -> None:
    before, after = judged(tmp_path, candidate, origin)
    assert before.verdict == "disagrees" and after == before
