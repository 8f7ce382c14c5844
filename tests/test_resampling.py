"""Generated batches keep every role: indices in range, segments sorted, masks as padding, values in the range seen."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from portinf.resampling import generate, resample, sweep
from portinf.samples import Batch, check_batch
from portinf.signature import Axis, Role, Signature, TensorSpec


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
    assert {"nodes": 9, "edges": 41} in found
    assert {"nodes": 0, "edges": 0} in found
    assert len({tuple(sizes.items()) for sizes in found}) == len(found)


def test_minimum_and_multiple_are_kept() -> None:
    axis = Axis(label="length", minimum=5, multiple=4)
    signature = Signature(inputs=(TensorSpec(name="x", dtype="float32", shape=(axis,)),), outputs=())
    sizes = {check_batch(signature, made)["length"] for made in sweep(signature, [])}
    assert sizes
    assert all(n >= 5 and n % 4 == 0 for n in sizes)
