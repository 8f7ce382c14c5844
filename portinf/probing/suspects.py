"""An ONNX graph -> the nodes whose formula is unstable, or whose meaning differs, at the ends of their domain."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from portinf.core.batch import Array
from portinf.core.optional import require
from portinf.onnx_graph.graph import Graph, Node

__all__ = [
    "Danger",
    "Family",
    "Suspect",
    "asks_for_infinity",
    "asks_for_nan",
    "dependents",
    "find_suspects",
    "inner_nodes",
    "outputs_behind",
    "upstream",
]

Family = Literal["far", "nan", "integer"]
Operands = Sequence[Array | None]

TITLED = 6  # nodes of one title that are watched: a deep network repeats itself
PASSING = ("Identity", "Cast", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Neg", "Expand")
TELLING = ("Sigmoid", "Exp", "Softmax", "Softplus", "Erf", "Tanh", "Log", "Sub", "Add", "Div", "Round", "Floor")
CHAINED = ("Log", "Sub", "Add", "Sqrt", "Div", "Reciprocal", "Atan")  # operators that are named with what they take
TREES = ("TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor")
SHAPED = ("Shape", "Size")


@dataclass(frozen=True, kw_only=True)
class Danger:
    """A region of what goes into a node.

    Attributes:
        name: says the region, for example ``argument above 88``.
        family: kind of inputs that reach it.
        holds: whether operands (by position, None where one is unknown) are in it.
        tie: the answer there is a matter of order or of rounding: two right answers may differ.
        known: ONNX Runtime is known to differ from the frameworks there.
    """

    name: str
    family: Family
    holds: Callable[[Operands], bool]
    tie: bool = False
    known: bool = False


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """One node.

    Attributes:
        node: of the graph.
        title: its operator, with what it takes where that makes the formula: ``Log of Sigmoid``.
        dangers: its regions.
    """

    node: Node
    title: str
    dangers: tuple[Danger, ...]

    @property
    def where(self) -> str:
        """Name of the node, and of its layer where an exporter wrote that down."""
        layer = f", layer '{self.node.layer}'" if self.node.layer and self.node.layer not in self.node.name else ""
        return f"node '{self.node.name}'{layer}"


def _any(place: int, test: Callable[[Array], Any], kinds: str = "f") -> Callable[[Operands], bool]:
    """Whether an element of one operand, of a type of these kinds, passes a test."""

    def holds(operands: Operands) -> bool:
        array = operands[place] if place < len(operands) else None
        if array is None or array.dtype.kind not in kinds:
            return False
        with np.errstate(all="ignore"):
            return bool(np.any(test(array)))

    return holds


def _nan(operands: Operands) -> bool:
    return any(array is not None and array.dtype.kind == "f" and bool(np.isnan(array).any()) for array in operands)


def _inexact(operands: Operands) -> bool:
    """Whether whole numbers are divided with a rest, one of the two negative."""
    if len(operands) < 2 or any(array is None or array.dtype.kind != "i" for array in operands[:2]):
        return False
    a, b = (np.asarray(array) for array in operands[:2])
    with np.errstate(all="ignore"):
        return bool(np.any((np.fmod(a, b) != 0) & ((a < 0) != (b < 0)) & (b != 0)))


def _negative_rest(operands: Operands) -> bool:
    return _inexact(operands) or any(_any(place, lambda x: x < 0)(operands) for place in (0, 1))


def _outside_depth(operands: Operands) -> bool:
    if len(operands) < 2 or operands[0] is None or operands[1] is None:
        return False
    return bool(np.any((operands[0] < 0) | (operands[0] >= np.max(operands[1], initial=1))))


def _repeated_rows(operands: Operands) -> bool:
    index = operands[1] if len(operands) > 1 else None
    if index is None or not index.size or not index.ndim:
        return False
    rows = index.reshape(-1, index.shape[-1])
    return len(np.unique(rows, axis=0)) < len(rows)


def _repeated(operands: Operands) -> bool:
    index = operands[1] if len(operands) > 1 else None
    return index is not None and index.ndim > 0 and bool(np.any(np.diff(np.sort(index, axis=0), axis=0) == 0))


def _equal_neighbours(operands: Operands) -> bool:
    """Whether two elements of the first operand are equal, along the last axis or the first."""
    array = operands[0] if operands else None
    if array is None or not array.ndim or array.dtype == object:
        return False
    return any(bool(np.any(np.diff(np.sort(array, axis=axis), axis=axis) == 0)) for axis in {0, array.ndim - 1})


def _far(name: str, place: int, test: Callable[[Array], Any]) -> Danger:
    return Danger(name=name, family="far", holds=_any(place, test))


def _integer(name: str, holds: Callable[[Operands], bool], *, tie: bool = False) -> Danger:
    return Danger(name=name, family="integer", holds=holds, tie=tie)


NAN = Danger(name="NaN among its numbers", family="nan", holds=_nan)
NAN_LOST = Danger(name="NaN among its numbers", family="nan", holds=_nan, known=True)
TIE = Danger(name="equal numbers", family="far", holds=_equal_neighbours, tie=True)
LARGE = _far("argument beyond 100", 0, lambda x: np.abs(x) > 100)
HALF = Danger(name="exact halves", family="far", holds=_any(0, lambda x: np.abs(x - np.trunc(x)) == 0.5), tie=True)
NEGATIVE = _far("negative argument", 0, lambda x: x < 0)
BEYOND_ONE = _far("argument beyond 1", 0, lambda x: np.abs(x) > 1)
NO_DIVISOR = _far("divisor 0 or close to 0", 1, lambda x: np.abs(x) < 1e-30)
BELOW_0 = _integer("index below 0", _any(1, lambda x: x < 0, "i"))
WIDE = _integer("whole numbers beyond 2^30", lambda operands: any(_any(k, _is_wide, "iu")(operands) for k in (0, 1)))


def _is_wide(array: Array) -> Any:
    return (array > 2**30) | ((array < -(2**30)) if array.dtype.kind == "i" else False)


DANGERS: Mapping[str, tuple[Danger, ...]] = {
    "Exp": (_far("argument above 88", 0, lambda x: x > 88), _far("argument below -88", 0, lambda x: x < -88)),
    "Log": (
        _far("argument 0", 0, lambda x: x == 0),
        _far("argument close to 0", 0, lambda x: (x > 0) & (x < 1e-30)),
        NEGATIVE,
    ),
    "Sqrt": (NEGATIVE, _far("argument 0", 0, lambda x: x == 0)),
    "Pow": (NEGATIVE, _far("base 0", 0, lambda x: x == 0), LARGE),
    "Reciprocal": (_far("argument 0 or close to 0", 0, lambda x: np.abs(x) < 1e-30),),
    "Div": (NO_DIVISOR, _integer("whole numbers, one of them negative", _inexact)),
    "Mod": (
        Danger(name="negative operand", family="far", holds=_negative_rest),
        _integer("whole numbers, one of them negative", _inexact),
    ),
    "Erf": (_far("argument beyond 4", 0, lambda x: np.abs(x) > 4),),
    "Tan": (LARGE,),
    "Sinh": (LARGE,),
    "Cosh": (LARGE,),
    "Asin": (BEYOND_ONE,),
    "Acos": (BEYOND_ONE,),
    "Atanh": (BEYOND_ONE,),
    "Acosh": (_far("argument below 1", 0, lambda x: x < 1),),
    "Asinh": (LARGE,),
    "Softplus": (LARGE,),
    "Softsign": (LARGE,),
    "Mish": (LARGE,),
    "Gelu": (LARGE,),
    "Elu": (LARGE,),
    "Celu": (LARGE,),
    "Selu": (LARGE,),
    "LogSoftmax": (LARGE,),
    "ReduceLogSumExp": (LARGE,),
    "ReduceLogSum": (LARGE,),
    "LpNormalization": (LARGE, _far("argument 0", 0, lambda x: x == 0)),
    "ReduceL2": (LARGE,),
    "Round": (HALF,),
    "Floor": (NEGATIVE,),
    "Ceil": (NEGATIVE,),
    "ReduceMax": (NAN_LOST,),
    "ReduceMin": (NAN_LOST,),
    "ArgMax": (NAN_LOST, TIE),
    "ArgMin": (NAN_LOST, TIE),
    "TopK": (NAN_LOST, TIE),
    "Max": (NAN,),
    "Min": (NAN,),
    "Clip": (NAN, LARGE),
    "Sign": (NAN_LOST,),
    "MaxPool": (NAN_LOST,),
    "GlobalMaxPool": (NAN_LOST,),
    "Where": (NAN,),
    "Less": (NAN,),
    "LessOrEqual": (NAN,),
    "Greater": (NAN,),
    "GreaterOrEqual": (NAN,),
    "Equal": (NAN,),
    "IsNaN": (NAN,),
    "IsInf": (NAN,),
    "Unique": (NAN,),
    "LSTM": (NAN_LOST,),
    "GRU": (NAN_LOST,),
    "RNN": (NAN_LOST,),
    "OneHot": (_integer("index outside 0 to depth - 1", _outside_depth),),
    "Gather": (BELOW_0,),
    "GatherND": (BELOW_0,),
    "GatherElements": (BELOW_0,),
    "ScatterND": (BELOW_0, _integer("repeated positions", _repeated_rows), NAN_LOST),
    "ScatterElements": (BELOW_0, _integer("repeated positions", _repeated), NAN_LOST),
    "BitShift": (_integer("negative number", _any(0, lambda x: x < 0, "i")),),
    "Add": (WIDE,),
    "Sub": (WIDE,),
    "Mul": (WIDE,),
    "ReduceSum": (WIDE,),
    "ReduceProd": (_integer("large whole numbers", _any(0, lambda x: x > 2**15, "iu")),),
    "CumSum": (WIDE,),
    **{kind: (NAN, LARGE) for kind in TREES},
    "LinearClassifier": (LARGE,),
    "LinearRegressor": (LARGE,),
    "SVMClassifier": (LARGE,),
    "SVMRegressor": (LARGE,),
    "Normalizer": (LARGE, _far("argument 0", 0, lambda x: x == 0)),
    "Imputer": (NAN,),
    "LabelEncoder": (_integer("a number outside the samples", lambda operands: bool(operands and operands[0] is not None)),),
}


def _cast(node: Node) -> tuple[Danger, ...]:
    """Return where a cast loses something: NaN, fractions below 0 and numbers outside the target's type."""
    target = require("onnx", "").helper.tensor_dtype_to_np_dtype(next(a.i for a in node.proto.attribute if a.name == "to"))
    if target.kind not in "iu":
        exact = 2**24 if target == np.float32 else 2**53
        if target not in (np.float32, np.float64):
            return ()
        return (_integer(f"whole numbers beyond 2^{int(np.log2(exact))}", _any(0, lambda x: x > exact, "iu")),)
    low, high = np.iinfo(target).min, np.iinfo(target).max
    return (
        NAN,
        _far("a fraction below 0", 0, lambda x: (x < 0) & (x != np.trunc(x))),
        _far(f"a number outside {target}", 0, lambda x: (x < float(low)) | (x > float(high))),
        _integer(f"a number outside {target}", _any(0, lambda x: (x.astype(object) < low) | (x.astype(object) > high), "iu")),
    )


