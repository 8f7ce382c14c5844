"""A lower precision is kept only if the original's answers are, and the nodes that it costs are named."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from portinf.core.batch import Batch
from portinf.core.errors import CannotError, DisagreementError, UsageError
from portinf.mixed_precision import lower as module
from portinf.mixed_precision.lower import Lowered, LowerRequest, lower
from portinf.onnx_graph.model_file import read_onnx
from portinf.runners.onnx import OnnxRuntimeRunner
from portinf.samples.generate import sweep
from portinf.validation import PhysicsOptions, Tolerance
from portinf.validation.checks.roc import DiscriminationOptions
from tests.mixed_precision.networks import SIGNATURE, cancelling, overflowing, plain, samples, trees, underflowing

FP16 = Tolerance.of(0.0, 2e-3)  # four roundings of fp16 at 1


def lowered(write: Callable[[Path], Path], folder: Path, **given: Any) -> Lowered:
    model = write(folder / "model.onnx")
    settings = {
        "precision": "fp16",
        "flavour": "cpu",
        "batches": [samples(), *sweep(SIGNATURE, [samples()])],
        "tolerance": FP16,
        **given,
    }
    return lower(model, folder / "out.onnx", LowerRequest(**settings))


def test_everything_is_lowered_where_it_holds(tmp_path: Path) -> None:
    result = lowered(plain, tmp_path)
    assert not result.islands and result.lowered == 5 and result.trials == 1 and result.comparison.verdict == "equal"
    before, after = read_onnx(tmp_path / "model.onnx"), read_onnx(result.path)
    assert after.signature == before.signature == SIGNATURE
    first, step = after.provenance["steps"]
    assert first == {"from": "a test"}
    assert step["lowered"] == "fp16" and step["islands"] == {} and step["validation"]["verdict"] == "equal"
    assert step["tolerance"] == str(FP16)
    kinds = {tensor.data_type for tensor in onnx.load(result.path).graph.initializer}
    assert kinds == {onnx.TensorProto.FLOAT16}


def test_overflow_is_an_island(tmp_path: Path) -> None:
    result = lowered(overflowing, tmp_path)
    assert {"square", "mean", "root"} <= set(result.islands) and result.trials == 1 and result.lowered >= 4
    assert re.match(r"overflow: \S+ > 65504", result.reasons["square"])


def test_underflow_is_an_island(tmp_path: Path) -> None:
    result = lowered(underflowing, tmp_path)
    assert set(result.islands) == {"shrink", "grow back"} and result.trials == 1
    assert result.reasons["shrink"].startswith("underflow: ")


def test_lost_digits_are_found_by_trials(tmp_path: Path) -> None:
    result = lowered(cancelling, tmp_path)
    assert set(result.islands) == {"far", "back"} and result.trials <= 20
    assert result.comparison.verdict == "equal"


def test_the_tolerance_that_is_said_to_hold_does(tmp_path: Path) -> None:
    with pytest.raises(DisagreementError, match="no choice of float32 nodes") as caught:
        lowered(plain, tmp_path, precision="int8", tolerance=Tolerance())
    assert not (tmp_path / "out.onnx").exists()
    found = re.search(r"--atol ([^\s,]+), or with --rtol (\S+)", str(caught.value))
    assert found is not None
    for tolerance in (Tolerance.of(None, float(found[1])), Tolerance.of(float(found[2]), None)):
        result = lowered(plain, tmp_path, precision="int8", tolerance=tolerance)
        assert result.lowered == 2 and not result.islands


@pytest.mark.parametrize("flavour", ["cpu", "tensorrt"])
def test_int8(flavour: str, tmp_path: Path) -> None:
    result = lowered(plain, tmp_path, precision="int8", flavour=flavour, tolerance=Tolerance.of(0.0, 0.03))
    assert result.lowered == 2 and "QuantizeLinear" in read_onnx(result.path).operators
    assert any("not run here" in note for note in result.notes) == (flavour == "tensorrt")


def test_bfloat16(tmp_path: Path) -> None:
    loose = Tolerance.of(0.0, 2e-2)  # a few roundings of bfloat16, 4e-3 each
    with pytest.raises(CannotError, match="bf16: ONNX Runtime does not run it on this CPU"):
        lowered(plain, tmp_path, precision="bf16", tolerance=loose)
    result = lowered(plain, tmp_path, precision="bf16", flavour="tensorrt", tolerance=loose)
    assert result.lowered == 5 and any("not run here" in note for note in result.notes)
    onnx.checker.check_model(str(result.path), full_check=True)


def test_what_cannot_be_lowered(tmp_path: Path) -> None:
    for precision in ("fp16", "bf16", "int8"):
        with pytest.raises(CannotError, match="TreeEnsembleRegressor"):
            lowered(trees, tmp_path, precision=precision, batches=[samples()])
    with pytest.raises(UsageError, match="requires samples for calibration"):
        lowered(plain, tmp_path, precision="int8", batches=[replace(samples(), origin="generated")])
    assert not (tmp_path / "out.onnx").exists()


def test_inputs_that_leave_the_type(tmp_path: Path) -> None:
    far = Batch(name="far", inputs={"x": 1e6 * samples().inputs["x"]})
    with pytest.raises(CannotError, match="all 2 matrix products overflow on these samples; 'first': overflow"):
        lowered(plain, tmp_path, batches=[far])


def test_rows_that_the_search_did_not_see_decide_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search looks at the first batches; what fails on the later ones sends it over all of them."""
    monkeypatch.setattr(module, "CASES", 1)
    rows = samples().inputs["x"]
    still = Batch(name="still", inputs={"x": np.zeros_like(rows)})
    result = lowered(cancelling, tmp_path, batches=[still, samples()])
    assert set(result.islands) == {"far", "back"}


