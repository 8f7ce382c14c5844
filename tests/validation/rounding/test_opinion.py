"""The second opinion: what only rounds otherwise is right, and nothing else is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from portinf.core.batch import Array, Arrays, Batch, Origin
from portinf.core.signature import Axis, Role, Signature, TensorSpec
from portinf.runners.float64 import Float64
from portinf.runners.onnx import OnnxRuntimeRunner
from portinf.runners.onnx_float64 import OnnxDouble
from portinf.runners.protocol import RunnerInfo
from portinf.validation import Comparison, PhysicsOptions, Tolerance, compare, make_checks
from portinf.validation.rounding.nudging import Nudged
from portinf.validation.rounding.opinion import ROUNDING
from portinf.validation.rounding.own import OwnRounding
from portinf.validation.scale import Scale
from tests.validation.gallery import MOVED, Model, X, light, network, scaled
from tests.validation.sides import Side

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
SIGMOID = ("Add y0 o -> l", "Sigmoid l -> y")
SHIFT = [0.0, -16.0, 0.0, 0.0]


def written(path: Path, body: str) -> Path:
    onnx.save(onnx.parser.parse_model(_TEXT.format(body=body)), str(path))
    return path


def summed(
    tmp_path: Path, candidate: str, origin: Origin, *, second: bool = True, tolerance: Tolerance | None = None
) -> Comparison:
    batches = [Batch(name=f"{n}", inputs={"x": np.full(n, 0.1, np.float32)}, origin=origin) for n in (3, MANY)]
    original, other = written(tmp_path / "a.onnx", IN_TURN), written(tmp_path / "b.onnx", candidate)
    with OnnxRuntimeRunner(original, level="none") as left, OnnxRuntimeRunner(other) as right, Float64() as float64:
        return compare(left, right, batches, tolerance=tolerance or Tolerance(), float64=float64 if second else None)


@pytest.mark.parametrize("origin", ["given", "generated"])
def test_a_sum_in_another_order_is_right_and_that_is_said(origin: Origin, tmp_path: Path) -> None:
    assert [case.status for case in summed(tmp_path, AT_ONCE, origin, second=False).cases] == ["equal", "disagrees"]
    comparison = summed(tmp_path, AT_ONCE, origin)
    assert (
        comparison.verdict == "equal" and not comparison.reason and comparison.outputs[0].tally.wrong == 1
    )  # the difference is still shown
    (check,) = comparison.checks
    assert (check.name, check.status, check.output) == (ROUNDING, "passed", "y") and "by rounding only" in check.text
    assert float(check.figures["reference from float64"]) > 100


@pytest.mark.parametrize("origin", ["given", "generated"])
def test_another_function_is_wrong(origin: Origin, tmp_path: Path) -> None:
    assert summed(tmp_path, WRONG, origin).verdict == "disagrees"


def test_a_tolerance_of_the_users_own_is_not_widened(tmp_path: Path) -> None:
    assert summed(tmp_path, AT_ONCE, "given", tolerance=Tolerance(rtol=1e-4, atol=1e-5)).verdict == "disagrees"
    assert summed(tmp_path, AT_ONCE, "given", tolerance=Tolerance(rtol=1e-5)).verdict == "disagrees"


def answered(reference: Model, tmp_path: Path) -> tuple[Path, list[Batch]]:
    """Return a file and its recorded answers."""
    path = reference.write(tmp_path / "recorded.onnx")
    with OnnxRuntimeRunner(path, level="none") as runner:
        return path, [Batch(name="a", inputs={"x": X}, expected=runner.infer({"x": X}))]


class Live:
    """A model of which nothing but the answers is seen."""

    info = RunnerInfo()

    def __init__(self, inner: OnnxRuntimeRunner) -> None:
        self.name, self.signature, self._inner = "live", inner.signature, inner

    def infer(self, inputs: Mapping[str, Array]) -> Arrays:
        return self._inner.infer(inputs)

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *_: object) -> None:
        return None


def replayed(served: Model, path: Path, recorded: list[Batch]) -> Comparison:
    with OnnxRuntimeRunner(served.write(path.parent / "served.onnx")) as inner, Float64() as float64:
        return compare(None, Live(inner), recorded, tolerance=Tolerance(), float64=float64, recorded_by=path)


def test_recorded_answers_are_judged_by_the_file_that_gave_them(tmp_path: Path) -> None:
    """ONNX Runtime's sigmoid is right to a rounding of 1: of a rare class, no digit of the recorded answer need be."""
    path, recorded = answered(network(*SIGMOID, o=SHIFT), tmp_path)
    same = replayed(network(*SIGMOID, o=SHIFT, weights=MOVED), path, recorded)
    assert same.verdict == "equal" and [check.name for check in same.checks] == [ROUNDING]
    assert replayed(network(*SIGMOID, o=[0.0, -13.0, 0.0, 0.0]), path, recorded).verdict == "disagrees"
    other = [replace(batch, expected={"y": batch.expected["y"] + 1}) for batch in recorded if batch.expected]
    assert replayed(network(*SIGMOID, o=SHIFT), path, other).verdict == "disagrees"  # they are not of this file
    path, recorded = answered(scaled(1, 1, 10, 1e-6), tmp_path)
    assert replayed(scaled(1, 1, 10, 1e-6, weights=MOVED), path, recorded).verdict == "equal"
    assert replayed(scaled(1, 1, 10, 2e-6), path, recorded).verdict == "disagrees"