def _cancelling(graph: Graph, node: Node) -> tuple[Danger, ...]:
    """Return where a sum in front of a Log, or a difference of an Exp, loses the small number beside 1."""
    takers = {taker.operator for out in node.outputs for taker in graph.takers.get(out, ())}
    makers = {maker.operator for maker in (graph.producer.get(name) for name in node.inputs) if maker is not None}
    if node.operator == "Add" and "Log" in takers:
        small = [_any(place, lambda x: (np.abs(x) < 1e-6) & (x != 0)) for place in (0, 1)]
        name = "a number below 1e-6 beside 1"
        return (Danger(name=name, family="far", holds=lambda operands: any(test(operands) for test in small)),)
    if node.operator == "Sub" and makers & {"Exp", "Erf", "Sigmoid", "Tanh", "Cos", "Softmax"}:
        name = "two numbers that are nearly equal"
        return (Danger(name=name, family="far", holds=_nearly_equal),)
    return ()


def _nearly_equal(operands: Operands) -> bool:
    if len(operands) < 2 or any(array is None or array.dtype.kind != "f" for array in operands[:2]):
        return False
    a, b = (np.asarray(array, np.float64) for array in operands[:2])
    with np.errstate(all="ignore"):
        return bool(np.any((a != b) & (np.abs(a - b) < 1e-4 * np.abs(a))))


