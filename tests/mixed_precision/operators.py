"""Small graphs, one per operator, that a lowering must leave right; inputs ``x`` [n, 4, 6, 6] in 0.1 to 1.5, and ``v`` [n, 6]."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

__all__ = ["CASES", "Case", "model", "sample"]

RNG = np.random.default_rng(3)


@dataclass(frozen=True, kw_only=True)
class Case:
    """Nodes from ``x`` or ``v`` to ``y``, with weights; ``kept`` says that nothing of it may be lowered."""

    name: str
    nodes: Callable[[], Sequence[Any]]
    weights: dict[str, Any] = field(default_factory=dict)
    output: int = TensorProto.FLOAT
    kept: bool = False


def one(name: str, inputs: Sequence[str], *, weights: dict[str, Any] | None = None, **rest: Any) -> Case:
    more = {key: rest.pop(key) for key in ("output", "kept") if key in rest}
    label = "-".join([name, *(f"{key}" for key in rest)])
    return Case(name=label, nodes=lambda: [helper.make_node(name, inputs, ["y"], **rest)], weights=weights or {}, **more)


def several(name: str, nodes: Callable[[], Sequence[Any]], **rest: Any) -> Case:
    return Case(name=name, nodes=nodes, **rest)


def f(*shape: int) -> Any:
    return RNG.uniform(0.2, 1.0, shape).astype(np.float32)


def i(*values: int) -> Any:
    return np.array(values, np.int64)


UNARY = (
    *("Abs", "Atan", "Ceil", "Cos", "Elu", "Erf", "Exp", "Floor", "HardSigmoid", "HardSwish", "LeakyRelu", "Log"),
    *("LogSoftmax", "Mish", "Neg", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Sin", "Sinh", "Softmax"),
    *("Softplus", "Softsign", "Sqrt", "Tan", "Tanh", "ThresholdedRelu", "GlobalAveragePool", "GlobalMaxPool"),
)
scalar = np.float32(0.5)


def body(name: str, out: str, node: Any) -> Any:
    return helper.make_graph([node], name, [], [helper.make_tensor_value_info(out, TensorProto.FLOAT, None)])


def branches() -> list[Any]:
    """An If whose bodies read a tensor and a weight of the main graph that are lowered there."""
    yes = body("yes", "a", helper.make_node("MatMul", ["h", "w"], ["a"]))
    no = body("no", "b", helper.make_node("Neg", ["h"], ["b"]))
    return [
        helper.make_node("MatMul", ["v", "w"], ["h"]),
        helper.make_node("ReduceSum", ["v"], ["s"], keepdims=0),
        helper.make_node("Greater", ["s", "half"], ["c"]),
        helper.make_node("If", ["c"], ["z"], then_branch=yes, else_branch=no),
        helper.make_node("MatMul", ["z", "w"], ["y"]),
    ]


def loop() -> list[Any]:
    """A Loop that multiplies by a weight of the main graph."""
    number, truth = (helper.make_tensor_value_info(n, t, []) for n, t in (("i", TensorProto.INT64), ("c_in", TensorProto.BOOL)))
    state = helper.make_tensor_value_info("h_in", TensorProto.FLOAT, None)
    nodes = [helper.make_node("Identity", ["c_in"], ["c_out"]), helper.make_node("MatMul", ["h_in", "w"], ["h_out"])]
    outputs = [helper.make_tensor_value_info("c_out", TensorProto.BOOL, []), helper.make_tensor_value_info("h_out", 1, None)]
    graph = helper.make_graph(nodes, "body", [number, truth, state], outputs)
    return [
        helper.make_node("MatMul", ["v", "w"], ["h"]),
        helper.make_node("Loop", ["three", "", "h"], ["z"], body=graph),
        helper.make_node("MatMul", ["z", "w"], ["y"]),
    ]


def positions() -> list[Any]:
    """Indices computed in floats: 3000.7 * 1 would round to 3000 or 3002 in fp16."""
    return [
        helper.make_node("Shape", ["v"], ["shape"]),
        helper.make_node("Gather", ["shape", "first"], ["rows"]),
        helper.make_node("Cast", ["rows"], ["rows_f"], to=1),
        helper.make_node("Add", ["rows_f", "offset"], ["at"]),
        helper.make_node("Cast", ["at"], ["index"], to=7),
        helper.make_node("Gather", ["table", "index"], ["y"]),
    ]


def moves() -> list[Any]:
    return [
        helper.make_node("MatMul", ["v", "w"], ["h"]),
        helper.make_node("Identity", ["h"], ["h2"]),
        helper.make_node("Gather", ["h2", "at"], ["part"], axis=1),
        helper.make_node("Transpose", ["part"], ["turned"], perm=[1, 0]),
        helper.make_node("Concat", ["turned", "turned"], ["both"], axis=0),
        helper.make_node("Expand", ["both", "shape"], ["y"]),
    ]


def sequence() -> list[Any]:
    return [
        helper.make_node("MatMul", ["v", "w"], ["h"]),
        helper.make_node("SplitToSequence", ["h"], ["parts"], axis=1, keepdims=1),
        helper.make_node("ConcatFromSequence", ["parts"], ["z"], axis=1),
        helper.make_node("MatMul", ["z", "w"], ["y"]),
    ]


CASES: list[Case] = [
    *(one(name, ["x"]) for name in UNARY),
    *(one(name, ["x", "k"], weights={"k": scalar}) for name in ("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "PRelu")),
    *(one(name, ["x", "k"], weights={"k": scalar}, output=TensorProto.BOOL) for name in ("Greater", "Less", "GreaterOrEqual")),
    *(one(name, ["x"], keepdims=0) for name in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin")),
    *(one(name, ["x"], keepdims=0, kept=True) for name in ("ReduceL2", "ReduceSumSquare", "ReduceProd", "ReduceLogSumExp")),
    one("Mod", ["x", "k"], weights={"k": scalar}, fmod=1),
    one("Sum", ["x", "x", "x"]),
    one("Mean", ["x", "x"]),
    one("Clip", ["x", "low", "high"], weights={"low": scalar, "high": np.float32(1.2)}),
    one("Clip", ["x", "", "high"], weights={"high": np.float32(1.2)}),
    one("MatMul", ["v", "w"], weights={"w": f(6, 6)}),
    one("Gemm", ["v", "w", "b"], weights={"w": f(3, 6), "b": f(3)}, transB=1, alpha=0.5),
    one("Einsum", ["v", "w"], weights={"w": f(6, 6)}, equation="ij,jk->ik"),
    one("Conv", ["x", "w", "b"], weights={"w": f(3, 4, 3, 3), "b": f(3)}, pads=[1, 1, 1, 1]),
    one("ConvTranspose", ["x", "w"], weights={"w": f(4, 3, 3, 3)}),
    one("MaxPool", ["x"], kernel_shape=[2, 2]),
    one("AveragePool", ["x"], kernel_shape=[2, 2]),
    one("LpPool", ["x"], kernel_shape=[2, 2], kept=True),
    one("LRN", ["x"], size=3),
    one("BatchNormalization", ["x", "s", "b", "m", "q"], weights={"s": f(4), "b": f(4), "m": f(4), "q": f(4)}),
    one("InstanceNormalization", ["x", "s", "b"], weights={"s": f(4), "b": f(4)}),
    one("LayerNormalization", ["v", "s", "b"], weights={"s": f(6), "b": f(6)}),
    several(
        "LayerNormalization with statistics",
        lambda: [
            helper.make_node("LayerNormalization", ["v", "s", "b"], ["h", "mean", "inv"]),
            helper.make_node("Mul", ["h", "inv"], ["y"]),
        ],
        weights={"s": f(6), "b": f(6)},
    ),
    one("MeanVarianceNormalization", ["x"], kept=True, axes=[0, 2, 3]),
    one("LpNormalization", ["x"], kept=True),
    one("Resize", ["x", "", "scales"], weights={"scales": np.array([1, 1, 2, 2], np.float32)}, mode="linear"),
    several(
        "Resize to computed scales",
        lambda: [
            helper.make_node("Relu", ["x"], ["h"]),
            helper.make_node("Mul", ["base", "two"], ["scales"]),
            helper.make_node("Resize", ["h", "", "scales"], ["y"], mode="nearest"),
        ],
        weights={"base": np.array([1, 1, 1.5, 1.5], np.float32), "two": np.array([1, 1, 2, 2], np.float32)},
    ),
    one("GridSample", ["x", "grid"], weights={"grid": f(2, 3, 3, 2)}),
    one("CumSum", ["x", "axis"], weights={"axis": np.int64(1)}, kept=True),
    one("Pad", ["x", "pads", "k"], weights={"pads": i(0, 0, 1, 1, 0, 0, 1, 1), "k": scalar}),
    one("Where", ["c", "v", "z"], weights={"c": np.array([True, False] * 3), "z": f(6)}),
    one("Concat", ["v", "v"], axis=1, kept=True),
    one("Transpose", ["x"], perm=[0, 2, 3, 1], kept=True),
    one("Gather", ["v", "at"], weights={"at": i(1, 3)}, axis=1, kept=True),
    one("Slice", ["v", "a", "b", "axes"], weights={"a": i(1), "b": i(4), "axes": i(1)}, kept=True),
    one("Expand", ["v", "shape"], weights={"shape": i(2, 1, 6)}, kept=True),
    one("Tile", ["v", "times"], weights={"times": i(1, 2)}, kept=True),
    one("SpaceToDepth", ["x"], blocksize=2),
    one("DepthToSpace", ["x"], blocksize=2),
    one("Trilu", ["x"], upper=0),
    several("TopK", lambda: [helper.make_node("TopK", ["v", "k"], ["y", "at"])], weights={"k": i(3)}, kept=True),
    one("ArgMax", ["v"], axis=1, output=TensorProto.INT64, kept=True),
    one("NonZero", ["v"], output=TensorProto.INT64, kept=True),
    one("IsNaN", ["v"], output=TensorProto.BOOL),
    one("Cast", ["v"], to=TensorProto.INT64, output=TensorProto.INT64, kept=True),
    one("Cast", ["v"], to=TensorProto.DOUBLE, output=TensorProto.DOUBLE, kept=True),
    one("CastLike", ["v", "k"], weights={"k": scalar}),
    one("ScatterElements", ["v", "at", "v"], weights={"at": np.zeros((2, 6), np.int64)}, kept=True, reduction="add"),
    one("ScatterElements", ["v", "at", "u"], weights={"at": np.zeros((1, 6), np.int64), "u": f(1, 6)}),
    one("ScatterND", ["v", "at", "u"], weights={"at": i(0).reshape(1, 1), "u": f(1, 6)}, kept=True, reduction="add"),
    one("OneHot", ["at", "depth", "v2"], weights={"at": i(0, 1), "depth": i(3), "v2": f(2)}, kept=True),
    one("QuantizeLinear", ["v", "s", "z"], weights={"s": scalar, "z": np.uint8(3)}, output=TensorProto.UINT8, kept=True),
    several(
        "constants from a shape",
        lambda: [
            helper.make_node("Shape", ["v"], ["shape"]),
            helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
            helper.make_node("ConstantOfShape", ["shape"], ["ones"], value=numpy_helper.from_array(np.ones(1, np.float32))),
            helper.make_node("Sum", ["v", "zeros", "ones"], ["y"]),
        ],
    ),
    several(
        "one constant for a lowered and a kept node",
        lambda: [
            helper.make_node("MatMul", ["v", "w"], ["h"]),
            helper.make_node("CumSum", ["w", "axis"], ["c"]),
            helper.make_node("MatMul", ["h", "c"], ["y"]),
        ],
        weights={"w": f(6, 6), "axis": np.int64(0)},
    ),
    several(
        "a Constant node",
        lambda: [helper.make_node("Constant", [], ["k"], value_float=0.25), helper.make_node("Mul", ["v", "k"], ["y"])],
    ),
    several(
        "LSTM",
        lambda: [
            helper.make_node("Unsqueeze", ["v", "zero"], ["s"]),
            helper.make_node("LSTM", ["s", "w", "r"], ["all", "y"], hidden_size=2),
        ],
        weights={"zero": i(0), "w": f(1, 8, 6), "r": f(1, 8, 2)},
    ),
    several("If", branches, weights={"w": f(6, 6), "half": scalar}),
    several("Loop", loop, weights={"w": f(6, 6), "three": np.int64(3)}),
    several(
        "positions",
        positions,
        weights={"first": np.int64(0), "offset": np.float32(2999.4), "table": np.arange(4096, dtype=np.float32) / 4096},
    ),
    several("moves of what was lowered", moves, weights={"w": f(6, 6), "at": i(1, 3), "shape": i(3, 1, 1)}),
    several("sequence", sequence, weights={"w": f(6, 6)}),
]


def model(case: Case) -> Any:
    """Return the graph of a case at opset 18."""
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, 6, 6]),
        helper.make_tensor_value_info("v", TensorProto.FLOAT, ["n", 6]),
    ]
    output = onnx.ValueInfoProto(name="y", type=helper.make_tensor_type_proto(case.output, None))
    weights = [numpy_helper.from_array(np.asarray(array), name) for name, array in case.weights.items()]
    graph = helper.make_graph(case.nodes(), case.name, inputs, [output], weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    axes = onnxruntime.InferenceSession(made.SerializeToString()).run(["y"], sample())[0].ndim
    made.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", case.output, [f"y_{axis}" for axis in range(axes)]))
    return made


def sample(rows: int = 2) -> dict[str, Any]:
    """Return inputs that fp16 holds exactly, none of them close to an integer."""
    rng = np.random.default_rng(rows)
    shapes = {"x": (rows, 4, 6, 6), "v": (rows, 6)}
    return {name: rng.integers(8, 90, shape).astype(np.float32) / 64 + 1 / 128 for name, shape in shapes.items()}
