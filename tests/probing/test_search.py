"""What a conversion is asked outside its samples: formulas that are wrong at their ends are found by name, honest ones are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import special

from tests.probing.pairs import F32, Pair, found

INT = {"k": "int64[n,4]"}
WEIGHT = "w = Constant <value_float: float = 0.05> () z = Mul (x, w)"
ONE = "one = Constant <value_float: float = 1.0> ()"


def _counts(rng: np.random.Generator, _: str) -> np.ndarray:
    return rng.integers(0, 9, (5, 4))


def _positive(rng: np.random.Generator, _: str) -> np.ndarray:
    return rng.uniform(0.5, 3.0, (5, 4))


def _int(value: int, name: str = "five") -> str:
    return f"{name} = Constant <value_int: int = {value}> ()"


def _taken(k: np.ndarray) -> np.ndarray:
    table = np.arange(10, dtype=F32) ** 2
    return np.where(k < 0, F32(0), table[np.clip(k, 0, 9)])


def _farthest(x: np.ndarray, f: np.ndarray) -> np.ndarray:
    squares = (x**2).sum(2)
    chosen = (squares[:, :, None] + squares[:, None] - 2 * x @ x.transpose(0, 2, 1)).argmax(2)
    return np.take_along_axis(f, np.repeat(chosen[..., None], f.shape[2], axis=2), axis=1)


def _branch(x: np.ndarray) -> np.ndarray:
    return x * 2 if x.max() > 5 else x


def _finite(x: np.ndarray) -> np.ndarray:
    return np.nan_to_num(x.max(axis=1, keepdims=True), nan=7.0)


WRONG = [
    Pair(
        name="logsigmoid", graph="a = Sigmoid (x) y = Log (a)", function=lambda x: -np.logaddexp(0, -x), cause="Log of Sigmoid"
    ),
    Pair(
        name="softplus behind a small weight",
        graph=f"{WEIGHT} {ONE} e = Exp (z) a = Add (one, e) y = Log (a)",
        function=lambda x: np.logaddexp(0, x * F32(0.05)),
        cause="Exp",
    ),
    Pair(
        name="logaddexp",
        graph="m = Neg (x) a = Exp (x) b = Exp (m) c = Add (a, b) y = Log (c)",
        function=lambda x: np.logaddexp(x, -x),
        cause="Exp",
    ),
    Pair(
        name="log1p of tiny numbers",
        graph=f"{ONE} big = Constant <value_float: float = 1e6> () a = Add (x, one) l = Log (a) y = Mul (l, big)",
        function=lambda x: np.log1p(x) * 1e6,
        cause="Log of Add",
        sample=_positive,
    ),
    Pair(
        name="expm1 of tiny numbers",
        graph=f"{ONE} big = Constant <value_float: float = 1e6> () e = Exp (x) a = Sub (e, one) y = Mul (a, big)",
        function=lambda x: np.expm1(x) * 1e6,
        cause="Sub of Exp",
    ),
    Pair(
        name="log of softmax",
        graph="a = Softmax <axis: int = 1> (x) y = Log (a)",
        function=lambda x: special.log_softmax(x, axis=1),
        cause="Log of Softmax",
    ),
    Pair(
        name="logsumexp",
        graph="ax = Constant <value_ints: ints = [1]> () e = Exp (x) s = ReduceSum (e, ax) y = Log (s)",
        function=lambda x: special.logsumexp(x, axis=1, keepdims=True),
        cause="Exp",
        output="float[n,1]",
    ),
    Pair(
        name="softmax by hand",
        graph="ax = Constant <value_ints: ints = [1]> () e = Exp (x) s = ReduceSum (e, ax) y = Div (e, s)",
        function=lambda x: special.softmax(x, axis=1),
        cause="Exp",
    ),
    Pair(
        name="sigmoid by hand",
        graph=f"{ONE} e = Exp (x) d = Add (e, one) y = Div (e, d)",
        function=special.expit,
        cause="Exp",
    ),
    Pair(
        name="tanh by hand",
        graph="m = Neg (x) a = Exp (x) b = Exp (m) u = Sub (a, b) v = Add (a, b) y = Div (u, v)",
        function=np.tanh,
        cause="Exp",
    ),
    Pair(
        name="asinh by hand",
        graph=f"{ONE} q = Mul (x, x) s = Add (q, one) r = Sqrt (s) a = Add (x, r) y = Log (a)",
        function=np.arcsinh,
        cause="Log",
    ),
    Pair(
        name="log of erfc",
        graph=f"{ONE} e = Erf (x) c = Sub (one, e) y = Log (c)",
        function=lambda x: special.log_ndtr(-x * np.sqrt(2)) + np.log(2),
        cause="Erf",
    ),
    Pair(
        name="square root of clipped numbers",
        graph="y = Sqrt (x)",
        function=lambda x: np.sqrt(np.maximum(x, 0)),
        cause="Sqrt",
        sample=_positive,
    ),
    Pair(
        name="safe division",
        graph="r = Reciprocal (x) y = Mul (r, x)",
        function=lambda x: np.where(x == 0, F32(0), x / np.where(x == 0, 1, x)),
        cause="Reciprocal",
        sample=_positive,
    ),
    Pair(
        name="third power through a logarithm",
        graph="three = Constant <value_float: float = 3.0> () l = Log (x) t = Mul (l, three) y = Exp (t)",
        function=lambda x: x**3,
        cause="Log",
        sample=_positive,
    ),
    Pair(
        name="atan2 by the quotient",
        graph="q = Div (z, x) y = Atan (q)",
        function=lambda x, z: np.arctan2(z, x),
        cause="",
        inputs={"x": "float[n,4]", "z": "float[n,4]"},
        sample=_positive,
    ),
    Pair(
        name="spread of equal numbers",
        graph="ax = Constant <value_ints: ints = [1]> () q = Mul (x, x) m = ReduceMean <keepdims: int = 1> (q, ax)"
        " a = ReduceMean <keepdims: int = 1> (x, ax) b = Mul (a, a) v = Sub (m, b) y = Sqrt (v)",
        function=lambda x: x.std(axis=1, keepdims=True),
        cause="Sqrt",
        inputs={"x": "float[n,7]"},
        output="float[n,1]",
        sample=lambda rng, _: rng.normal(size=(5, 7)) + 3.3,
    ),
    Pair(name="a lost upper bound", graph="y = Relu (x)", function=lambda x: np.clip(x, 0, 6), cause=""),
    Pair(name="a lost branch on data", graph="y = Identity (x)", function=_branch, cause=""),
    Pair(
        name="floor as a cast",
        graph="i = Cast <to: int = 7> (x) y = Cast <to: int = 1> (i)",
        function=np.floor,
        cause="Cast",
        sample=_positive,
    ),
    Pair(
        name="missing values in a maximum",
        graph="ax = Constant <value_ints: ints = [1]> () m = ReduceMax (x, ax) n = IsNaN (m)"
        " seven = Constant <value_float: float = 7.0> () y = Where (n, seven, m)",
        function=_finite,
        cause="ReduceMax",
        output="float[n,1]",
    ),
    Pair(
        name="bins of negative numbers",
        graph=f"{_int(5)} y = Div (k, five)",
        function=lambda k: k // 5,
        cause="Div",
        inputs=INT,
        output="int64[n,4]",
        sample=_counts,
    ),
    Pair(
        name="rest of negative numbers",
        graph=f"{_int(5)} y = Mod <fmod: int = 1> (k, five)",
        function=lambda k: k % 5,
        cause="Mod",
        inputs=INT,
        output="int64[n,4]",
        sample=_counts,
    ),
    Pair(
        name="one hot of a missing category",
        graph=f"{_int(9, 'depth')} v = Constant <value_floats: floats = [0.0, 1.0]> () y = OneHot (k, depth, v)",
        function=lambda k: (k[..., None] == np.arange(9)).astype(F32),
        cause="OneHot",
        inputs=INT,
        output="float[n,4,9]",
        sample=_counts,
    ),
    Pair(
        name="a missing category in a table",
        graph="t = Constant <value_floats: floats = [0.0, 1.0, 4.0, 9.0, 16.0, 25.0, 36.0, 49.0, 64.0, 81.0]> () y = Gather (t, k)",
        function=_taken,
        cause="Gather",
        inputs=INT,
        sample=_counts,
    ),
    Pair(
        name="half of a negative number",
        graph=f"{_int(1, 'one')} u = Cast <to: int = 13> (k) s = Cast <to: int = 13> (one)"
        ' r = BitShift <direction: string = "RIGHT"> (u, s) y = Cast <to: int = 7> (r)',
        function=lambda k: k >> 1,
        cause="",
        inputs=INT,
        output="int64[n,4]",
        sample=_counts,
    ),
]

NOTED = [
    Pair(
        name="halves rounded otherwise",
        graph="y = Round (x)",
        function=lambda x: np.sign(x) * np.floor(np.abs(x) + F32(0.5)),
        cause="Round",
    ),
    Pair(
        name="whole numbers through float32",
        graph="f = Cast <to: int = 1> (k) y = Cast <to: int = 7> (f)",
        function=lambda k: k,
        cause="Cast",
        inputs=INT,
        output="int64[n,4]",
        sample=_counts,
    ),
    Pair(
        name="NaN that the file leaves out",
        graph="ax = Constant <value_ints: ints = [1]> () y = ReduceMax (x, ax)",
        function=lambda x: x.max(axis=1, keepdims=True),
        cause="ReduceMax",
        output="float[n,1]",
    ),
    Pair(
        name="a logarithm of 0 that is bounded",
        graph="e = Constant <value_float: float = 1e-10> () a = Max (x, e) y = Log (a)",
        function=np.log,
        cause="",
        sample=_positive,
    ),
    Pair(
        name="angle between nearly parallel vectors",
        graph="ax = Constant <value_ints: ints = [1]> () p = Mul (x, z) d = ReduceSum (p, ax) a = ReduceL2 (x, ax) b = ReduceL2 (z, ax)"
        " n = Mul (a, b) c = Div (d, n) y = Acos (c)",
        function=lambda x, z: np.arccos(
            (x * z).sum(1, keepdims=True) / (np.sqrt((x * x).sum(1, keepdims=True)) * np.sqrt((z * z).sum(1, keepdims=True)))
        ),
        inputs={"x": "float[n,4]", "z": "float[n,4]"},
        output="float[n,1]",
        cause="Acos",
    ),
]

HONEST = [
    Pair(name="softplus", graph="y = Softplus (x)", function=lambda x: np.logaddexp(0, x)),
    Pair(
        name="logarithm of a sum of exponentials",
        graph="ax = Constant <value_ints: ints = [1]> () y = ReduceLogSumExp (x, ax)",
        function=lambda x: special.logsumexp(x, axis=1, keepdims=True),
        output="float[n,1]",
    ),
    Pair(
        name="the same unstable formula on both sides",
        graph=f"{ONE} e = Exp (x) a = Add (one, e) y = Log (a)",
        function=lambda x: np.log(1 + np.exp(x)),
    ),
    Pair(name="softmax", graph="y = Softmax <axis: int = 1> (x)", function=lambda x: special.softmax(x, axis=1)),
    Pair(
        name="floor division of floats",
        graph="f = Constant <value_float: float = 0.7> () d = Div (x, f) y = Floor (d)",
        function=lambda x: np.floor(x / F32(0.7)),
    ),
    Pair(
        name="layer normalisation",
        graph="ax = Constant <value_ints: ints = [1]> () m = ReduceMean <keepdims: int = 1> (x, ax) c = Sub (x, m) q = Mul (c, c)"
        " v = ReduceMean <keepdims: int = 1> (q, ax)"
        " e = Constant <value_float: float = 1e-6> () w = Add (v, e) s = Sqrt (w) y = Div (c, s)",
        function=lambda x: (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + F32(1e-6)),
    ),
    Pair(
        name="a network of two layers, large sums in another order",
        graph="w = Constant <value = float[4,4] {1.0,-2.0,0.5,3.0,0.1,0.2,-0.7,1.1,-1.0,2.0,3.0,-0.3,0.9,0.8,0.7,-0.6}> ()"
        " h = MatMul (x, w) r = Relu (h)"
        " o = MatMul (r, w) y = Softmax <axis: int = 1> (o)",
        function=lambda x: special.softmax(
            np.maximum((x.astype(np.float64) @ W).astype(F32), 0).astype(np.float64) @ W, axis=1
        ),
    ),
    Pair(
        name="the index of the largest",
        graph="y = ArgMax <axis: int = 1, keepdims: int = 0> (x)",
        function=lambda x: x.argmax(1),
        output="int64[n]",
        ranges={"x": (-1e4, 1e4)},
    ),
    Pair(
        name="bins of positive numbers, as the user says",
        graph=f"{_int(5)} y = Div (k, five)",
        function=lambda k: k // 5,
        inputs=INT,
        output="int64[n,4]",
        sample=_counts,
        ranges={"k": (0, 40)},
    ),
    Pair(
        name="logits in a range, as the user says",
        graph="a = Sigmoid (x) y = Log (a)",
        function=lambda x: -np.logaddexp(0, -x),
        ranges={"x": (-8.0, 8.0)},
    ),
    Pair(
        name="a table that refuses what it does not hold",
        graph="t = Constant <value_floats: floats = [0.0, 1.0, 4.0, 9.0, 16.0, 25.0, 36.0, 49.0, 64.0, 81.0]> () y = Gather (t, k)",
        function=lambda k: (np.arange(10, dtype=F32) ** 2)[_checked(k)],
        inputs=INT,
        sample=_counts,
    ),
    Pair(
        name="numbers in half precision",
        graph="h = Cast <to: int = 10> (x) q = Mul (h, h) y = Cast <to: int = 1> (q)",
        function=lambda x: x * x,
    ),
    Pair(
        name="invariant mass with a guard",
        graph="zero = Constant <value_float: float = 0.0> () q = Mul (x, x) p = Mul (z, z) d = Sub (q, p) m = Max (d, zero) y = Sqrt (m)",
        function=lambda x, z: np.sqrt(np.maximum(x * x - z * z, 0)),
        inputs={"x": "float[n,4]", "z": "float[n,4]"},
    ),
]

W = np.array([1.0, -2.0, 0.5, 3.0, 0.1, 0.2, -0.7, 1.1, -1.0, 2.0, 3.0, -0.3, 0.9, 0.8, 0.7, -0.6]).reshape(4, 4)


def _checked(k: np.ndarray) -> np.ndarray:
    if (k < 0).any():
        raise IndexError("index out of range")
    return k


@pytest.mark.parametrize("pair", WRONG, ids=lambda pair: pair.name)
def test_a_formula_that_is_wrong_at_an_end_is_refused_by_name(pair: Pair, tmp_path: Path) -> None:
    gross = [finding for finding in found(pair, tmp_path) if finding.gross]
    assert gross
    assert any(pair.cause in str(finding.cause or "") for finding in gross), [finding.cause for finding in gross]
    assert not pair.cause or "node '" in str(gross[0].cause)


@pytest.mark.parametrize("pair", NOTED, ids=lambda pair: pair.name)
def test_a_stranger_difference_is_noted_by_name(pair: Pair, tmp_path: Path) -> None:
    findings = found(pair, tmp_path)
    assert findings
    assert not any(finding.gross for finding in findings), findings
    assert any(pair.cause in str(finding.cause or "") for finding in findings), [finding.cause for finding in findings]


@pytest.mark.parametrize("pair", HONEST, ids=lambda pair: pair.name)
def test_an_honest_file_is_left_alone(pair: Pair, tmp_path: Path) -> None:
    assert found(pair, tmp_path) == []


def test_a_file_that_refuses_a_divisor_of_0_is_noted_and_nothing_dies(tmp_path: Path) -> None:
    guarded = Pair(
        name="whole numbers divided by whole numbers",
        graph="y = Div (k, d)",
        function=lambda k, d: np.where(d == 0, 0, k // np.where(d == 0, 1, d)),
        inputs={"k": "int64[n,4]", "d": "int64[n,4]"},
        output="int64[n,4]",
        sample=lambda rng, _: rng.integers(1, 9, (5, 4)),
        ranges={"k": (0, 50), "d": (0, 50)},
    )
    findings = found(guarded, tmp_path)
    assert [(finding.gross, finding.probe.moved) for finding in findings] == [(False, ("d",))]
    assert findings[0].refusal


def test_missing_values_that_another_output_asks_for_do_not_count(tmp_path: Path) -> None:
    least = "ax = Constant <value_ints: ints = [1]> () y = ReduceMin (x, ax)"
    pair = Pair(
        name="",
        graph=least,
        function=lambda x: np.nanmin(np.where(np.isnan(x), 0, x), axis=1, keepdims=True),
        output="float[n,1]",
    )
    assert [finding.gross for finding in found(pair, tmp_path)] == [False]
    asking = replace(pair, graph=f"n = Equal (x, x) w = Where (n, x, x) {least.replace('(x, ax)', '(w, ax)')}")
    assert any(finding.gross for finding in found(asking, tmp_path))


def test_float64_of_the_source_says_whether_it_is_right_itself(tmp_path: Path) -> None:
    """The source's own answer is rounding alone: it cannot convict the file."""
    graph = "e = Exp (x) n = Neg (x) f = Exp (n) p = Mul (e, f) y = Sub (p, p)"
    pair = Pair(name="", graph=graph, function=lambda x: x * 0 if x.dtype == F32 else x * 0 + 1)
    assert any(finding.gross for finding in found(pair, tmp_path))
    assert not any(finding.gross for finding in found(pair, tmp_path, double=True))


def test_points_that_are_equally_far_may_be_taken_in_any_order(tmp_path: Path) -> None:
    """Where all numbers of an event are 0, each point is as far as any other: both sides are right, whichever they take."""
    pair = Pair(
        name="the farthest point of an event, the last of those that are equally far",
        graph="two = Constant <value_ints: ints = [2]> () second = Constant <value_float: float = 2.0> () "
        "p = Pow (x, second) a = ReduceSum (p, two) b = Transpose <perm: ints = [0, 2, 1]> (a) t = Transpose <perm: ints = [0, 2, 1]> (x) "
        "m = MatMul (x, t) m2 = Mul (m, second) c = Add (a, b) s = Sub (c, m2) i = ArgMax <axis: int = 2, select_last_index: int = 1> (s) "
        "l = Shape (f) j = Expand (i, l) y = GatherElements <axis: int = 1> (f, j)",
        function=_farthest,
        inputs={"x": "float[n,6,4]", "f": "float[n,6,3]"},
        output="float[n,6,3]",
        sample=lambda rng, name: rng.normal(size=(3, 6, 4 if name == "x" else 3)),
    )
    assert not [finding for finding in found(pair, tmp_path) if finding.gross]
