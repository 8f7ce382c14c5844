"""The trap gallery: every way to be wrong that a comparison must catch, with exit 5 and its reason, beside an honest twin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from portinf.cli.main import run
from portinf.commands.package import package
from portinf.conversion.convert import ConvertOptions
from portinf.core.batch import Batch, save_goldens, save_npz
from portinf.core.signature import Axis, Role, Signature, TensorSpec, dtype_by_numpy
from portinf.onnx_graph.model_file import write_onnx
from portinf.packaging.options import PackageOptions
from portinf.runners.onnx import OnnxRuntimeRunner
from tests.runners import fake_grpc
from tests.serving.live import serving, traces

__all__ = ["traces"]

RNG = np.random.default_rng(11)
W = RNG.normal(size=(4, 3)).astype(np.float32)
X = RNG.normal(size=(6, 4)).astype(np.float32)
Nodes = Sequence[tuple[str, str, str]]
JET_MASK = (np.arange(5) < np.array([5, 5, 5, 5])[:, None]).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A small model as lines ``OPERATOR``, ``INPUTS``, ``OUTPUTS``; attributes follow the operator after a colon."""

    nodes: Nodes
    weights: dict[str, Any] = field(default_factory=dict)
    inputs: Sequence[TensorSpec] = (TensorSpec(name="x", dtype="float32", shape=(Axis(label="rows"), Axis(size=4))),)
    outputs: Sequence[TensorSpec] = (TensorSpec(name="y", dtype="float32", shape=(Axis(label="rows"), Axis(size=3))),)

    def write(self, path: Path) -> Path:
        """Write it with portinf's metadata."""
        nodes = []
        for kind, inputs, outputs in self.nodes:
            operator, *settings = kind.split(":")
            attributes = dict(setting.split("=") for setting in settings)
            values = {name: int(value) for name, value in attributes.items()}
            nodes.append(helper.make_node(operator, inputs.split(), outputs.split(), **values))
        weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in self.weights.items()]
        graph = helper.make_graph(nodes, "g", list(map(_value, self.inputs)), list(map(_value, self.outputs)), weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
        onnx.checker.check_model(model)
        onnx.save(model, path.with_suffix(".raw"))
        signature = Signature(inputs=tuple(self.inputs), outputs=tuple(self.outputs))
        write_onnx(model, path.with_suffix(".raw"), path, signature, {})
        return path


def _value(spec: TensorSpec) -> Any:
    shape = [axis.label or axis.size for axis in spec.shape or ()]
    return helper.make_tensor_value_info(spec.name, dtype_by_numpy(spec.dtype).onnx, shape)


def output(name: str, *axes: Axis, dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=axes)


ROWS = Axis(label="rows")
N = Axis(label="n")
JETS = (
    TensorSpec(name="x", dtype="float32", shape=(ROWS, N)),
    TensorSpec(name="mask", dtype="float32", shape=(ROWS, N), role=Role(kind="mask", of="n")),
)
PER_JET = (output("y", ROWS),)
TWO = (output("mean", ROWS, Axis(size=3)), output("width", ROWS, Axis(size=3)))
NODES_IN = (TensorSpec(name="x", dtype="float32", shape=(Axis(label="nodes"), Axis(size=4))),)
GRAPH_OUT = (output("y", Axis(size=4)),)
ZERO, ONE = np.array([0], np.int64), np.array([1], np.int64)

DENSE = Graph(nodes=[("MatMul", "x w", "h"), ("Tanh", "h", "y")], weights={"w": W})
SOFTMAX = Graph(nodes=[("MatMul", "x w", "h"), ("Softmax:axis=-1", "h", "y")], weights={"w": W})
MEAN_WIDTH = Graph(nodes=[("MatMul", "x w", "mean"), ("Exp", "mean", "width")], weights={"w": W}, outputs=TWO)
GRAPH_MEAN = Graph(
    nodes=[
        ("ReduceSum:keepdims=0", "x zero", "sum"),
        ("Shape", "x", "shape"),
        ("Gather", "shape first", "n"),
        ("Max", "n one", "least"),
        ("Cast:to=1", "least", "count"),
        ("Div", "sum count", "y"),
    ],
    weights={"zero": ZERO, "first": np.int64(0), "one": np.int64(1)},
    inputs=NODES_IN,
    outputs=GRAPH_OUT,
)
JET_MEAN = Graph(
    nodes=[
        ("Mul", "x mask", "kept"),
        ("ReduceSum:keepdims=0", "kept one", "sum"),
        ("ReduceSum:keepdims=0", "mask one", "n"),
        ("Max", "n least", "count"),
        ("Div", "sum count", "y"),
    ],
    weights={"one": ONE, "least": np.float32(1)},
    inputs=JETS,
    outputs=PER_JET,
)


@dataclass(frozen=True, kw_only=True)
class Trap:
    """Two files and a sample: what must be caught, and what must be said; the reference is its own honest twin unless given."""

    reference: Graph
    candidate: Graph
    sample: dict[str, Any]
    reason: Sequence[str]
    twin: Graph | None = None
    twin_sample: dict[str, Any] | None = None
    arguments: Sequence[str] = ()


def changed(graph: Graph, **changes: Any) -> Graph:
    """Return the graph with other nodes, weights or outputs."""
    given = {"nodes": graph.nodes, "weights": graph.weights, "inputs": graph.inputs, "outputs": graph.outputs}
    return Graph(**{**given, **changes})


ROOT = Graph(nodes=[("Sqrt", "x", "r"), ("MatMul", "r w", "y")], weights={"w": W})
W_SHIFTED = W.copy()
W_SHIFTED[2, 1] += 1e-3
TRAPS = {
    "NaN on both sides at the samples given": Trap(
        reference=ROOT, candidate=ROOT, sample={"x": X}, twin_sample={"x": np.abs(X)},
        reason=["NaN in", "of both sides", "--allow-nan"],
    ),
    "NaN on one side": Trap(
        reference=changed(ROOT, nodes=[("Abs", "x", "a"), ("Sqrt", "a", "r"), ("MatMul", "r w", "y")]),
        candidate=ROOT, sample={"x": X}, reason=["NaN in 0 elements of the reference and", "of the candidate"],
    ),
    "outputs swapped": Trap(
        reference=MEAN_WIDTH,
        candidate=changed(MEAN_WIDTH, nodes=[("MatMul", "x w", "width"), ("Exp", "width", "mean")]),
        sample={"x": X}, reason=["looks swapped with 'width'"],
    ),
    "outputs renamed": Trap(
        reference=DENSE,
        candidate=changed(DENSE, nodes=[("MatMul", "x w", "h"), ("Tanh", "h", "output_0")],
                          outputs=(output("output_0", ROWS, Axis(size=3)),)),
        sample={"x": X}, reason=["the candidate has no such output; it has: output_0", "renamed to 'output_0'"],
    ),
    "right only at the export size": Trap(
        reference=GRAPH_MEAN,
        candidate=changed(GRAPH_MEAN, nodes=[("ReduceSum:keepdims=0", "x zero", "sum"), ("Div", "sum six", "y")],
                          weights={"zero": ZERO, "six": np.float32(6)}),
        sample={"x": X}, reason=["cases disagree", "generated", "nodes="],
    ),
    "wrong only on empty graphs": Trap(
        reference=GRAPH_MEAN,
        candidate=changed(GRAPH_MEAN, nodes=[
            ("ReduceSum:keepdims=0", "x zero", "sum"), ("Shape", "x", "shape"), ("Gather", "shape first", "n"),
            ("Cast:to=1", "n", "count"), ("Div", "sum count", "y")],
            weights={"zero": ZERO, "first": np.int64(0)}),
        sample={"x": X}, reason=["1 of", "nodes=0", "NaN"],
    ),
    "wrong only on padded rows": Trap(
        reference=JET_MEAN,
        candidate=changed(JET_MEAN, nodes=[("ReduceSum:keepdims=0", "x one", "sum"), ("ReduceSum:keepdims=0", "mask one", "m"),
                                           ("Max", "m least", "count"), ("Div", "sum count", "y")]),
        sample={"x": RNG.normal(size=(4, 5)).astype(np.float32), "mask": JET_MASK}, reason=["generated", "rows="],
    ),
    "depends on the batch": Trap(
        reference=changed(DENSE, nodes=[("Sub", "x mean", "c"), ("MatMul", "c w", "y")],
                          weights={"w": W, "mean": X.mean(0, keepdims=True)}),
        candidate=changed(DENSE, nodes=[("ReduceMean:keepdims=1", "x zero", "mean"), ("Sub", "x mean", "c"), ("MatMul", "c w", "y")],
                          weights={"w": W, "zero": ZERO}),
        sample={"x": X}, reason=["a row's answer depends on its batch", "the reference passes this check"],
    ),
    "stuck softmax": Trap(
        reference=SOFTMAX,
        candidate=changed(SOFTMAX, nodes=[("MatMul", "x w", "h"), ("Mul", "h none", "z"), ("Softmax:axis=-1", "z", "y")],
                          weights={"w": W, "none": np.float32(0)}),
        sample={"x": np.concatenate([X, X + 1, X - 1])}, reason=["constant", "0.333"],
    ),
    "argmax right, scores wrong": Trap(
        reference=SOFTMAX,
        candidate=changed(SOFTMAX, nodes=[("MatMul", "x w", "h"), ("Mul", "h two", "z"), ("Softmax:axis=-1", "z", "y")],
                          weights={"w": W, "two": np.float32(2)}),
        sample={"x": X}, reason=["elements out of tolerance", "worst at"],
    ),
    "one weight changed by 1e-3": Trap(
        reference=DENSE, candidate=changed(DENSE, weights={"w": W_SHIFTED}), sample={"x": X},
        reason=["elements out of tolerance"],
    ),
    "overflow of float16": Trap(
        reference=changed(DENSE, nodes=[("MatMul", "x w", "h"), ("Mul", "h large", "y")], weights={"w": W, "large": np.float32(1e5)}),
        candidate=changed(DENSE, nodes=[("MatMul", "x w", "h"), ("Mul", "h large", "f"), ("Cast:to=10", "f", "g"), ("Cast:to=1", "g", "y")],
                          weights={"w": W, "large": np.float32(1e5)}),
        sample={"x": X}, reason=["infinite where the reference is finite", "overflow"], arguments=["--rtol", "0.01"],
    ),
    "type silently changed": Trap(
        reference=DENSE,
        candidate=changed(DENSE, nodes=[("MatMul", "x w", "h"), ("Tanh", "h", "t"), ("Cast:to=11", "t", "y")],
                          outputs=(output("y", ROWS, Axis(size=3), dtype="float64"),)),
        sample={"x": X}, reason=["type: expected float32, found float64"],
    ),
}  # fmt: skip


def judged(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Run ``portinf validate`` and return its code and its one line of error."""
    capsys.readouterr()
    code = run(["validate", *map(str, arguments)])
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if line.startswith("portinf: error:")]
    assert len(lines) == (1 if code else 0) and "Traceback" not in error, error
    return code, lines[0] if lines else ""


@pytest.mark.parametrize("name", TRAPS)
def test_caught_and_its_twin_passes(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trap = TRAPS[name]
    reference, candidate = trap.reference.write(tmp_path / "reference.onnx"), trap.candidate.write(tmp_path / "candidate.onnx")
    twin = (trap.twin or trap.reference).write(tmp_path / "twin.onnx")
    save_npz(tmp_path / "sample.npz", trap.sample)
    save_npz(tmp_path / "twin.npz", trap.twin_sample or trap.sample)
    code, message = judged(capsys, reference, candidate, "--inputs", tmp_path / "sample.npz", *trap.arguments)
    assert code == 5
    assert all(part in message for part in trap.reason), message
    code, message = judged(capsys, reference, twin, "--inputs", tmp_path / "twin.npz", *trap.arguments)
    assert code == 0, message


def test_a_golden_recorded_in_training_mode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    statistics = {"s": np.ones(4, np.float32), "b": np.zeros(4, np.float32), "m": np.full(4, 0.3, np.float32)}
    model = Graph(
        nodes=[("BatchNormalization", "x s b m v", "n"), ("MatMul", "n w", "y")],
        weights={**statistics, "v": np.full(4, 2, np.float32), "w": W},
    ).write(tmp_path / "model.onnx")
    trained = ((X - X.mean(0)) / np.sqrt(X.var(0) + 1e-5)) @ W
    with OnnxRuntimeRunner(model) as runner:
        honest = runner.infer({"x": X})
    save_goldens(tmp_path / "trained.npz", [Batch(name="a", inputs={"x": X}, expected={"y": trained.astype(np.float32)})])
    save_goldens(tmp_path / "honest.npz", [Batch(name="a", inputs={"x": X}, expected=honest)])
    code, message = judged(capsys, tmp_path / "trained.npz", model)
    assert code == 5 and "training mode (1 batch norms on the batch's own statistics)" in message, message
    assert judged(capsys, tmp_path / "honest.npz", model)[0] == 0


def test_a_reference_in_half_precision_where_fp32_was_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The graph computes in fp32 from parameters that were rounded to fp16."""
    half = changed(DENSE, nodes=[("Cast:to=1", "h16", "w"), *DENSE.nodes], weights={"h16": W.astype(np.float16)})
    reference, model = half.write(tmp_path / "half.onnx"), DENSE.write(tmp_path / "model.onnx")
    code, message = judged(capsys, reference, model, "--rtol", 0.1, "--atol", 0.1, "--reference-precision", "fp32")
    assert code == 5 and "--reference-precision fp32" in message and "float16" in message, message
    assert judged(capsys, model, model, "--reference-precision", "fp32")[0] == 0


def test_an_endpoint_that_answers_with_zero_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = Graph(
        nodes=[("MatMul", "x w", "y")], weights={"w": np.eye(2, dtype=np.float32)},
        inputs=(TensorSpec(name="x", dtype="float32", shape=(Axis(label="rows"), Axis(size=2))),),
        outputs=(output("y", ROWS, Axis(size=2)),),
    ).write(tmp_path / "model.onnx")  # fmt: skip
    save_npz(tmp_path / "sample.npz", {"x": np.ones((3, 2), np.float32)})
    for honest in (False, True):

        def answer(request: Any, *_: Any, honest: bool = honest) -> Any:
            raw = request.raw_input_contents[0] if honest else b""
            return fake_grpc.reply(list(request.inputs[0].shape), raw)

        with fake_grpc.serve(answer) as address:
            code, message = judged(capsys, model, f"grpc://{address}/m", "--inputs", tmp_path / "sample.npz")
        assert code == (0 if honest else 5), message
        assert honest or "malformed answer: expected 24 bytes of FP32, found 0" in message


@pytest.mark.usefixtures("traces")
def test_a_live_endpoint_that_serves_another_version(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for weights in (W, W_SHIFTED):
        model = changed(DENSE, weights={"w": weights}).write(tmp_path / "net.onnx")
        package(str(model), PackageOptions(repository=tmp_path / "models", name="net"), ConvertOptions())
    with serving(tmp_path / "models") as server:
        code, message = judged(capsys, tmp_path / "models" / "net" / "1", f"grpc://{server.grpc}/net")
        assert code == 5
        assert "the endpoint serves version 2" in message and "the reference is version 1" in message
        assert judged(capsys, tmp_path / "models" / "net" / "2", f"http://{server.http}/net")[0] == 0
