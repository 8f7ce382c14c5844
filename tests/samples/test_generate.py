"""Generated batches keep every role: indices in range, segments sorted, masks as padding, values in the range seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portinf.core.batch import Batch, check_batch
from portinf.core.errors import UsageError
from portinf.core.signature import Axis, Role, Signature, TensorSpec
from portinf.samples import generate as resampling
from portinf.samples.generate import generate, not_tried, resample, sweep


def _spec(name: str, dtype: str, *shape: int | str, role: Role | None = None, **more: Any) -> TensorSpec:
    axes = tuple(Axis(size=n) if isinstance(n, int) else Axis(label=n) for n in shape)
    return TensorSpec(name=name, dtype=dtype, shape=axes, role=role or Role(), **more)


SIGNATURE = Signature(
    inputs=(
        _spec("x", "float32", "nodes", 3),
        _spec("edge_index", "int64", 2, "edges", role=Role(kind="index", of="nodes")),
        _spec("weight", "float64", "edges"),
        _spec("batch", "int64", "nodes", role=Role(kind="segment", of="nodes", into="graphs")),
        _spec("globals", "float32", "graphs", 2),
        _spec("splits", "int64", "offsets", role=Role(kind="row_splits", of="nodes")),
        _spec("tokens", "float32", "events", "length"),
        _spec("mask", "bool", "events", "length", role=Role(kind="mask", of="length")),
        _spec("kind", "int64", "nodes", low=2, high=5),
        _spec("flag", "bool", "nodes"),
    ),
    outputs=(),
)


def _batch(rng: np.random.Generator, nodes: int = 9, edges: int = 20, graphs: int = 3) -> Batch:
    mask = np.arange(6)[None, :] < rng.integers(1, 7, (4, 1))
    return Batch(
        name="a.npz",
        inputs={
            "x": rng.normal(size=(nodes, 3)).astype(np.float32),
            "edge_index": rng.integers(0, nodes, (2, edges)),
            "weight": rng.normal(size=edges),
            "batch": np.sort(rng.integers(0, graphs, nodes)),
            "globals": rng.normal(size=(graphs, 2)).astype(np.float32),
            "splits": np.array([0, 2, 5, nodes]),
            "tokens": np.where(mask, rng.normal(size=(4, 6)), 0).astype(np.float32),
            "mask": mask,
            "kind": rng.integers(2, 6, nodes),
            "flag": rng.random(nodes) < 0.5,
        },
    )


def _holds(batch: Batch, sizes: dict[str, int]) -> None:
    found = check_batch(SIGNATURE, batch)
    inputs = batch.inputs
    nodes, graphs = found["nodes"], found["graphs"]
    assert inputs["edge_index"].size == 0 or (inputs["edge_index"].min() >= 0 and inputs["edge_index"].max() < nodes)
    assert bool(np.all(np.diff(inputs["batch"]) >= 0))
    assert inputs["batch"].size == 0 or inputs["batch"].max() < graphs
    splits = inputs["splits"]
    assert bool(np.all(np.diff(splits) >= 0))
    assert splits.size == 0 or splits[0] == 0
    assert splits.size < 2 or splits[-1] == nodes
    for row in inputs["mask"].astype(int):
        assert bool(np.all(np.diff(row) <= 0))
    assert inputs["kind"].size == 0 or (inputs["kind"].min() >= 2 and inputs["kind"].max() <= 5)
    if nodes and graphs:
        assert {key: found[key] for key in sizes} == sizes


sizes_strategy = st.fixed_dictionaries(
    {label: st.integers(0, 25) for label in ("nodes", "edges", "graphs", "events", "length")} | {"offsets": st.integers(2, 9)}
)


@given(st.integers(1, 25), st.integers(0, 1000))
def test_what_was_not_all_padding_does_not_become_so(length: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    batch = _batch(rng)
    found = resample(SIGNATURE, batch, {**check_batch(SIGNATURE, batch), "length": length}, seed=seed)
    assert found.inputs["mask"].any(1).all()


@given(sizes_strategy, st.integers(0, 1000))
def test_resampled_batches_keep_their_roles(sizes: dict[str, int], seed: int) -> None:
    batch = _batch(np.random.default_rng(seed))
    made = resample(SIGNATURE, batch, sizes, seed=seed)
    _holds(made, sizes if sizes["nodes"] and sizes["graphs"] else {})
    values = made.inputs["x"]
    assert values.size == 0 or (values.min() >= batch.inputs["x"].min() and values.max() <= batch.inputs["x"].max())
    padded = ~made.inputs["mask"]
    assert bool(np.all(made.inputs["tokens"][padded] == 0))


@given(sizes_strategy, st.integers(0, 1000))
def test_generated_batches_keep_their_roles(sizes: dict[str, int], seed: int) -> None:
    _holds(generate(SIGNATURE, sizes, seed=seed), sizes if sizes["nodes"] and sizes["graphs"] else {})


def test_values_change_and_equal_seeds_give_equal_batches() -> None:
    batch = _batch(np.random.default_rng(1))
    sizes = check_batch(SIGNATURE, batch)
    first, second = resample(SIGNATURE, batch, sizes, seed=3), resample(SIGNATURE, batch, sizes, seed=3)
    for name, array in first.inputs.items():
        np.testing.assert_array_equal(array, second.inputs[name])
    assert not np.isin(first.inputs["weight"], batch.inputs["weight"]).all()


def test_sorted_targets_stay_sorted() -> None:
    batch = _batch(np.random.default_rng(1))
    batch.inputs["edge_index"] = batch.inputs["edge_index"][:, np.argsort(batch.inputs["edge_index"][1])]
    sizes = {**check_batch(SIGNATURE, batch), "edges": 31}
    assert bool(np.all(np.diff(resample(SIGNATURE, batch, sizes).inputs["edge_index"][1]) >= 0))


def test_the_sweep_moves_one_axis_at_a_time_and_reaches_zero_and_one() -> None:
    signature = Signature(inputs=SIGNATURE.inputs[:3], outputs=())
    full = _batch(np.random.default_rng(1))
    batch = Batch(name="a", inputs={name: full.inputs[name] for name in ("x", "edge_index", "weight")})
    found = [check_batch(signature, made) for made in sweep(signature, [batch])]
    assert {"nodes": 9, "edges": 0} in found
    assert {"nodes": 1, "edges": 20} in found
    assert {"nodes": 9, "edges": 160} in found
    assert {"nodes": 72, "edges": 20} in found
    assert {"nodes": 0, "edges": 0} in found
    assert len({tuple(sizes.items()) for sizes in found}) == len(found)


def test_minimum_and_multiple_are_kept() -> None:
    axis = Axis(label="length", minimum=5, multiple=4)
    signature = Signature(inputs=(TensorSpec(name="x", dtype="float32", shape=(axis,)),), outputs=())
    sizes = {check_batch(signature, made)["length"] for made in sweep(signature, [])}
    assert sizes
    assert all(n >= 5 and n % 4 == 0 for n in sizes)


@given(st.integers(0, 9), st.integers(1, 7), st.integers(16, 300), st.integers(1, 40), st.booleans())
def test_no_batch_is_beyond_the_largest_length(minimum: int, multiple: int, maximum: int, length: int, sampled: bool) -> None:
    axis = Axis(label="length", minimum=minimum, multiple=multiple, maximum=maximum)
    signature = Signature(inputs=(TensorSpec(name="x", dtype="float32", shape=(axis,)),), outputs=())
    base = [generate(signature, {"length": axis.fit(length)} if sampled else None)]
    tried = {check_batch(signature, made)["length"] for made in [*base, *sweep(signature, base if sampled else [])]}
    assert axis.fit(maximum) in tried
    assert all(minimum <= n <= maximum and n % multiple == 0 for n in tried)


def test_a_largest_length_that_is_too_large_to_try_is_said() -> None:
    axis = Axis(label="length", maximum=100_000)
    signature = Signature(inputs=(TensorSpec(name="x", dtype="float32", shape=(axis,)),), outputs=())
    assert not_tried(signature, []) == ["not tried: length=100000: up to about 40 GB, more than 0.27 GB"]
    assert max(check_batch(signature, made)["length"] for made in sweep(signature, [])) == 32


def test_lengths_beyond_the_largest_are_refused() -> None:
    signature = Signature(inputs=SIGNATURE.inputs[:1], outputs=()).with_limits("nodes", maximum=9)
    for make in (generate, lambda s, sizes: resample(s, generate(s), sizes)):
        assert len(make(signature, {"nodes": 9}).inputs["x"]) == 9
        with pytest.raises(UsageError, match="axis 'nodes': length 10, and this model is valid up to 9 only"):
            make(signature, {"nodes": 10})


@given(st.integers(1, 12), st.integers(0, 30), st.integers(1, 4), st.integers(0, 1000))
def test_roles_hold_at_every_size_of_the_sweep(nodes: int, edges: int, graphs: int, seed: int) -> None:
    batch = _batch(np.random.default_rng(seed), nodes, edges, graphs)
    largest = {"nodes": 0, "edges": 0, "graphs": 0}
    for made in sweep(SIGNATURE, [batch], seed=seed):
        _holds(made, {})
        found = check_batch(SIGNATURE, made)
        largest = {label: max(n, found[label]) for label, n in largest.items()}
    assert largest["nodes"] >= 8 * nodes
    assert largest["graphs"] >= 8 * graphs
    assert largest["edges"] >= 8 * edges


@given(st.integers(1, 6), st.integers(1, 9), st.booleans(), st.integers(0, 1000))
def test_unpadded_and_fully_padded_rows_are_tried(events: int, length: int, sampled: bool, seed: int) -> None:
    specs = tuple(spec for spec in SIGNATURE.inputs if spec.name in ("tokens", "mask"))
    signature = Signature(inputs=specs, outputs=())
    mask = np.ones((events, length), bool)
    batch = Batch(name="a", inputs={"tokens": np.ones((events, length), np.float32), "mask": mask})
    masks = [made.inputs["mask"] for made in sweep(signature, [batch] if sampled else [], seed=seed)]
    filled = [mask for mask in masks if mask.size]
    assert any(mask.all() for mask in filled)
    assert any(not mask.any() for mask in filled)
    assert events == 1 or any(not mask[0].any() and mask[1:].all() and len(mask) > 1 for mask in filled)


def test_one_graph_in_the_sample_is_tried_as_several() -> None:
    specs = (_spec("x", "float32", "nodes", 3), _spec("batch", "int64", "nodes", role=Role(kind="segment", of="nodes")))
    batch = Batch(name="a", inputs={"x": np.ones((6, 3), np.float32), "batch": np.zeros(6, np.int64)})
    assert any(made.inputs["batch"].max(initial=0) > 0 for made in sweep(Signature(inputs=specs, outputs=()), [batch]))


def test_what_is_too_large_is_named_and_twice_the_sample_is_tried_instead() -> None:
    signature = Signature(inputs=(_spec("x", "float32", "rows", 4),), outputs=())
    batch = Batch(name="a", inputs={"x": np.ones((2000, 4), np.float32)})
    assert not_tried(signature, [batch]) == ["not tried: rows=16000: up to about 1 GB, more than 0.27 GB"]
    assert {check_batch(signature, made)["rows"] for made in sweep(signature, [batch])} == {0, 1, 3, 2001, 4001}


def test_no_case_is_larger_than_the_bound_and_all_others_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "MAX_BYTES", 1 << 18)
    signature = Signature(inputs=(_spec("x", "float32", "rows", 1 << 10),), outputs=())
    batch = Batch(name="a", inputs={"x": np.ones((40, 1 << 10), np.float32)})
    made = list(sweep(signature, [batch]))
    assert [len(one.inputs["x"]) for one in made] == [0, 1, 3, 41]
    assert [line.split(":")[1].strip() for line in not_tried(signature, [batch])] == ["rows=320", "rows=81"]


def test_edges_are_not_held_against_each_other() -> None:
    signature = Signature(inputs=SIGNATURE.inputs[:3], outputs=())
    full = _batch(np.random.default_rng(1), nodes=50, edges=20000)
    batch = Batch(name="a", inputs={name: full.inputs[name] for name in ("x", "edge_index", "weight")})
    assert not not_tried(signature, [batch])
    assert 160000 in {check_batch(signature, made)["edges"] for made in sweep(signature, [batch])}
