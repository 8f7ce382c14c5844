"""Wrong numbers that were once called equal, and honest twins that were once refused, through the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from portinf.core.batch import Array, save_npz
from tests.e2e.test_traps import judged
from tests.validation.gallery import FOUR, MOVED, ROWS, Model, W, X, light, network, scaled

RNG = np.random.default_rng(12)
F32 = np.float32


@dataclass(frozen=True, kw_only=True)
class Case:
    """A reference, what is wrong beside it, honest twins of it, and the sample."""

    reference: Model
    wrong: Sequence[Model] = ()
    honest: Sequence[Model] = ()
    sample: Mapping[str, Array]
    arguments: Sequence[str] = ()
    reason: str = "elements out of tolerance"


def rare(offset: float, weights: Mapping[str, Array] = W) -> Model:
    lines = ("Add y0 o -> l", "Softmax:axis=1 l -> q", "Add q d -> y")
    return network(*lines, weights=weights, o=[0.0, -16.0, 0.0, 0.0], d=[0.0, offset, 0.0, 0.0])


def masses(low: bool, moved: bool = False) -> Model:
    lines = ["Cast:to=1 p -> a", "Cast:to=11 a -> b"] if low else ["Identity p -> b"]
    lines += ["Mul b b -> q", "Cast:to=11 w -> v"]
    lines += ["Mul q v -> r", "ReduceSum r ax -> m2"] if moved else ["ReduceSum q ax -> m", "Mul m v -> m2"]
    inputs = {"p": ("float64", ["n", 4]), "w": ("float32", ["n", 1])}
    return Model(nodes=lines, weights={"ax": np.array([1])}, inputs=inputs, outputs={"m2": ("float64", ["n", 1])})


def weighted(*lines: str) -> Model:
    inputs = {"x": ("float32", ["n", 8]), "wgt": ("float32", ["n", 1])}
    return Model(nodes=["MatMul x w -> a", *lines], weights={"w": W["w1"][:, :4], "none": F32(0)}, inputs=inputs, outputs=FOUR)


def pair_mass(*parts: str) -> Model:
    lines = ["Mul p4 p4 -> q", "Split:axis=1:num_outputs=4 q -> e x y z", *parts, "Max m least -> c", "Log c -> lnm2"]
    inputs, outputs = {"p4": ("float32", ["n", 4])}, {"lnm2": ("float32", ["n", 1])}
    return Model(nodes=lines, weights={"least": F32(1e-8)}, inputs=inputs, outputs=outputs)


def longest(*lines: str) -> Model:
    weights = {"w": W["w1"][:6, :16], "k": np.ascontiguousarray(W["w1"][:6, :16].T[:, :, None]), "one": np.array([1])}
    inputs, outputs = {"x": ("float32", ["n", "L", 6])}, {"y": ("float32", ["n", 16])}
    return Model(nodes=[*lines, "ReduceMax:keepdims=0 h one -> y"], weights=weights, inputs=inputs, outputs=outputs)


def argmax(order: Sequence[int]) -> Model:
    half = W["w1"][:, :1]
    mirror = np.concatenate([half, half[::-1]], axis=1)
    lines = ["Gather:axis=1 x p -> a", "MatMul a w -> score", "ArgMax:axis=1:keepdims=0 score -> label"]
    outputs = {"score": ("float32", ["n", 2]), "label": ("int64", ["n"])}
    return Model(nodes=lines, weights={"p": np.array(order), "w": mirror[list(order)]}, inputs=ROWS, outputs=outputs)


def mean(*, wide: bool, factor: float = 1.0) -> Model:
    head = ["Cast:to=11 x -> a", "Cast:to=11 mask -> b"] if wide else ["Identity x -> a", "Identity mask -> b"]
    lines = [
        *head,
        "Unsqueeze b two -> c",
        "Mul a c -> d",
        "ReduceSum:keepdims=0 d one -> s",
        "ReduceSum:keepdims=1 b one -> n",
    ]
    lines += ["Div s n -> q", "Identity q -> r" if wide else "Cast:to=11 q -> r", "Mul r f -> y"]
    inputs = {"x": ("float32", ["n", "L", 6]), "mask": ("float32", ["n", "L"])}
    weights = {"one": np.array([1]), "two": np.array([2]), "f": np.float64(factor)}
    return Model(nodes=lines, weights=weights, inputs=inputs, outputs={"y": ("float64", ["n", 6])})


def attention(low: float) -> Model:
    lines = ["MatMul x w -> a", "Squeeze a two -> b", "Where mask b low -> c", "Softmax:axis=1 c -> d", "Unsqueeze d two -> e"]
    inputs = {"x": ("float32", ["n", "L", 6]), "mask": ("bool", ["n", "L"])}
    weights = {"w": W["w1"][:6, :1], "low": F32(low), "one": np.array([1]), "two": np.array([2])}
    lines += ["Mul x e -> f", "ReduceSum:keepdims=0 f one -> y"]
    return Model(nodes=lines, weights=weights, inputs=inputs, outputs={"y": ("float32", ["n", 6])})


def ratio(factor: float) -> Model:
    """One entry is a number at 100 rows and NaN at any other; the others are wrong there."""
    lines = ("Shape x -> s", "Gather s k0 -> n", "Equal n hundred -> e", "Where e none nan -> o", "Where e one factor -> f")
    lines += ("Mul y0 f -> g", "Slice g k00 k3 ax -> left", "Slice g k3 k4 ax -> last0", "Add last0 o -> last")
    more = {
        name: np.array(value) for name, value in {"k00": [0], "k3": [3], "k4": [4], "ax": [1], "k0": 0, "hundred": 100}.items()
    }
    constants = {"none": 0.0, "nan": float("nan"), "one": 1.0, "factor": factor}
    return network(*lines, "Concat:axis=1 left last -> y", **more, **constants)


def labels(kind: str, *words: str, values: Sequence[object]) -> Model:
    texts = (
        f"values_strings=[{','.join(map(str, values))}]"
        if kind == "object"
        else f"values_int64s=[{','.join(map(str, values))}]"
    )
    default = "default_string=?" if kind == "object" else "default_int64=0"
    line = f"LabelEncoder:{default}:keys_strings=[{','.join(words)}]:{texts} s -> id"
    return Model(nodes=[line], weights={}, inputs={"s": ("object", ["n"])}, outputs={"id": (kind, ["n"])})


TIES = X.copy()
TIES[::3, 4:] = TIES[::3, :4][:, ::-1]
JETS = RNG.normal(size=(60, 12, 6)).astype(F32)
COUNTS = RNG.integers(3, 13, 60)
MASK = np.arange(12) < COUNTS[:, None]
WORDS = np.array(["jet", "mu", "el"] * 20)
CASES = {
    "a column below atol": Case(
        reference=scaled(1, 1, 10, 1e-6), wrong=[scaled(1, 1, 10, 2e-6)], honest=[scaled(1, 1, 10, 1e-6, weights=MOVED)],
        sample={"x": X}, reason="times the column's scale",
    ),
    "a rare probability with an offset": Case(
        reference=rare(0.0), wrong=[rare(1e-6)], honest=[rare(0.0, MOVED)],
        sample={"x": X, "is_sig": (X[:, 0] > 0).astype(np.int64)}, arguments=["--label", "is_sig", "--score", "y:1"],
    ),
    "a float32 flag beside float64": Case(
        reference=masses(False), wrong=[masses(True)], honest=[masses(False, moved=True)],
        sample={"p": RNG.normal(size=(100, 4)) * 100, "w": np.where(RNG.random((100, 1)) < 0.5, 1, 0).astype(F32)},
    ),
    "weights that are not read": Case(
        reference=weighted("Mul a wgt -> y"), wrong=[weighted("Mul wgt none -> b", "Add a b -> y")],
        honest=[weighted("Mul wgt a -> y")], sample={"x": X, "wgt": np.ones((len(X), 1), F32)},
        reason="generated, constant inputs varied",
    ),
    "masses that cancel": Case(
        reference=pair_mass("Add x y -> a", "Add a z -> b", "Sub e b -> m"),
        honest=[pair_mass("Sub e z -> a", "Sub a y -> b", "Sub b x -> m")], sample={"p4": light(400)},
    ),
    "a convolution that refuses what is empty": Case(
        reference=longest("MatMul x w -> h"),
        honest=[longest("Transpose:perm=[0,2,1] x -> a", "Conv:kernel_shape=[1] a k -> b", "Transpose:perm=[0,2,1] b -> h")],
        sample={"x": JETS},
    ),
    "labels that rounding decides": Case(reference=argmax(range(8)), honest=[argmax([4, 5, 6, 7, 0, 1, 2, 3])], sample={"x": TIES}),
    "float64 of float32, padded": Case(
        reference=mean(wide=True), wrong=[mean(wide=True, factor=1.01)], honest=[mean(wide=False)],
        sample={"x": JETS, "mask": MASK.astype(F32)}, arguments=["--role", "mask=mask:L"],
    ),
    "rows that are all padding": Case(
        reference=attention(-1e9), wrong=[attention(-1.0)], honest=[attention(-np.inf)], sample={"x": JETS, "mask": MASK},
    ),
    "NaN in one entry of every generated batch": Case(
        reference=ratio(1.0), wrong=[ratio(2.0)], honest=[ratio(1.0)], sample={"x": X[:100]}, reason="where the reference gives NaN",
    ),
    "strings of one axis": Case(
        reference=labels("int64", "jet", "mu", "el", values=[1, 2, 3]), wrong=[labels("int64", "jet", "mu", "el", values=[1, 2, 4])],
        honest=[labels("int64", "el", "mu", "jet", values=[3, 2, 1])], sample={"s": WORDS},
    ),
    "strings that end in a space": Case(
        reference=labels("object", "jet", "mu", "el~", values=["J", "M", "E"]),
        wrong=[labels("object", "jet", "mu", "el", values=["J", "M", "E"])],
        honest=[labels("object", "el~", "mu", "jet", values=["E", "M", "J"])],
        sample={"s": np.where(WORDS == "el", "el ", WORDS)}, reason="reference 'E', candidate '?'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_wrong_is_refused_and_honest_is_not(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = CASES[name]
    reference = case.reference.write(tmp_path / "reference.onnx")
    save_npz(tmp_path / "sample.npz", case.sample)
    for number, (code, models) in enumerate(((5, case.wrong), (0, case.honest))):
        for model in models:
            other = model.write(tmp_path / f"other-{number}.onnx")
            found, message = judged(capsys, reference, other, "--inputs", tmp_path / "sample.npz", *case.arguments)
            assert found == code, message
            assert code == 0 or case.reason in message


def test_the_report_shows_the_bound_of_each_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from portinf.cli.main import run

    paths = [model.write(tmp_path / f"{k}.onnx") for k, model in enumerate((scaled(5e4, 1, 1, 1e-6), scaled(5e4, 1, 1, 2e-6)))]
    save_npz(tmp_path / "sample.npz", {"x": X})
    reports = [tmp_path / f"r{suffix}" for suffix in (".json", ".html", ".md")]
    for path in reports:
        assert run(["validate", *map(str, paths), "--inputs", str(tmp_path / "sample.npz"), "--report", str(path)]) == 5
    text = " ".join(capsys.readouterr().out.split())
    assert "absolute part by column, 1e-05 times its scale:" in text and "+ 0.0001 |ref|" in text
    output = json.loads(reports[0].read_text())["hops"][0]["outputs"][0]
    assert output["atol"] == 1e-5 and output["scale"]["axes"] == [1] and len(output["scale"]["values"]) == 4
    assert output["scale"]["values"][0] > 1e4 and output["scale"]["values"][3] < 1e-5
    assert all("absolute part by column" in path.read_text() for path in reports[1:])


def test_the_cut_into_parts_does_not_change_the_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first rows are all zeros, and of a few rows another column would look small."""
    rows = RNG.normal(size=(1500, 8)).astype(F32)
    rows[:40] = 0
    np.save(tmp_path / "rows.npy", rows)
    models = {"r": scaled(5e4, 1, 1, 1e-6), "same": scaled(5e4, 1, 1, 1e-6, weights=MOVED), "off": scaled(5e4, 1, 1, 1.001e-6)}
    paths = {name: model.write(tmp_path / f"{name}.onnx") for name, model in models.items()}
    messages = set()
    for size in (16, 1500):
        told = ["--inputs", tmp_path / "rows.npy", "--batch-rows", size]
        assert judged(capsys, paths["r"], paths["same"], *told)[0] == 0
        code, message = judged(capsys, paths["r"], paths["off"], *told)
        assert code == 5
        messages.add(message.partition("scale ")[2].partition(")")[0])
    assert len(messages) == 1
