"""A graph -> the nodes that may compute with fewer bits, with the operands that change, and why the others may not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from portinf.mixed_precision.model import FLOAT, inner_graphs, schema_of, types_of
from portinf.onnx_graph.random_operators import RANDOM

if TYPE_CHECKING:
    import onnx


__all__ = ["HEAVY", "MOVED", "SHAPES", "Place", "find_places"]

HEAVY = ("MatMul", "Gemm", "Conv", "ConvTranspose", "Einsum")  # where the time of a network goes

_DRAWS = "draws random numbers"
_LONG = "adds up many terms one after the other, rounding each time on some targets"
_SQUARES = "its squares or powers may overflow fp16 inside the operator"
_ORDER = "gives indices or an order, which rounding would change"
# operator -> why it stays in float32 although ONNX allows it fewer bits
KEPT: Mapping[str, str] = {
    **dict.fromkeys(RANDOM, _DRAWS),
    **dict.fromkeys(("CumSum", "CumProd", "DFT", "STFT", "Det"), _LONG),
    **dict.fromkeys(
        (
            "ReduceSumSquare",
            "ReduceL2",
            "ReduceLogSumExp",
            "ReduceProd",
            "LpNormalization",
            "LpPool",
            "MeanVarianceNormalization",
        ),
        _SQUARES,
    ),
    **dict.fromkeys(("TopK", "ArgMax", "ArgMin", "NonZero", "Unique", "NonMaxSuppression", "OneHot"), _ORDER),
    **dict.fromkeys(("LSTM", "GRU", "RNN", "Loop", "Scan", "If"), "control flow: each of its steps would be rounded"),
    **dict.fromkeys(("EyeLike", "Range"), "its type is tied to an attribute or to counting"),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"), "it is quantised already"),
}
_NARROW_TAIL = ("LayerNormalization", "BatchNormalization")  # further outputs are statistics, which stay as they are
# operators through which a counted number, or one that becomes an integer, is followed
_ARITHMETIC = frozenset(
    """Abs Add Cast Ceil Clip Concat Div Expand Flatten Floor Gather Max Min Mod Mul Neg Pow Reciprocal Reshape Round Slice
    Sqrt Squeeze Sub Transpose Unsqueeze Where""".split()  # noqa: SIM905
)


_MOVES = frozenset(
    """Concat Expand Flatten Gather GatherElements GatherND Identity Pad Reshape Slice Split Squeeze Tile Transpose
    Unsqueeze""".split()  # noqa: SIM905
)
MOVED = "moves numbers that are in float32"
SHAPES = ("Shape", "Size")  # these read no numbers


@dataclass(frozen=True, kw_only=True)
class Place:
    """A node that may compute with fewer bits.

    Attributes:
        name: of the node.
        operator: of the node.
        inputs, outputs: numbers of the float32 operands that change their type.
        reads, writes: the names of these operands.
    """

    name: str
    operator: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]


def find_places(model: onnx.ModelProto, type_name: str) -> tuple[list[Place], dict[str, str]]:
    """Return the nodes that may compute in a type, in their order, and those that stay in float32 with the reason.

    Nodes without a float32 operand are in neither.

    Args:
        model: of `portinf.mixed_precision.load_whole`.
        type_name: ``float16`` or ``bfloat16``.
    """
    types = types_of(model)
    counts = _counting(model, types)
    places: list[Place] = []
    kept: dict[str, str] = {}
    rounded = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        touched = [name for name in (*node.input, *node.output) if types.get(name) == FLOAT]
        if not touched or node.op_type in SHAPES:
            continue
        found = counts.get(node.name) or _place(model, node, types, type_name)
        if not isinstance(found, str) and node.op_type in _MOVES and not rounded.intersection(found.reads):
            found = MOVED
        if isinstance(found, str):
            kept[node.name] = found
        else:
            places.append(found)
            rounded.update(found.writes)
    return places, kept


def _place(model: onnx.ModelProto, node: onnx.NodeProto, types: Mapping[str, int], type_name: str) -> Place | str:
    why = _refused(node, types)
    if why:
        return why
    schema = schema_of(model, node)
    if schema is None:
        return "not a standard ONNX operator"
    inputs = _changing(node.input, schema.inputs, schema, types, type_name)
    outputs = _changing(node.output, schema.outputs, schema, types, type_name)
    if node.op_type in _NARROW_TAIL:
        outputs = outputs[:1]
    unknown = [name for name in (*node.input, *node.output) if name and name not in types]
    if unknown:
        return f"the type of '{unknown[0]}' is not known"
    if not outputs and not inputs:
        return f"it has no {type_name} at this opset"
    return Place(
        name=node.name,
        operator=node.op_type,
        inputs=inputs,
        outputs=outputs,
        reads=tuple(dict.fromkeys(node.input[number] for number in inputs)),
        writes=tuple(node.output[number] for number in outputs),
    )


def _refused(node: onnx.NodeProto, types: Mapping[str, int]) -> str:
    if any(True for _ in inner_graphs(node)):
        return KEPT["If"]
    if node.op_type in KEPT:
        return KEPT[node.op_type]
    if any(a.name == "reduction" and a.s not in (b"none", b"") for a in node.attribute) and node.op_type.startswith("Scatter"):
        return _LONG
    if node.op_type == "Cast" and types.get(node.output[0]) != FLOAT:
        return "a cast to another type reads all digits"
    return ""


def _changing(names: Any, formals: Any, schema: Any, types: Mapping[str, int], type_name: str) -> tuple[int, ...]:
    allowed = {entry.type_param_str: set(entry.allowed_type_strs) for entry in schema.type_constraints}
    found = []
    for number, name in enumerate(names):
        formal = formals[min(number, len(formals) - 1)]
        strings = allowed.get(formal.type_str, {formal.type_str})
        if name and types.get(name) == FLOAT and {"tensor(float)", f"tensor({type_name})"} <= strings:
            found.append(number)
    return tuple(found)


def _counting(model: onnx.ModelProto, types: Mapping[str, int]) -> dict[str, str]:
    """Return the nodes that count, or whose numbers become integers alone: positions, sizes, bins."""
    small = {t.name for t in model.graph.initializer if t.data_type == FLOAT and all(n == 1 for n in t.dims)}
    counted: set[str] = set()
    found: dict[str, str] = {}
    for node in model.graph.node:
        floats = [name for name in node.input if name and types.get(name) == FLOAT]
        makes = [name for name in node.output if types.get(name) == FLOAT]
        if not makes or node.op_type not in (*_ARITHMETIC, "Range"):
            continue
        from_integers = node.op_type == "Cast" and not floats and types.get(node.input[0]) not in (10, 11, 16)
        onward = any(name in counted for name in floats) and all(name in counted or name in small for name in floats)
        if from_integers or onward or node.op_type == "Range":
            counted.update(makes)
            found[node.name] = "computed from integers alone"
    users: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    outputs = {value.name for value in model.graph.output}
    for node in reversed(model.graph.node):
        if node.op_type not in _ARITHMETIC or any(name in outputs or not users.get(name) for name in node.output):
            continue
        if all(_becomes_integer(user, types, found) for name in node.output for user in users[name]):
            found.setdefault(node.name, _INTEGERS)
    return found


_INTEGERS = "becomes an integer: rounding would change it"
_INTEGER_TYPES = (2, 3, 4, 5, 6, 7, 12, 13)


def _becomes_integer(node: onnx.NodeProto, types: Mapping[str, int], found: Mapping[str, str]) -> bool:
    if node.op_type == "Cast":
        return types.get(node.output[0]) in _INTEGER_TYPES
    return found.get(node.name) == _INTEGERS
