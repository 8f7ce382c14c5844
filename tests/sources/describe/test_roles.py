"""Roles are found by asking the source what it refuses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from portinf.core.batch import Arrays, Batch, shapes_of
from portinf.core.errors import RunnerError, UsageError
from portinf.core.signature import Axis, Signature, TensorSpec
from portinf.samples.generate import sweep
from portinf.sources.describe.axes import UserHints, find_inputs, find_maximums, find_minimums, find_outputs


def guarded(function: Callable[[Mapping[str, Any]], Arrays]) -> Callable[[Mapping[str, Any]], Arrays]:
    """Turn numpy's refusals into those of a runner."""

    def infer(inputs: Mapping[str, Any]) -> Arrays:
        try:
            return function(inputs)
        except (IndexError, ValueError) as error:
            raise RunnerError(str(error)) from error

    return infer


def found(
    function: Callable[[Mapping[str, Any]], Arrays], *batches: dict[str, Any], given: UserHints | None = None
) -> dict[str, TensorSpec]:
    samples = [Batch(name=f"{k}.npz", inputs=inputs) for k, inputs in enumerate(batches)]
    inputs = find_inputs([], samples, given or UserHints(), guarded(function))
    return {spec.name: spec for spec in inputs}


def graph(rng: np.random.Generator, n: int, e: int) -> dict[str, Any]:
    return {"x": rng.normal(size=(n, 2)), "links": rng.integers(0, n, (2, e)), "kind": rng.integers(0, 4, n)}


def message(inputs: Mapping[str, Any]) -> Arrays:
    table = np.arange(40.0)
    x = inputs["x"] + table[inputs["kind"]][:, None]
    out = np.zeros_like(x)
    np.add.at(out, inputs["links"][1], x[inputs["links"][0]])
    return {"out": out}


def test_an_index_is_told_from_a_category_whatever_its_name() -> None:
    rng = np.random.default_rng(0)
    specs = found(message, graph(rng, 9, 30), graph(rng, 12, 41))
    assert str(specs["links"].role) == "index:x_0"
    assert str(specs["kind"].role) == "value"
    assert (specs["kind"].low, specs["kind"].high) == (0.0, 3.0)
    assert specs["kind"].labels == specs["x"].labels == ("x_0",)


def test_a_model_that_clips_its_index_is_helped_by_the_name() -> None:
    rng = np.random.default_rng(0)

    def clipping(inputs: Mapping[str, Any]) -> Arrays:
        return {"out": inputs["x"][np.clip(inputs["edge_index"], 0, len(inputs["x"]) - 1)]}

    samples = [{"x": rng.normal(size=(n, 2)), "edge_index": rng.integers(0, n, (2, e))} for n, e in ((9, 30), (12, 41))]
    assert str(found(clipping, *samples)["edge_index"].role) == "index:x_0"


def test_segments_masks_and_row_splits() -> None:
    rng = np.random.default_rng(0)

    def pool(inputs: Mapping[str, Any]) -> Arrays:
        batch, splits = inputs["batch"], inputs["ptr"]
        if splits[-1] != len(inputs["x"]):
            raise ValueError("splits")
        out = np.zeros(int(batch.max(initial=0)) + 1)
        np.add.at(out, batch, inputs["x"] * inputs["ok_mask"])
        return {"out": out}

    def event(counts: list[int]) -> dict[str, Any]:
        batch = np.repeat(np.arange(len(counts)), counts)
        ptr = np.concatenate([[0], np.cumsum(counts)])
        return {"x": rng.normal(size=batch.size), "batch": batch, "ptr": ptr, "ok_mask": np.ones(batch.size, np.float32)}

    specs = found(pool, event([4, 5, 3]), event([6, 7]))
    assert str(specs["batch"].role) == "segment:x_0"
    assert str(specs["ptr"].role) == "row_splits:x_0"
    assert str(specs["ok_mask"].role) == "mask:x_0"


def test_given_roles_win_and_unknown_axes_are_named() -> None:
    from portinf.core.signature import Role

    rng = np.random.default_rng(0)
    samples = (graph(rng, 9, 30), graph(rng, 12, 41))
    told = UserHints(roles={"kind": Role(kind="index", of="links_1")})
    assert str(found(message, *samples, given=told)["kind"].role) == "index:links_1"
    with pytest.raises(UsageError, match="no axis 'nodes'"):
        found(message, *samples, given=UserHints(roles={"kind": Role(kind="index", of="nodes")}))