def test_a_rewritten_file_is_judged_against_the_original(tmp_path: Path) -> None:
    other = overflowing(tmp_path / "other.onnx")
    with pytest.raises(DisagreementError):
        lowered(plain, tmp_path, original=other)


def test_physics_decides_as_well(tmp_path: Path) -> None:
    """Labels that the original separates without a fault, and a tolerance wide enough for any answer."""
    batch = samples(400)
    with OnnxRuntimeRunner(plain(tmp_path / "model.onnx")) as runner:
        scores = runner.infer(batch.inputs)["y"][:, 0]
    given: dict[str, Any] = {
        "precision": "int8",
        "batches": [replace(batch, columns={"label": (scores > np.median(scores)).astype(np.int64)})],
        "tolerance": Tolerance.of(0.0, 1.0),
    }
    strict = PhysicsOptions(discrimination=DiscriminationOptions(label="label", score="y:0", max_auc_loss=0.0, replicas=20))
    assert lowered(plain, tmp_path, physics=strict, **given).islands == ["last"]
    assert not lowered(plain, tmp_path, **given).islands
    (tmp_path / "out.onnx").unlink()
    with pytest.raises(DisagreementError, match="AUC"):
        lowered(plain, tmp_path, physics=strict, flavour="tensorrt", **given)
    assert not (tmp_path / "out.onnx").exists()


def test_nodes_on_which_onnx_runtime_crashes_are_islands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: it dies on any file in which this node computes in float16."""

    def dies(path: Path) -> bool:
        return any(node.name == "square" and node.output[0].endswith("__half") for node in onnx.load(path).graph.node)

    monkeypatch.setattr(module, "_dies", dies)
    monkeypatch.setattr(module.HalfRecipe, "named", lambda self, _: ["relu", "square"])
    small = Batch(name="small", inputs={"x": 1e-3 * samples().inputs["x"]})
    request = LowerRequest(precision="fp16", flavour="cpu", batches=[small], tolerance=Tolerance.of(1, 1))
    model = overflowing(tmp_path / "other.onnx")
    monkeypatch.setattr("portinf.mixed_precision.recipe.find_suspects", lambda *_: {})
    with pytest.raises(CannotError, match="crashes"):
        monkeypatch.setattr(module, "_dies", lambda _: True)
        lower(model, tmp_path / "o.onnx", replace(request, tolerance=Tolerance.of(0, 1)))
    monkeypatch.setattr(module, "_dies", dies)
    result = lower(model, tmp_path / "o.onnx", request)
    assert "crashes" in result.reasons["square"] and "relu" not in result.islands