def find_suspects(graph: Graph, moved: Collection[str]) -> list[Suspect]:
    """Return the suspicious nodes that see the numbers of these inputs, in the graph's order, at most six of one title.

    A node with graphs inside, or of another domain, is a black box with the one danger of large operands.

    Args:
        graph: of the file.
        moved: names of the inputs whose numbers change.
    """
    reached = dependents(graph, moved)
    found: list[Suspect] = []
    count: dict[str, int] = {}
    for node in graph.nodes:
        if reached.isdisjoint(node.inputs):
            continue
        dangers = _dangers(graph, node)
        title = _title(graph, node) if dangers else ""
        count[title] = count.get(title, 0) + 1
        if dangers and count[title] <= TITLED:
            found.append(Suspect(node=node, title=title, dangers=dangers))
    return found


def _dangers(graph: Graph, node: Node) -> tuple[Danger, ...]:
    kind = str(node.proto.op_type)
    if kind == "Cast":
        return _cast(node)
    if any(True for _ in inner_nodes(node)) or node.proto.domain not in ("", "ai.onnx", "ai.onnx.ml"):
        return (LARGE,)
    return (*DANGERS.get(kind, ()), *_cancelling(graph, node))


def inner_nodes(node: Node) -> Iterator[Any]:
    """Yield the nodes of the graphs inside a node, at any depth."""
    todo = [node.proto]
    while todo:
        for attribute in todo.pop().attribute:
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from inner.node
                todo.extend(inner.node)