def test_without_a_side_in_float64_the_tolerance_decides() -> None:
    batch = Batch(name="b", inputs={"x": np.ones((3, 2), np.float32)})
    reference, candidate = ({"y": np.array([1, 2, value], np.float32)} for value in (0.0, 1e-3))
    with Float64() as float64:
        comparison = compare(
            Side(lambda _: reference), Side(lambda _: candidate), [batch], tolerance=Tolerance(), float64=float64
        )
    assert comparison.verdict == "disagrees" and not comparison.checks


def test_infinities_are_no_rounding(tmp_path: Path) -> None:
    large = network("Mul y0 k -> l", "Exp l -> e", "Div e e -> y", k=200.0)
    stable = network("Mul y0 k -> l", "Sub l l -> m", "Exp m -> y", k=200.0)
    with (
        OnnxRuntimeRunner(stable.write(tmp_path / "a.onnx")) as left,
        OnnxRuntimeRunner(large.write(tmp_path / "b.onnx")) as right,
        Float64() as float64,
    ):
        comparison = compare(left, right, [Batch(name="a", inputs={"x": X})], tolerance=Tolerance(), float64=float64)
    assert comparison.verdict == "disagrees"


JETS = Signature(
    inputs=(
        TensorSpec(name="x", dtype="float32", shape=(Axis(label="n"), Axis(label="L"))),
        TensorSpec(name="mask", dtype="float32", shape=(Axis(label="n"), Axis(label="L")), role=Role(kind="mask", of="L")),
    ),
    outputs=(TensorSpec(name="y", dtype="float32", shape=(Axis(label="n"),)),),
)


def pooled(empty: str) -> Side:
    """Return an attention without weights: rows without any entry give the mean of their padding, NaN or 0."""

    def infer(inputs: Mapping[str, Array]) -> Arrays:
        x, mask = inputs["x"], inputs["mask"]
        with np.errstate(invalid="ignore"):
            mean = (x * mask).sum(1) / mask.sum(1)
        none = {"padding": x.mean(1), "nan": np.full(len(x), np.nan), "zero": np.zeros(len(x))}[empty]
        return {"y": np.where(mask.any(1), mean, none).astype(np.float32)}

    side = Side(infer)
    side.signature = JETS
    return side


@pytest.mark.parametrize(
    ("reference", "candidate", "verdict"),
    [("padding", "nan", "equal"), ("padding", "zero", "equal"), ("zero", "nan", "disagrees"), ("zero", "padding", "disagrees")],
)
def test_a_made_row_that_is_all_padding(reference: str, candidate: str, verdict: str) -> None:
    """Where the reference's answer depends on what the padding holds, it is none."""
    x = X[:6, :4]
    mask = np.ones((6, 4), np.float32)
    mask[2:, 3] = 0
    empty = mask.copy()
    empty[4] = 0
    given = Batch(name="given", inputs={"x": x, "mask": mask})
    made = Batch(name="made", inputs={"x": x, "mask": empty}, origin="generated")
    with Float64() as float64:
        sides = pooled(reference), pooled(candidate)
        comparison = compare(*sides, [given, made], tolerance=Tolerance(), float64=float64)
        assert comparison.verdict == verdict
        if verdict == "equal":
            assert comparison.cases[1].reason.startswith("not compared: 1 elements, where a generated row is all padding")
            assert comparison.outputs[0].tally.count == 11 and comparison.outputs[0].tally.max_abs == 0
        own = Batch(name="own", inputs={"x": x, "mask": empty})
        assert compare(*sides, [own], tolerance=Tolerance(), float64=float64).verdict == "disagrees"


