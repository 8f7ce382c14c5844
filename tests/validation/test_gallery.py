"""Numbers that a tolerance could hide, and honest models that it must not refuse: many pairs, each compared as validate does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from portinf.core.batch import Array, Batch
from portinf.runners.float64 import Float64
from portinf.runners.onnx import OnnxRuntimeRunner
from portinf.samples.edge_cases import edge_cases
from portinf.samples.generate import sweep
from portinf.validation import Comparison, Tolerance, compare
from tests.validation.gallery import FOUR, MOVED, ROWS, Model, Pairing, Tensors, W, X, light, network, scaled

RNG = np.random.default_rng(8)
F32 = np.float32
TRACK = (1.0, 1.0, 10.0, 1e-6)
MEV = (5e4, 5e4, 5e4, 5e4)
SWAPPED = {**W, "w2": W["w2"][:, [0, 1, 3, 2]]}
QUARTERS = (np.round(X * 4) / 4).astype(F32)
OUTLIER = X.copy()
OUTLIER[7] *= F32(1e36)
JETS = RNG.normal(size=(40, 12, 4)).astype(F32)
HEAVY = (X * np.exp(2.5 * RNG.normal(size=(len(X), 1)))).astype(F32)
NO_FIFTH = X.copy()
NO_FIFTH[:, 5] = 0
HALF = RNG.normal(size=(8, 1)).astype(F32)
MIRROR = np.concatenate([HALF, HALF[::-1]], axis=1)
TIES = X.copy()
TIES[::3, 4:] = TIES[::3, :4][:, ::-1]
WHERE = np.array([1])


def sentinel(*scale: float, weights: Mapping[str, Array] = W) -> Model:
    return network(
        "Mul y0 s -> z", "Slice x from to WHERE -> x0", "Greater x0 cut -> bad", "Where bad none z -> y",
        weights=weights, s=list(scale), **{"from": np.array([0]), "to": np.array([1])}, WHERE=WHERE, cut=1.2, none=-999.0,
    )  # fmt: skip


def probabilities(kind: str, *, shift: tuple[float, ...], offset: float = 0.0, weights: Mapping[str, Array] = W) -> Model:
    last = "Softmax:axis=1 l -> p" if kind == "softmax" else "Sigmoid l -> p"
    return network("Add y0 o -> l", last, "Add p d -> y", weights=weights, o=list(shift), d=[0.0, offset, 0.0, 0.0])


def by_exp(shift: tuple[float, ...], weights: Mapping[str, Array] = W) -> Model:
    lines = ("Add y0 o -> l", "Neg l -> m", "Exp m -> e", "Add e one -> q", "Reciprocal q -> y")
    return network(*lines, weights=weights, o=list(shift), one=1.0)


def steep(offset: float = 0.0, weights: Mapping[str, Array] = W) -> Model:
    return network("Mul y0 s -> l", "Sigmoid l -> p", "Add p d -> y", weights=weights, s=6.0, d=offset)


def shifted(weights: Mapping[str, Array] = W) -> Model:
    return network("Add y0 k -> u", "Sub u k -> y", weights=weights, k=1e4)


def dead(value: float, beside: float = 1.0, weights: Mapping[str, Array] = W) -> Model:
    return scaled(beside, beside, beside, 0.0, weights=weights, offset=(0.0, 0.0, 0.0, value))


def jets(*scale: float, moved: bool = False, first: bool = False, length: int | str = "L") -> Model:
    order = [3, 1, 0, 2]
    head = ["Gather:axis=2 x p -> x1", "MatMul x1 w -> h"] if moved else ["MatMul x w -> h"]
    last = ["Mul h s -> z", "Transpose:perm=[0,2,1] z -> y"] if first else ["Mul h s -> y"]
    w = W["w1"][:4, :4]
    weights = {"w": w[order] if moved else w, "p": np.array(order), "s": np.array(scale, F32)}
    outputs: Tensors = {"y": ("float32", ["n", 4, length] if first else ["n", length, 4])}
    return Model(nodes=[*head, *last], weights=weights, inputs={"x": ("float32", ["n", length, 4])}, outputs=outputs)


def reduced(scale: float | tuple[float, ...], axes: tuple[int, ...], shape: list[int | str], *, moved: bool = False) -> Model:
    outputs: Tensors = {"y": ("float32", shape)}
    weights = MOVED if moved else W
    return network(
        "ReduceMean:keepdims=0 y0 ax -> t", "Mul t s -> y", weights=weights, outputs=outputs, ax=np.array(axes), s=scale
    )


def logic(*nodes: str, dtype: str = "int64", shape: tuple[int | str, ...] = ("n",), **weights: Array) -> Model:
    return Model(nodes=nodes, weights=weights, inputs=ROWS, outputs={"y": (dtype, shape)})


def label(order: list[int]) -> Model:
    return logic(
        "Gather:axis=1 x p -> x1", "MatMul x1 w -> s", "ArgMax:axis=1:keepdims=0 s -> y", p=np.array(order), w=MIRROR[order]
    )


def cut(operator: str) -> Model:
    lines = [f"{operator} x c -> b", "Cast:to=1 b -> g", "MatMul g w -> y"]
    return Model(nodes=lines, weights={"c": F32(0.5), "w": W["w1"][:, :4]}, inputs=ROWS, outputs=FOUR)


def physics(*, low: bool, flag: str) -> Model:
    lines = ["Cast:to=1 p -> a", "Cast:to=11 a -> b"] if low else ["Identity p -> b"]
    lines += ["Mul b b -> q", "ReduceSum q ax -> m", "Cast:to=11 w -> v", "Mul m v -> y"]
    inputs: Tensors = {"p": ("float64", ["n", 4]), "w": (flag, ["n", 1])}
    return Model(nodes=lines, weights={"ax": WHERE}, inputs=inputs, outputs={"y": ("float64", ["n", 1])})


def beside_float64(*, wide: bool) -> Model:
    lines = ["Cast:to=11 x -> a", "MatMul a w -> y"] if wide else ["MatMul x w -> a", "Cast:to=11 a -> y"]
    inputs: Tensors = {"x": ("float32", ["n", 8]), "t": ("float64", ["n", 1])}
    weights = {"w": W["w1"][:, :4].astype(np.float64 if wide else F32), "k": np.float64(3)}
    outputs: Tensors = {"y": ("float64", ["n", 4]), "u": ("float64", ["n", 1])}
    return Model(nodes=[*lines, "Mul t k -> u"], weights=weights, inputs=inputs, outputs=outputs)


def inner(weights: Mapping[str, Array]) -> Model:
    lines = ["Cast:to=1 x -> f", "MatMul f w1 -> a", "Add a b1 -> b", "Relu b -> c", "MatMul c w2 -> d", "Cast:to=11 d -> y"]
    inputs: Tensors = {"x": ("float64", ["n", 8])}
    return Model(nodes=lines, weights=weights, inputs=inputs, outputs={"y": ("float64", ["n", 4])})


def roots(*scale: float, weights: Mapping[str, Array] = W) -> Model:
    lines = ("Slice x from to ax -> x0", "Sqrt x0 -> q", "Sub q q -> none", "Mul y0 s -> z", "Add z none -> y")
    more = {"from": np.array([0]), "to": np.array([1])}
    return network(*lines, weights=weights, s=list(scale), ax=WHERE, **more)


def variance(*, at_once: bool) -> Model:
    lines = ["ReduceMean:keepdims=1 x ax -> m"]
    if at_once:
        lines += ["Mul x x -> q", "ReduceMean:keepdims=1 q ax -> e", "Mul m m -> f", "Sub e f -> y"]
    else:
        lines += ["Sub x m -> d", "Mul d d -> q", "ReduceMean:keepdims=1 q ax -> y"]
    return Model(nodes=lines, weights={"ax": WHERE}, inputs=ROWS, outputs={"y": ("float32", ["n", 1])})


def halves() -> Model:
    lines = ["Cast:to=10 x -> a", "MatMul a w1 -> b", "Add b b1 -> c", "Relu c -> d", "MatMul d w2 -> e", "Cast:to=1 e -> y"]
    weights = {name: array.astype(np.float16) for name, array in W.items()}
    return Model(nodes=lines, weights=weights, inputs=ROWS, outputs=FOUR)


def small_half(factor: float) -> Model:
    lines = ["Cast:to=10 x -> a", "Mul a s -> y"]
    inputs: Tensors = {"x": ("float32", ["n", 8])}
    return Model(
        nodes=lines, weights={"s": np.full(8, factor, np.float16)}, inputs=inputs, outputs={"y": ("float16", ["n", 8])}
    )


def weighted(*, read: bool) -> Model:
    lines = ["MatMul x w -> a", "Mul a e -> y" if read else "Identity a -> y"]
    inputs: Tensors = {"x": ("float32", ["n", 8]), "e": ("float32", ["n", 1])}
    return Model(nodes=lines, weights={"w": W["w1"][:, :4]}, inputs=inputs, outputs=FOUR)


def masses(*, moved: bool) -> Model:
    parts = ["Sub e z -> a", "Sub a y -> b", "Sub b x -> m"] if moved else ["Add x y -> a", "Add a z -> b", "Sub e b -> m"]
    lines = ["Mul p p -> q", "Split:axis=1:num_outputs=4 q -> e x y z", *parts, "Max m least -> c", "Log c -> l"]
    return Model(
        nodes=lines, weights={"least": F32(1e-8)}, inputs={"p": ("float32", ["n", 4])}, outputs={"l": ("float32", ["n", 1])}
    )


def wrong(reference: Model, candidate: Model, sample: Mapping[str, Array] | Array = X, **more: bool) -> Pairing:
    return Pairing(reference=reference, candidate=candidate, sample=_named(sample), wrong=True, **more)


def honest(reference: Model, candidate: Model, sample: Mapping[str, Array] | Array = X, **more: bool) -> Pairing:
    return Pairing(reference=reference, candidate=candidate, sample=_named(sample), wrong=False, **more)


def _named(sample: Mapping[str, Array] | Array) -> Mapping[str, Array]:
    return {"x": sample} if isinstance(sample, np.ndarray) else sample


RARE, RARER, SATURATED = (0.0, -16.0, 0.0, 2.0), (0.0, -16.0, 0.0, 20.0), (0.0, -60.0, 0.0, 20.0)
EVENTS = {"p": RNG.normal(size=(200, 4)) * 100}
FLAGS = np.where(RNG.random((200, 1)) < 0.5, 1.0, 0.93)
PAIRINGS: dict[str, Pairing] = {
    "a column of 1e-6 doubled": wrong(scaled(*TRACK), scaled(1, 1, 10, 2e-6)),
    "a column of 1e-6, another order": honest(scaled(*TRACK), scaled(*TRACK, weights=MOVED)),
    "a column of 1e-20 off by a percent": wrong(scaled(1, 1, 1, 1e-20), scaled(1, 1, 1, 1.01e-20)),
    "a column of 1e-20, another order": honest(scaled(1, 1, 1, 1e-20), scaled(1, 1, 1, 1e-20, weights=MOVED)),
    "two small columns swapped": wrong(scaled(1, 1, 1e-6, 1e-6), scaled(1, 1, 1e-6, 1e-6, weights=SWAPPED)),
    "an offset of 1e-3 of 1e-4": wrong(scaled(1, 1, 1, 1e-4), scaled(1, 1, 1, 1e-4, offset=(0, 0, 0, 1e-7))),
    "an offset of 1e-3 of 5e4": wrong(scaled(*MEV), scaled(*MEV, offset=(50, 0, 0, 0))),
    "outputs in MeV, another order": honest(scaled(*MEV), scaled(*MEV, weights=MOVED)),
    "outputs in MeV, three rows": honest(scaled(*MEV), scaled(*MEV, weights=MOVED), X[:3]),
    "one row, a small column doubled": wrong(scaled(*TRACK), scaled(1, 1, 10, 2e-6), X[:1]),
    "one row, another order": honest(scaled(*TRACK), scaled(*TRACK, weights=MOVED), X[:1]),
    "outputs of 1e8 beside a small one that is wrong": wrong(scaled(1e8, 1e8, 1, 1e-3), scaled(1e8, 1e8, 1, 1.01e-3)),
    "outputs of 1e8 beside a small one": honest(scaled(1e8, 1e8, 1, 1e-3), scaled(1e8, 1e8, 1, 1e-3, weights=MOVED)),
    "an outlier in a small column that is wrong": wrong(scaled(*TRACK), scaled(1, 1, 10, 2e-6), OUTLIER),
    "an outlier, another order": honest(scaled(*TRACK), scaled(*TRACK, weights=MOVED), OUTLIER),
    "rows of -999 in a small column that is wrong": wrong(sentinel(*TRACK), sentinel(1, 1, 10, 2e-6)),
    "rows of -999, another order": honest(sentinel(*TRACK), sentinel(*TRACK, weights=MOVED)),
    "NaN rows in a small column that is wrong": wrong(roots(*TRACK), roots(1, 1, 10, 2e-6), allow_nan=True),
    "NaN rows, another order": honest(roots(*TRACK), roots(*TRACK, weights=MOVED), allow_nan=True),
    "half precision inside": wrong(scaled(1, 1, 1, 1), halves()),
    "a rare class with an offset, softmax": wrong(probabilities("softmax", shift=RARE), probabilities("softmax", shift=RARE, offset=1e-6)),
    "a rare class, softmax": honest(probabilities("softmax", shift=RARE), probabilities("softmax", shift=RARE, weights=MOVED)),
    "a rare class with an offset, sigmoid": wrong(probabilities("sigmoid", shift=RARE), probabilities("sigmoid", shift=RARE, offset=1e-6)),
    "a rare class, sigmoid": honest(probabilities("sigmoid", shift=RARE), probabilities("sigmoid", shift=RARE, weights=MOVED)),
    "a kernel that is right to a rounding of one": honest(by_exp(RARER), probabilities("sigmoid", shift=RARER, weights=MOVED)),
    "a reference that is right to a rounding of one": honest(probabilities("sigmoid", shift=RARER), by_exp(RARER, weights=MOVED)),
    "saturated at 1e-26 beside 1": honest(by_exp(SATURATED), probabilities("sigmoid", shift=SATURATED, weights=MOVED)),
    "probabilities of all sizes with an offset": wrong(steep(), steep(1e-6)),
    "probabilities of all sizes": honest(steep(), steep(weights=MOVED)),
    "logarithms of probabilities": honest(
        network("Mul y0 s -> l", "LogSoftmax:axis=1 l -> y", s=6.0),
        network("Mul y0 s -> l", "Softmax:axis=1 l -> p", "Log p -> y", weights=MOVED, s=6.0),
    ),
    "a difference of large numbers": honest(shifted(), shifted(weights=MOVED)),
    "a better way than the reference's": honest(shifted(), scaled(1, 1, 1, 1)),
    "a worse way than the reference's": wrong(scaled(1, 1, 1, 1), shifted()),
    "a variance that cancels": wrong(variance(at_once=False), variance(at_once=True), X + F32(1000)),
    "a column of zeros, and 1e-12": honest(dead(0), dead(1e-12, weights=MOVED)),
    "a column of zeros, and 1e-3": wrong(dead(0), dead(1e-3)),
    "a flag beside MeV": wrong(dead(0, beside=5e4), dead(0.1, beside=5e4)),
    "nothing but zeros, and 1e-12": honest(scaled(0, 0, 0, 0), scaled(0, 0, 0, 0, offset=(1e-12,) * 4)),
    "a small feature of many entries": wrong(jets(5e4, 5e4, 1, 1e-6), jets(5e4, 5e4, 1, 2e-6), JETS),
    "features of many entries": honest(jets(5e4, 5e4, 1, 1e-6), jets(5e4, 5e4, 1, 1e-6, moved=True), JETS),
    "a small feature of a fixed list": wrong(jets(5e4, 1, 1, 1e-6, length=12), jets(5e4, 1, 1, 2e-6, length=12), JETS),
    "features of a fixed list": honest(jets(5e4, 1, 1, 1e-6, length=12), jets(5e4, 1, 1, 1e-6, moved=True, length=12), JETS),
    "a small feature, features first": wrong(jets(5e4, 1, 1, 1e-6, first=True), jets(5e4, 1, 1, 2e-6, first=True), JETS),
    "features first": honest(jets(5e4, 1, 1, 1e-6, first=True), jets(5e4, 1, 1, 1e-6, moved=True, first=True), JETS),
    "one small number for each row": wrong(reduced(1e-7, (1,), ["n"]), reduced(1.01e-7, (1,), ["n"])),
    "one number for each row": honest(reduced(1e-7, (1,), ["n"]), reduced(1e-7, (1,), ["n"], moved=True)),
    "one vector for each request, a small place": wrong(reduced(TRACK, (0,), [4]), reduced((1, 1, 10, 2e-6), (0,), [4])),
    "one vector for each request": honest(reduced(TRACK, (0,), [4]), reduced(TRACK, (0,), [4], moved=True)),
    "one small number for each request": wrong(reduced(1e-7, (0, 1), []), reduced(1.01e-7, (0, 1), [])),
    "rows of all sizes": honest(scaled(1e4, 1, 1, 1e-4), scaled(1e4, 1, 1, 1e-4, weights=MOVED), HEAVY),
    "rows of all sizes, a thousandth off": wrong(scaled(1e4, 1, 1, 1e-4), scaled(1.001e4, 1, 1, 1e-4), HEAVY),
    "float16, a small output a tenth off": wrong(small_half(1e-4), small_half(1.1e-4)),
    "whole numbers off by one": wrong(
        logic("Floor x -> f", "Cast:to=7 f -> y", shape=("n", 8)),
        logic("Floor x -> f", "Cast:to=7 f -> i", "Add i one -> y", shape=("n", 8), one=np.int64(1)),
    ),
    "> for >= at the cut": wrong(cut("GreaterOrEqual"), cut("Greater"), QUARTERS),
    "the last of equal entries for the first": wrong(
        logic("ArgMax:axis=1:keepdims=0 x -> y"), logic("ArgMax:axis=1:keepdims=0:select_last_index=1 x -> y"), QUARTERS
    ),
    "labels that rounding decides": honest(label([0, 1, 2, 3, 4, 5, 6, 7]), label([4, 5, 6, 7, 0, 1, 2, 3]), TIES),
    "labels in another order": wrong(
        label([0, 1, 2, 3, 4, 5, 6, 7]),
        logic("MatMul x w -> s", "ArgMax:axis=1:keepdims=0 s -> y", w=np.ascontiguousarray(MIRROR[:, ::-1])), TIES,
    ),
    "a float32 flag beside float64": wrong(
        physics(low=False, flag="float32"), physics(low=True, flag="float32"), {**EVENTS, "w": FLAGS.astype(F32)}
    ),
    "a float16 weight beside float64": wrong(
        physics(low=False, flag="float16"), physics(low=True, flag="float16"), {**EVENTS, "w": FLAGS.astype(np.float16)}
    ),
    "float64 of float32 alone": honest(
        beside_float64(wide=True), beside_float64(wide=False), {"x": X[:200], "t": RNG.normal(size=(200, 1))}
    ),
    "float64 that is float32 inside": honest(inner(W), inner(MOVED), {"x": X.astype(np.float64)}),
    "float64 that is float32 inside, a thousandth off": wrong(
        inner(W), inner({**W, "w2": W["w2"] * F32(1.001)}), {"x": X.astype(np.float64)}
    ),
    "an input column of zeros that is not read": wrong(
        scaled(1, 1, 1, 1), scaled(1, 1, 1, 1, weights={**W, "w1": np.where(np.arange(8)[:, None] == 5, F32(0), W["w1"])}), NO_FIFTH
    ),
    "an input column of zeros": honest(scaled(1, 1, 1, 1), scaled(1, 1, 1, 1, weights=MOVED), NO_FIFTH),
    "weights of one that are not read": wrong(weighted(read=True), weighted(read=False), {"x": X, "e": np.ones((len(X), 1), F32)}),
    "masses of light particles": honest(masses(moved=False), masses(moved=True), {"p": light(500)}),
}  # fmt: skip


def judged(pairing: Pairing, folder: Path, tolerance: Tolerance | None = None) -> Comparison:
    """Compare the two models on the sample, at other sizes and in the edge cases."""
    given = Batch(name="sample", inputs=dict(pairing.sample))
    reference, candidate = pairing.reference.write(folder / "r.onnx"), pairing.candidate.write(folder / "c.onnx")
    with OnnxRuntimeRunner(reference) as left, OnnxRuntimeRunner(candidate) as right, Float64() as float64:
        made = [*sweep(left.signature, [given]), *edge_cases(left.signature, [given], {})]
        batches = [given, *(batch for batch in made if all(array.size for array in batch.inputs.values()))]
        rules = {"tolerance": tolerance or Tolerance(), "allow_nan": pairing.allow_nan, "float64": float64}
        return compare(left, right, batches, **rules)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", PAIRINGS)
def test_wrong_numbers_are_caught_and_honest_ones_are_not(name: str, tmp_path: Path) -> None:
    pairing = PAIRINGS[name]
    comparison = judged(pairing, tmp_path)
    assert comparison.verdict == ("disagrees" if pairing.wrong else "equal"), comparison.reason


def test_what_the_user_gives_is_meant_as_it_is(tmp_path: Path) -> None:
    doubled = PAIRINGS["a column of 1e-6 doubled"]
    comparison = judged(doubled, tmp_path, Tolerance(atol=1e-5))
    assert comparison.verdict == "equal"
    (said,) = [check for check in comparison.checks if check.name == "tolerance"]
    assert said.status == "reported" and said.text.startswith("1 of 4 columns lie below atol 1e-05")
    moved = PAIRINGS["outputs in MeV, another order"]
    assert judged(moved, tmp_path, Tolerance(rtol=1e-9, atol=1e-6)).verdict == "disagrees"