def test_two_pairs_of_tied_axes_are_kept_apart() -> None:
    rng = np.random.default_rng(0)

    def two(inputs: Mapping[str, Any]) -> Arrays:
        return {"out": (inputs["a"] + inputs["b"]).sum() + (inputs["c"] + inputs["d"]).sum(keepdims=True)}

    samples = [{name: rng.normal(size=n) for name in "abcd"} for n in (5, 8)]
    labels = {name: spec.labels[0] for name, spec in found(two, *samples).items()}
    assert labels["a"] == labels["b"]
    assert labels["c"] == labels["d"]
    assert labels["a"] != labels["c"]


def test_the_smallest_size_is_found() -> None:
    def needs_seven(inputs: Mapping[str, Any]) -> Arrays:
        if len(inputs["x"]) < 7:
            raise ValueError("k is out of range")
        return {"out": np.sort(inputs["x"])[:7]}

    samples = [Batch(name=str(n), inputs={"x": np.arange(float(n))}) for n in (30, 45)]
    infer = guarded(needs_seven)
    inputs = find_minimums(find_inputs([], samples, UserHints(), infer), samples, infer)
    assert inputs[0].shape is not None
    assert inputs[0].shape[0].minimum == 7


def outcomes(
    function: Callable[[Mapping[str, Any]], Arrays], signature: Signature, base: Batch
) -> list[tuple[dict[str, int], str]]:
    """Ask a source at the sizes of a sweep, and say where it fails."""
    found: list[tuple[dict[str, int], str]] = []
    for batch in [base, *sweep(signature, [base])]:
        try:
            guarded(function)(batch.inputs)
            why = ""
        except RunnerError as error:
            why = str(error)
        found.append((signature.sizes(shapes_of(batch.inputs)), why))
    return found


def largest(
    function: Callable[[Mapping[str, Any]], Arrays], **shapes: tuple[int, ...]
) -> tuple[dict[str, int | None], list[str]]:
    specs = [TensorSpec(name=k, dtype="float64", shape=(Axis(label=k),) * (len(v) > 0)) for k, v in shapes.items()]
    signature = Signature(inputs=tuple(specs), outputs=())
    base = Batch(name="a", inputs={name: np.arange(float(shape[0])) for name, shape in shapes.items()})
    limited, said = find_maximums(signature, base, outcomes(function, signature, base), guarded(function))
    return {label: axis.maximum for label, axis in limited.axes.items()}, said


def test_the_largest_size_is_found_where_the_model_fails_beyond() -> None:
    def table_of_fifty(inputs: Mapping[str, Any]) -> Arrays:
        return {"out": inputs["x"] + np.arange(50.0)[np.arange(len(inputs["x"]))]}

    found, said = largest(table_of_fifty, x=(9,))
    assert found == {"x": 50}
    assert said == [
        "the model has no answer beyond x=50, the largest length that is recorded "
        "(index 50 is out of bounds for axis 0 with size 50)"
    ]
    assert largest(table_of_fifty, x=(50,))[0] == {"x": 50}
    assert largest(table_of_fifty, x=(4,)) == ({"x": None}, [])  # 32 is the longest that is tried


def test_what_another_axis_or_the_machine_does_not_allow_is_no_largest_size() -> None:
    def shorter_than_y(inputs: Mapping[str, Any]) -> Arrays:
        if len(inputs["x"]) > len(inputs["y"]):
            raise ValueError("x is longer than y")
        return {"out": inputs["x"]}

    def out_of_memory(inputs: Mapping[str, Any]) -> Arrays:
        if len(inputs["x"]) > 20:
            raise ValueError("not enough memory: you tried to allocate 30 GB")
        return {"out": inputs["x"]}

    def even(inputs: Mapping[str, Any]) -> Arrays:
        return {"out": inputs["x"].reshape(-1, 2)}

    assert largest(shorter_than_y, x=(9,), y=(14,)) == ({"x": None, "y": None}, [])
    assert largest(out_of_memory, x=(9,)) == ({"x": None}, [])
    assert largest(even, x=(8,)) == ({"x": None}, [])


def test_output_axes_take_the_label_they_always_equal() -> None:
    spec = found(lambda inputs: {"y": inputs["x"]}, {"x": np.ones((3, 2))}, {"x": np.ones((5, 2))})["x"]
    signature = Signature(inputs=(spec,), outputs=())
    answers = [({"x_0": n}, {"same": np.ones((n, 2)), "pairs": np.ones(n * n), "fixed": np.ones(4)}) for n in (3, 5)]
    outputs = {s.name: s.shape_text() for s in find_outputs(signature, answers)}
    assert outputs == {"same": "[x_0, 2]", "pairs": "[pairs_0]", "fixed": "[4]"}


def test_samples_that_contradict_each_other_are_named() -> None:
    with pytest.raises(UsageError, match="same inputs"):
        found(message, {"x": np.ones(2)}, {"y": np.ones(2)})
    with pytest.raises(UsageError, match="same types and ranks"):
        found(message, {"x": np.ones(2)}, {"x": np.ones((2, 2))})