def test_flips_of_the_best_class_that_rounding_explains_are_no_failure(tmp_path: Path) -> None:
    """The logarithm of a light particle's mass beside its middle: rounding alone says which is larger."""
    models = []
    for parts in (["Add x y -> a", "Add a z -> b", "Sub e b -> m"], ["Sub e z -> a", "Sub a y -> b", "Sub b x -> m"]):
        lines = ["Mul p p -> q", "Split:axis=1:num_outputs=4 q -> e x y z", *parts, "Max m least -> c", "Log c -> l"]
        lines += ["Mul l none -> zero", "Add zero middle -> k", "Concat:axis=1 l k -> t"]
        weights = {"least": np.float32(1e-8), "none": np.float32(0), "middle": np.float32(-3.9322)}
        inputs = {"p": ("float32", ["n", 4])}
        models.append(Model(nodes=lines, weights=weights, inputs=inputs, outputs={"t": ("float32", ["n", 2])}))
    with (
        OnnxRuntimeRunner(models[0].write(tmp_path / "a.onnx")) as left,
        OnnxRuntimeRunner(models[1].write(tmp_path / "b.onnx")) as right,
        Float64() as float64,
    ):
        checks = make_checks(PhysicsOptions(), Tolerance())
        batch = Batch(name="a", inputs={"p": light(500)})
        comparison = compare(left, right, [batch], tolerance=Tolerance(), checks=checks, float64=float64)
    (flips,) = [check for check in comparison.checks if check.name == "best class"]
    assert comparison.verdict == "equal" and flips.status == "reported" and int(flips.figures["flips"]) > 0


def test_one_element_that_rounding_decides_is_not_usual() -> None:
    exact = np.random.default_rng(0).normal(size=(1000, 2))
    plain = (exact + 1e-7 * np.random.default_rng(1).normal(size=(1000, 2))).astype(np.float32)
    plain[7, 1] = 50
    own = OwnRounding.of(plain, exact, Scale(axes=(1,), lengths=(2,), values=(1.0, 1.0), whole=1.0))
    assert own.most.shape == own.usual.shape == own.top.shape == (1, 2)
    assert own.most[0, 1] > 40 and own.most[0, 0] < 1e-6 and own.usual.max() < 1e-6
    few = OwnRounding.of(plain[:7], exact[:7], None)
    assert 0 < few.usual.max() < 1e-6 and few.plus(None) is few and few.plus(own) is few
    assert not OwnRounding.of(plain[4:10], exact[4:10], None).usual.any()
    assert (
        own.plus(OwnRounding.of(plain * 0, exact, Scale(axes=(1,), lengths=(2,), values=(1.0, 1.0), whole=1.0))).usual.max() > 1
    )


def deep(order: Array, offset: float = 0.0, *last: str) -> Model:
    """Return plain layers without normalisation: some columns are small, and sums of terms that are not."""
    generator = np.random.default_rng(3)
    weights, lines = {}, []
    for layer in range(32):
        w = (generator.normal(size=(64, 64)) * (2 / 64) ** 0.5).astype(np.float32)
        weights[f"w{layer}"], name = w[order], "x" if layer == 0 else f"h{layer - 1}"
        lines += [
            f"Gather:axis=1 {name} order -> g{layer}",
            f"MatMul g{layer} w{layer} -> a{layer}",
            f"Relu a{layer} -> h{layer}",
        ]
    weights |= {
        "order": order,
        "d": np.full(64, offset, np.float32),
        "zero": np.int64(0),
        "one": np.array([1]),
        "many": np.int64(200),
    }
    inputs, outputs = {"x": ("float32", ["n", 64])}, {"y": ("float32", ["n", 64])}
    return Model(nodes=[*lines, *(last or ("Add h31 d -> y",))], weights=weights, inputs=inputs, outputs=outputs)


