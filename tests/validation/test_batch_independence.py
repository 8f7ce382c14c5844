"""The outcome that rows are independent: what it accepts, what it refuses, and why."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from portinf.core.batch import Batch
from portinf.core.errors import CannotError
from portinf.core.signature import Axis, Role, Signature, TensorSpec
from portinf.runners.onnx import OnnxRuntimeRunner
from portinf.runners.protocol import RunnerInfo
from portinf.validation import Tolerance
from portinf.validation.batch_independence import RowCheck, check_rows, choose_batch_size, servable, why_not_batched
from tests.triton.models import honest, kept_rows, minus_mean, row_sum, running_sum

BATCH, N, FOUR = Axis(label="batch"), Axis(label="n"), Axis(size=4)
RNG = np.random.default_rng(0)


def outcome(path: Path, *batches: Batch, signature: Signature | None = None) -> RowCheck:
    with OnnxRuntimeRunner(path) as runner:
        return check_rows(runner, signature or runner.signature, batches, Tolerance())


def sample(rows: int, *, distinct: bool = True) -> Batch:
    values = RNG.normal(size=(rows, 4)) if distinct else np.ones((rows, 4))
    return Batch(name="sample", inputs={"x": values.astype(np.float32)})


@pytest.mark.parametrize("make", [honest, row_sum])
@pytest.mark.parametrize("batches", [(), (sample(20),), (sample(1),), (sample(2), sample(7))])
def test_independent_rows_are_accepted(tmp_path: Path, make: Callable[[Path], Path], batches: tuple[Batch, ...]) -> None:
    found = outcome(make(tmp_path / "model.onnx"), *batches)
    assert found.independent, found.reason


@pytest.mark.parametrize("make", [minus_mean, running_sum, kept_rows])
@pytest.mark.parametrize("batches", [(), (sample(20),), (sample(3),)])
def test_rows_that_see_each_other_are_refused(tmp_path: Path, make: Callable[[Path], Path], batches: tuple[Batch, ...]) -> None:
    found = outcome(make(tmp_path / "model.onnx"), *batches)
    assert not found.independent
    assert "depends on its batch" in found.reason


def test_a_row_that_looks_at_its_neighbour_only_when_it_is_large_is_refused() -> None:
    """Rows of ones give nothing away; the changed neighbour does."""

    class Clipped:
        name = "clipped"
        info = RunnerInfo()
        signature = Signature(
            inputs=(TensorSpec(name="x", dtype="float32", shape=(BATCH, FOUR)),),
            outputs=(TensorSpec(name="y", dtype="float32", shape=(BATCH, FOUR)),),
        )

        def infer(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            """Add 1 to every row if any value of any row is below -2."""
            return {"y": inputs["x"] + np.float32(len(inputs["x"]) > 1 and inputs["x"].min() < -2)}

    small = Batch(name="small", inputs={"x": np.linspace(1.1, 1.9, 20, dtype=np.float32).reshape(5, 4)})
    found = check_rows(Clipped(), Clipped.signature, [small], Tolerance())  # type: ignore[arg-type]
    assert not found.independent


def test_equal_rows_prove_nothing_and_others_are_made(tmp_path: Path) -> None:
    assert not outcome(minus_mean(tmp_path / "model.onnx"), sample(9, distinct=False)).independent


@pytest.mark.parametrize(("maximum", "requested", "size"), [(None, None, 64), (40, None, 40), (40, 30, 30), (100, None, 64)])
def test_no_more_rows_are_joined_than_the_model_is_right_for(
    tmp_path: Path, maximum: int | None, requested: int | None, size: int
) -> None:
    with OnnxRuntimeRunner(honest(tmp_path / "model.onnx")) as runner:
        label = runner.signature.inputs[0].labels[0]
        signature = runner.signature if maximum is None else runner.signature.with_limits(label, maximum=maximum)
        asked = (runner, signature, [])
        assert choose_batch_size(*asked, requested, Tolerance(), "m", lambda _: None)[0] == size
        if maximum is not None:
            with pytest.raises(CannotError, match=f"valid up to {maximum} rows only"):
                choose_batch_size(*asked, maximum + 1, Tolerance(), "m", lambda _: None)


def test_a_row_that_fails_alone_is_refused(tmp_path: Path) -> None:
    with OnnxRuntimeRunner(honest(tmp_path / "model.onnx")) as runner:
        wrong = Signature(
            inputs=(TensorSpec(name="x", dtype="float32", shape=(BATCH, Axis(size=5))),), outputs=runner.signature.outputs
        )
        found = check_rows(runner, wrong, [], Tolerance())
    assert not found.independent
    assert "a single row fails" in found.reason


def spec(name: str, *shape: Axis, role: Role | None = None, optional: bool = False) -> TensorSpec:
    return TensorSpec(name=name, dtype="float32", shape=shape, role=role or Role(), optional=optional)


@pytest.mark.parametrize(
    ("inputs", "outputs", "why"),
    [
        ([spec("x")], [spec("y", BATCH)], r"'x' \[\] has no axis 0"),
        ([TensorSpec(name="x", dtype="float32", shape=None)], [spec("y", BATCH)], r"'x' \[\?\] has no axis 0"),
        ([spec("x", FOUR)], [spec("y", BATCH)], "axis 0 of tensor 'x' .* is fixed"),
        ([spec("x", BATCH)], [spec("y", N)], "axis 0 is 'batch' in tensor 'x' and 'n' in 'y'"),
        ([spec("x", BATCH), spec("z", N)], [spec("y", BATCH)], "'batch' in tensor 'x' and 'n' in 'z'"),
        ([spec("x", BATCH, BATCH)], [spec("y", BATCH)], "occurs in tensor 'x' .* more than once"),
        ([spec("x", BATCH, role=Role(kind="index", of="batch"))], [spec("y", BATCH)], r"'x' \(index:batch\) refers"),
        ([spec("x", BATCH, optional=True)], [spec("y", BATCH)], "'x' is optional"),
        ([spec("x", Axis(label="batch", minimum=9))], [spec("y", BATCH)], "needs at least 9 rows"),
        ([spec("x", Axis(label="batch", maximum=9))], [spec("y", BATCH)], "has at most 9 rows, too few"),
        ([], [spec("y", BATCH)], "the model has no inputs"),
    ],
)
def test_what_the_signature_alone_rules_out(inputs: list[TensorSpec], outputs: list[TensorSpec], why: str) -> None:
    assert re.search(why, why_not_batched(Signature(inputs=tuple(inputs), outputs=tuple(outputs))))


def test_a_batch_axis_is_seen() -> None:
    assert why_not_batched(Signature(inputs=(spec("x", BATCH, N),), outputs=(spec("y", BATCH),))) == ""


def test_goldens_are_cut_to_what_a_server_takes() -> None:
    def golden(rows: int) -> Batch:
        return Batch(name=str(rows), inputs={"x": np.zeros((rows, 4))}, expected={"y": np.zeros((rows, 2))})

    cut = servable([golden(3), golden(0), golden(99)], 8)
    assert [(batch.name, len(batch.inputs["x"]), len((batch.expected or {})["y"])) for batch in cut] == [
        ("3", 3, 3),
        ("99", 8, 8),
    ]
    assert [len(batch.inputs["x"]) for batch in servable([golden(0), golden(99)], 0)] == [0, 99]
