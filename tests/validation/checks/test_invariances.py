"""What must not matter: neighbours, padding, order, threads; what the reference itself lacks is reported, not failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portinf.core.batch import Array, Arrays, Batch
from portinf.core.errors import UsageError
from portinf.core.signature import Axis, Role, Signature, TensorSpec
from portinf.runners.protocol import RunnerInfo
from portinf.samples.generate import generate
from portinf.validation import CheckResult, Tolerance
from portinf.validation.checks.invariances import Invariances

B, N, E = Axis(label="batch"), Axis(label="n"), Axis(label="edges")
JETS = Signature(
    inputs=(
        TensorSpec(name="x", dtype="float32", shape=(B, Axis(size=3), N)),
        TensorSpec(name="mask", dtype="float32", shape=(B, Axis(size=1), N), role=Role(kind="mask", of="n")),
    ),
    outputs=(TensorSpec(name="y", dtype="float32", shape=(B, Axis(size=3))),),
)
GRAPH = Signature(
    inputs=(
        TensorSpec(name="x", dtype="float32", shape=(N, Axis(size=2))),
        TensorSpec(name="edge_index", dtype="int64", shape=(Axis(size=2), E), role=Role(kind="index", of="n")),
        TensorSpec(name="batch", dtype="int64", shape=(N,), role=Role(kind="segment", of="n")),
    ),
    outputs=(
        TensorSpec(name="y", dtype="float32", shape=(N, Axis(size=2))),
        TensorSpec(name="z", dtype="float32", shape=(Axis(label="graphs"), Axis(size=2))),
    ),
)


class Side:
    """A model written in numpy."""

    info = RunnerInfo()

    def __init__(self, signature: Signature, model: Callable[..., Mapping[str, Array]]) -> None:
        self.name, self.signature, self._model = "numpy", signature, model

    def infer(self, inputs: Mapping[str, Array]) -> Arrays:
        return {name: array.astype(np.float32) for name, array in self._model(**inputs).items()}

    def __enter__(self) -> Side:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None


def masked_mean(x: Array, mask: Array) -> Mapping[str, Array]:
    return {"y": (x * mask).sum(-1) / np.maximum(mask.sum(-1), 1)}


def leaky_mean(x: Array, mask: Array) -> Mapping[str, Array]:
    """Forgets the mask."""
    return {"y": x.mean(-1)}


def first_of_mask(x: Array, mask: Array) -> Mapping[str, Array]:
    """Right under changed padding, wrong in another order."""
    return {"y": x[:, :, 0]}


def centred(x: Array, mask: Array) -> Mapping[str, Array]:
    """Every row sees the batch."""
    return {"y": masked_mean(x, mask)["y"] - masked_mean(x, mask)["y"].mean(0)}


def gnn(x: Array, edge_index: Array, batch: Array) -> Mapping[str, Array]:
    y = x.astype(np.float64)
    np.add.at(y, edge_index[1], x[edge_index[0]])
    z = np.zeros((int(batch.max(initial=-1)) + 1, 2))
    np.add.at(z, batch, y)
    return {"y": y, "z": z}


def ordered_gnn(x: Array, edge_index: Array, batch: Array) -> Mapping[str, Array]:
    found = dict(gnn(x, edge_index, batch))
    return {**found, "y": found["y"] + np.arange(len(x))[:, None]}


def jets() -> list[Batch]:
    rng = np.random.default_rng(3)
    mask = (np.arange(6) < np.array([6, 4, 1, 3, 5])[:, None])[:, None].astype(np.float32)
    x = rng.normal(size=(5, 3, 6)).astype(np.float32) * mask
    return [Batch(name="jets", inputs={"x": x, "mask": mask})]


def found(
    signature: Signature,
    reference: Callable[..., Mapping[str, Array]] | None,
    candidate: Callable[..., Mapping[str, Array]],
    sets: tuple[str, ...] = (),
) -> dict[str, CheckResult]:
    batches = jets() if signature is JETS else [generate(GRAPH, {"n": 9, "edges": 14})]
    probes = Invariances(signature=signature, batches=batches, tolerance=Tolerance(), sets=sets)
    side = None if reference is None else Side(signature, reference)
    return {check.name: check for check in probes.results(side, Side(signature, candidate))}


def test_a_right_model_passes_everything() -> None:
    checks = found(JETS, masked_mean, masked_mean, ("n",))
    assert {check.status for check in checks.values()} == {"passed"}
    assert set(checks) == {"batch invariance", "padding invariance ('mask')", "order of 'n'", "repeatability"}


@pytest.mark.parametrize(
    ("candidate", "check"),
    [(leaky_mean, "padding invariance ('mask')"), (first_of_mask, "order of 'n'"), (centred, "batch invariance")],
)
def test_what_only_the_candidate_lacks_fails(candidate: Callable[..., Mapping[str, Array]], check: str) -> None:
    result = found(JETS, masked_mean, candidate, ("n",))[check]
    assert result.status == "failed" and "the reference passes this check" in result.text


@pytest.mark.parametrize(
    ("candidate", "check"),
    [(leaky_mean, "padding invariance ('mask')"), (first_of_mask, "order of 'n'"), (centred, "batch invariance")],
)
def test_what_the_reference_lacks_too_is_reported(candidate: Callable[..., Mapping[str, Array]], check: str) -> None:
    result = found(JETS, candidate, candidate, ("n",))[check]
    assert result.status == "reported" and "the reference fails this check too" in result.text
    assert found(JETS, None, candidate, ("n",))[check].status == "reported"


@pytest.mark.parametrize("label", ["n", "edges"])
def test_the_order_of_a_graph_is_changed_with_its_indices_and_groups(label: str) -> None:
    result = found(GRAPH, gnn, gnn, (label,))[f"order of '{label}'"]
    assert result.status == "passed"
    assert ("y, z stay" if label == "edges" else "y follow it") in result.text


def test_a_node_that_knows_its_place_is_seen() -> None:
    assert found(GRAPH, gnn, ordered_gnn, ("n",))["order of 'n'"].status == "failed"


def test_an_answer_that_changes_fails() -> None:
    rng = np.random.default_rng(1)
    result = found(JETS, masked_mean, lambda x, mask: {"y": rng.normal(size=(len(x), 3))})["repeatability"]
    assert result.status == "failed" and "asked twice" in result.text


def test_an_unknown_axis_is_one_clear_line() -> None:
    with pytest.raises(UsageError, match="--set-axis tracks: no such dynamic axis; the model's are: batch, n"):
        found(JETS, masked_mean, masked_mean, ("tracks",))


def test_without_padded_samples_nothing_is_claimed() -> None:
    batches = [Batch(name="full", inputs={"x": np.ones((2, 3, 4), np.float32), "mask": np.ones((2, 1, 4), np.float32)})]
    probes = Invariances(signature=JETS, batches=batches, tolerance=Tolerance())
    checks = {check.name: check for check in probes.results(None, Side(JETS, masked_mean))}
    assert checks["padding invariance ('mask')"].status == "not applicable"


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 12), st.integers(0, 20), st.integers(0, 100))
def test_any_graph_may_be_renumbered(nodes: int, edges: int, seed: int) -> None:
    batch = generate(GRAPH, {"n": nodes, "edges": edges}, seed=seed)
    probes = Invariances(signature=GRAPH, batches=[batch], tolerance=Tolerance(), sets=("n",))
    checks = {check.name: check for check in probes.results(None, Side(GRAPH, gnn))}
    assert edges == 0 or checks["order of 'n'"].status == "passed"