@pytest.mark.parametrize("known", ["both", "reference", "candidate"])
def test_small_sums_of_large_terms_are_right_whichever_side_is_known(known: str, tmp_path: Path) -> None:
    order, other = np.arange(64), np.random.default_rng(1).permutation(64)
    paths = [deep(order).write(tmp_path / "a.onnx"), deep(other).write(tmp_path / "b.onnx")]
    wrong = deep(other, 1e-4).write(tmp_path / "c.onnx")
    batch = Batch(name="a", inputs={"x": np.random.default_rng(2).normal(size=(256, 64)).astype(np.float32)})

    def judged(path: Path, *, second: bool = True) -> Comparison:
        with OnnxRuntimeRunner(paths[0]) as left, OnnxRuntimeRunner(path) as right, Float64() as float64:
            sides = (left if known != "candidate" else Live(left), right if known != "reference" else Live(right))
            return compare(*sides, [batch], tolerance=Tolerance(), float64=float64 if second else None)

    assert judged(paths[1], second=False).verdict == "disagrees"
    assert judged(paths[1]).verdict == "equal"
    assert judged(wrong).verdict == "disagrees"


@pytest.mark.parametrize(("offset", "verdict"), [(0.0, "equal"), (2e-3, "disagrees")])
def test_a_reference_that_rounds_much_does_not_excuse_another_function(offset: float, verdict: str, tmp_path: Path) -> None:
    """Numbers of size one after 1e4 was added and taken away: their usual rounding is 5e-4, and a live model may be any function."""
    path = network("Add y0 k -> l", "Sub l k -> y", k=1e4).write(tmp_path / "a.onnx")
    other = network("Add y0 k -> l", "Sub l k -> m", "Add m o -> y", k=1e4, o=offset).write(tmp_path / "b.onnx")
    with OnnxRuntimeRunner(path, level="none") as left, OnnxRuntimeRunner(other, level="none") as right, Float64() as float64:
        comparison = compare(left, Live(right), [Batch(name="a", inputs={"x": X})], tolerance=Tolerance(), float64=float64)
    assert comparison.verdict == verdict