def dependents(graph: Graph, inputs: Collection[str]) -> set[str]:
    """Return the tensors whose numbers, not only their shapes, depend on these inputs."""
    found = set(inputs)
    for node in graph.nodes:
        if node.proto.op_type not in SHAPED and not found.isdisjoint(node.inputs):
            found.update(name for name in node.outputs if name)
    return found


def upstream(graph: Graph, output: str) -> set[int]:
    """Return the numbers of the nodes that a tensor is computed from."""
    numbers: set[int] = set()
    todo = [output]
    while todo:
        node = graph.producer.get(todo.pop())
        if node is not None and node.number not in numbers:
            numbers.add(node.number)
            todo += [name for name in node.inputs if name]
    return numbers


def outputs_behind(graph: Graph, asks: Callable[[Graph, Node], bool]) -> set[str]:
    """Return the outputs that are computed from nodes of a kind."""
    asking = {node.number for node in graph.nodes if asks(graph, node)}
    return {output for output in graph.outputs if asking and not asking.isdisjoint(upstream(graph, output))}


def asks_for_nan(_: Graph, node: Node) -> bool:
    """Whether a node distinguishes missing values from others."""
    compared = node.operator == "Equal" and node.inputs[0] == node.inputs[1]
    return compared or node.operator == "IsNaN" or str(node.proto.op_type) in ("Imputer", *TREES)


def asks_for_infinity(graph: Graph, node: Node) -> bool:
    """Whether a node distinguishes infinite inputs from others; those that exporters write for other functions ask inside."""
    return node.operator == "IsInf" and _maker(graph, node.inputs[0]) is None


def _title(graph: Graph, node: Node) -> str:
    """Name a node with what it takes, where that makes the formula."""
    beside = node.operator == "Add" and any(taker.operator == "Log" for taker in graph.takers.get(node.outputs[0], ()))
    words = ["Log", "Add"] if beside else [node.operator]
    while node.operator in CHAINED and len(words) < 3:
        makers = [_maker(graph, name) for name in node.inputs]
        known = [maker for maker in makers if maker is not None and maker.operator in TELLING]
        if not known:
            break
        node = min(known, key=lambda maker: TELLING.index(maker.operator))
        words.append(node.operator)
    return " of ".join(words)


def _maker(graph: Graph, name: str) -> Node | None:
    node = graph.producer.get(name)
    while node is not None and node.operator in PASSING:
        node = graph.producer.get(node.inputs[0])
    return node