def compared(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> tuple[Comparison, list[tuple[str, int]]]:
    """Compare two files of plain layers; return also what was computed in float64: files, and numbers of rows."""
    asked, whole = [], OnnxDouble.infer_double

    def counted(self: OnnxDouble, inputs: Mapping[str, Array]) -> Arrays:
        asked.append((Path(self._name.split(" in ")[0]).name, len(inputs["x"])))
        return whole(self, inputs)

    monkeypatch.setattr(OnnxDouble, "infer_double", counted)
    inputs = {"x": np.random.default_rng(2).normal(size=(256, 64)).astype(np.float32)}
    shape = (Axis(label="n"), Axis(size=64))
    tensors = [TensorSpec(name=name, dtype="float32", shape=shape) for name in ("x", "y")]
    signature = Signature(inputs=tuple(tensors[:1]), outputs=tuple(tensors[1:]))
    left, right = (OnnxRuntimeRunner(path, signature=signature) for path in paths)
    with left, right, Float64() as float64:
        comparison = compare(left, right, [Batch(name="a", inputs=inputs)], tolerance=Tolerance(), float64=float64)
    return comparison, asked


def judged_alone(candidate: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Comparison, list[tuple[str, int]]]:
    paths = [deep(np.arange(64)).write(tmp_path / "a.onnx"), candidate.write(tmp_path / "b.onnx")]
    return compared(paths, monkeypatch)


OTHER = np.random.default_rng(1).permutation(64)


def test_float64_computes_the_rows_in_doubt_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In float64 a large model takes ten times as long as in float32."""
    comparison, asked = judged_alone(deep(OTHER), tmp_path, monkeypatch)
    assert comparison.verdict == "equal" and [check.name for check in comparison.checks] == [ROUNDING]
    reference, candidate = (sum(rows for file, rows in asked if file == name) for name in ("a.onnx", "b.onnx"))
    assert candidate < reference < 256 / 8


def test_a_row_that_is_wrong_in_a_large_batch_alone_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given alone it is right, so that float64 finds one function there."""
    batch = ("Shape x -> s", "Gather s zero -> n", "Greater n many -> b", "Cast:to=1 b -> f", "Mul d f -> o")
    row = ("Gather:axis=1 x zero -> x0", "ReduceMax:keepdims=0 x0 -> top", "Equal x0 top -> e", "Cast:to=1 e -> mask")
    shift = ("Unsqueeze mask one -> column", "Mul column o -> moved", "Add h31 moved -> y")
    comparison, _ = judged_alone(deep(OTHER, 5e-6, *batch, *row, *shift), tmp_path, monkeypatch)
    assert comparison.verdict == "disagrees"


def test_what_there_is_no_time_to_look_at_stays_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portinf.validation.rounding.opinion.SECONDS", -1000.0)
    comparison, asked = judged_alone(deep(OTHER), tmp_path, monkeypatch)
    assert comparison.verdict == "disagrees" and "not looked at: float64 took" in comparison.reason and not asked


def test_a_zero_in_the_row_in_doubt_makes_no_whole_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An output is one of whole numbers, which weights with other last digits may explain, if all its rows are."""
    seen: list[str] = []
    monkeypatch.setattr(Nudged, "explain", lambda *given: seen.append("asked") or np.ones_like(given[-1]))
    row = ("Gather:axis=1 x zero -> x0", "ReduceMax:keepdims=0 x0 -> top", "Equal x0 top -> e", "Cast:to=1 e -> mask")
    cut = ("Unsqueeze mask one -> column", "Sub one_f column -> rest", "Mul h31 rest -> kept")
    paths = []
    for name, offset in (("a", 0.0), ("b", 3.0)):
        model = deep(np.arange(64), offset, *row, *cut, "Mul column d -> moved", "Add kept moved -> y")
        paths.append(replace(model, weights={**model.weights, "one_f": np.float32(1)}).write(tmp_path / f"{name}.onnx"))
    comparison, _ = compared(paths, monkeypatch)
    assert comparison.verdict == "disagrees" and not seen


def normalised(*, folded: bool) -> Model:
    """Return plain layers, each with a factor by column as batch norms have; folded into float32 weights, or applied behind them."""
    generator = np.random.default_rng(5)
    weights, lines = {}, []
    for layer in range(32):
        w, name = (generator.normal(size=(64, 64)) / 8).astype(np.float32), "x" if layer == 0 else f"h{layer - 1}"
        factor = generator.uniform(1.1, 1.9, 64).astype(np.float32)
        weights |= {f"w{layer}": w * factor} if folded else {f"w{layer}": w, f"s{layer}": factor}
        lines += [f"MatMul {name} w{layer} -> a{layer}"]
        lines += [] if folded else [f"Mul a{layer} s{layer} -> b{layer}"]
        lines += [f"Relu {'a' if folded else 'b'}{layer} -> h{layer}"]
    weights["last"] = (generator.normal(size=(64, 64)) / 8).astype(np.float32)
    inputs, outputs = {"x": ("float32", ["n", 64])}, {"y": ("float32", ["n", 64])}
    return Model(nodes=[*lines, "MatMul h31 last -> y"], weights=weights, inputs=inputs, outputs=outputs)


def test_folding_factors_into_float32_weights_is_one_function(tmp_path: Path) -> None:
    """Without a second opinion the two disagree: numbers near 0 round otherwise."""
    paths = [normalised(folded=folded).write(tmp_path / f"{folded}.onnx") for folded in (False, True)]
    inputs = {"x": np.random.default_rng(2).normal(size=(2000, 64)).astype(np.float32)}
    with OnnxRuntimeRunner(paths[0]) as left, OnnxRuntimeRunner(paths[1]) as right, Float64() as float64:
        batches = [Batch(name="a", inputs=inputs)]
        plain = compare(left, right, batches, tolerance=Tolerance())
        assert plain.verdict == "disagrees"
        assert compare(left, right, batches, tolerance=Tolerance(), float64=float64).verdict == "equal"
