"""A QONNX file of dense layers -> a fixed-point network with the bits of its ``Quant`` nodes, and the same in plain ONNX operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from portinf.core.errors import CannotError
from portinf.core.optional import require
from portinf.fixedpoint.casting import Array
from portinf.fixedpoint.formats import FixedPointError, Format
from portinf.fixedpoint.linear import sum_range
from portinf.fixedpoint.network import Input, Layer, Network
from portinf.onnx_graph.model_file import load_proto

if TYPE_CHECKING:
    import onnx


__all__ = ["is_qonnx", "plain_model", "qonnx_network"]

DOMAINS = ("qonnx", "finn", "onnx.brevitas")
ROUNDINGS = {"ROUND": "RND_CONV", "HALF_EVEN": "RND_CONV", "FLOOR": "TRN"}
FINEST = 32  # fraction bits of a bias


def is_qonnx(path: Path) -> bool:
    """Say whether an ONNX file has ``Quant`` nodes of QONNX."""
    return any(node.domain.startswith(DOMAINS) for node in load_proto(path).graph.node)


@dataclass(frozen=True, kw_only=True)
class _Live:
    """A tensor that depends on the inputs: the layer or input that gives it, its format and the shape of a row; None before it has bits."""

    name: str
    format: Format | None
    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class _Quant:
    """What a ``Quant`` node says."""

    format: Format
    step: float


def plain_model(path: Path, out: Path) -> None:
    """Write the same computation with operators of ONNX alone and a free batch axis.

    Raises:
        CannotError: a ``Quant`` node that is not on a grid of powers of two.
    """
    onnx = require("onnx", "")
    proto = load_proto(path)
    graph, constants = proto.graph, _constants(proto.graph)
    nodes, added = [], []
    for number, node in enumerate(graph.node):
        if not node.domain.startswith(DOMAINS):
            nodes.append(node)
            continue
        quant = _quant(node, constants)
        low, high = quant.format.low, quant.format.high
        names = {role: f"quant_{number}_{role}" for role in ("step", "low", "high", "a", "b", "c")}
        for role, value in (("step", quant.step), ("low", low), ("high", high)):
            added.append(onnx.numpy_helper.from_array(np.array(value, np.float32), names[role]))
        rounding = "Round" if quant.format.rounding == "RND_CONV" else "Floor"
        make = onnx.helper.make_node
        nodes += [
            make("Div", [node.input[0], names["step"]], [names["a"]]),
            make("Clip", [names["a"], names["low"], names["high"]], [names["b"]]),
            make(rounding, [names["b"]], [names["c"]]),
            make("Mul", [names["c"], names["step"]], [node.output[0]]),
        ]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(added)
    weights = {tensor.name for tensor in graph.initializer}
    for value in [*(value for value in graph.input if value.name not in weights), *graph.output]:
        if value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].dim_param = "rows"
    plain = [entry for entry in proto.opset_import if not entry.domain.startswith(DOMAINS)]
    del proto.opset_import[:]
    proto.opset_import.extend(plain)
    onnx.save(proto, str(out))


def qonnx_network(path: Path) -> Network:
    """Read the network.

    Raises:
        CannotError: an operator, a grid or a bias that is not read; the message names the node.
    """
    graph = load_proto(path).graph
    return _Reader(graph).network()


class _Reader:
    """Walks the nodes in their order."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._constants = _constants(graph)
        self._formats: dict[str, Format] = {}  # of constants
        self._live: dict[str, _Live] = {}
        self._inputs: dict[str, Input] = {}
        self._layers: list[Layer] = []
        self._readers = [name for node in graph.node for name in node.input]

    def network(self) -> Network:
        names = [value for value in self._graph.input if value.name not in self._constants]
        for value in names:
            shape = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)[1:]
            if len(shape) != 1 or not shape[0]:
                raise CannotError(f"input '{value.name}': expected rows of one fixed length, found {shape or 'no shape'}")
            self._live[value.name] = _Live(name=value.name, format=None, shape=shape)
        for node in self._graph.node:
            try:
                self._take(node)
            except FixedPointError as error:
                raise CannotError(f"{_title(node)}: {error}") from error
        for value in names:
            if value.name not in self._inputs:
                raise CannotError(f"input '{value.name}': no Quant node takes it: its bits are not known")
        outputs = {}
        for value in self._graph.output:
            found = self._live.get(value.name)
            if found is None or found.name in self._inputs:
                raise CannotError(f"output '{value.name}': no layer gives it")
            outputs[value.name] = found.name
        return Network(inputs=tuple(self._inputs[v.name] for v in names), layers=tuple(self._layers), outputs=outputs)

    def _take(self, node: onnx.NodeProto) -> None:
        if node.domain.startswith(DOMAINS):
            self._quant(node)
            return
        if all(name in self._constants for name in node.input) and node.op_type == "Transpose":
            order = next((list(a.ints) for a in node.attribute if a.name == "perm"), None)
            self._constants[node.output[0]] = self._constants[node.input[0]].transpose(order)
            if node.input[0] in self._formats:
                self._formats[node.output[0]] = self._formats[node.input[0]]
            return
        handlers: Mapping[str, Callable[[Any], None]] = {
            "MatMul": self._dense,
            "Gemm": self._dense,
            "Add": self._bias,
            "Relu": self._relu,
            "Identity": self._same,
            "Flatten": self._same,
            "Dropout": self._same,
        }
        if node.op_type not in handlers:
            raise CannotError(f"{_title(node)}: not read from QONNX; there are: Quant, Transpose, {', '.join(handlers)}")
        handlers[node.op_type](node)

    def _quant(self, node: onnx.NodeProto) -> None:
        quant = _quant(node, self._constants)
        given, made = node.input[0], node.output[0]
        if given in self._constants:
            raw = _rounded(self._constants[given].astype(np.float64) / quant.step, quant.format)
            self._constants[made], self._formats[made] = raw * quant.step, quant.format
            return
        live = self._of(node, given, known=False)
        if live.format is None:
            if self._readers.count(given) > 1:
                raise CannotError(f"{_title(node)}: input '{given}' is read elsewhere as well, without its bits")
            self._inputs[given] = Input(name=given, shape=live.shape, axes=(0,), format=quant.format)
            self._live[made] = replace(live, format=quant.format)
            return
        self._add(node, "linear", live, live.shape, quant.format)

    def _of(self, node: onnx.NodeProto, name: str, *, known: bool = True) -> _Live:
        live = self._live.get(name)
        if live is None or (known and live.format is None):
            raise CannotError(f"{_title(node)}: its input '{name}' has no Quant node before it: its bits are not known")
        return live

    def _add(self, node: onnx.NodeProto, kind: str, live: _Live, shape: tuple[int, ...], result: Format, **more: Any) -> None:
        name = f"{kind}_{1 + sum(layer.kind == kind for layer in self._layers)}"
        layer = Layer(
            name=name, kind=kind, inputs=(live.name,), shape=shape, result=result, origin=node.output[0],
            axes=tuple(range(len(shape))), **more,
        )  # fmt: skip
        self._layers.append(layer)
        self._live[node.output[0]] = _Live(name=name, format=result, shape=shape)

    def _dense(self, node: onnx.NodeProto) -> None:
        attributes = {a.name: a for a in node.attribute}
        if any(attributes[key].f != 1.0 for key in ("alpha", "beta") if key in attributes) or (
            "transA" in attributes and attributes["transA"].i
        ):
            raise CannotError(f"{_title(node)}: alpha, beta or transA other than their defaults are not read from QONNX")
        live, name = self._of(node, node.input[0]), node.input[1]
        if name not in self._formats:
            raise CannotError(f"{_title(node)}: its weight '{name}' has no Quant node before it: its bits are not known")
        weight, of = self._constants[name], self._formats[name]
        if "transB" in attributes and attributes["transB"].i:
            weight = weight.T
        bias = self._constants[node.input[2]] if len(node.input) > 2 and node.input[2] else np.zeros(weight.shape[1])
        assert live.format is not None
        raw = np.rint(weight / of.step).astype(np.int64)
        formats, biases = _sums(_title(node), raw, of, bias, live.format)
        self._add(
            node, "dense", live, (weight.shape[1],), formats["accum"], formats=formats, numbers={"weight": raw, "bias": biases}
        )

    def _bias(self, node: onnx.NodeProto) -> None:
        """Put a constant that is added to a dense layer into it."""
        names = sorted(node.input, key=lambda name: name in self._constants)
        live = self._of(node, names[0])
        last = self._layers[-1] if self._layers else None
        fits = last is not None and last.name == live.name and last.kind == "dense" and not last.numbers["bias"].any()
        if names[1] not in self._constants or not fits or last is None or self._readers.count(names[0]) > 1:
            raise CannotError(f"{_title(node)}: only the bias of the dense layer before it is read from QONNX")
        given = next(x.format for x in self._live.values() if x.name == last.inputs[0] and x.format is not None)
        bias = np.broadcast_to(self._constants[names[1]], last.shape)
        formats, raw = _sums(_title(node), last.numbers["weight"], last.formats["weight"], bias, given)
        numbers = {**last.numbers, "bias": raw}
        self._layers[-1] = replace(last, formats=formats, numbers=numbers, result=formats["accum"], origin=node.output[0])
        self._live[node.output[0]] = replace(live, format=formats["accum"])

    def _relu(self, node: onnx.NodeProto) -> None:
        live = self._of(node, node.input[0])
        assert live.format is not None
        signed = int(live.format.signed)
        result = Format(max(1, live.format.width - signed), live.format.integer - signed, False)
        self._add(node, "relu", live, live.shape, result)

    def _same(self, node: onnx.NodeProto) -> None:
        self._live[node.output[0]] = self._of(node, node.input[0], known=False)


def _title(node: onnx.NodeProto) -> str:
    return f"node '{node.name or node.output[0]}' ({node.op_type})"


def _constants(graph: onnx.GraphProto) -> dict[str, Array]:
    onnx = require("onnx", "")
    found = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            found[node.output[0]] = onnx.numpy_helper.to_array(node.attribute[0].t)
    return found


def _quant(node: onnx.NodeProto, constants: Mapping[str, Array]) -> _Quant:
    """Read scale, bits and modes.

    Raises:
        CannotError: they are no format of powers of two.
    """
    if node.op_type != "Quant":
        raise CannotError(f"{_title(node)}: of QONNX's operators only Quant is read")
    try:
        scale, zero, bits = (constants[name].astype(np.float64) for name in node.input[1:4])
    except KeyError as error:
        raise CannotError(f"{_title(node)}: its scale, zero point or bits are computed: expected constants") from error
    settings = {a.name: a.s.decode() if a.type == 3 else a.i for a in node.attribute}
    signed, narrow = bool(settings.get("signed", 1)), bool(settings.get("narrow", 0))
    mode = str(settings.get("rounding_mode", "ROUND")).upper()
    places = np.log2(scale[scale > 0]) if scale.size else np.array([np.nan])
    if scale.size != 1 or places.size != 1 or places[0] % 1:
        raise CannotError(f"{_title(node)}: its scale is {scale.ravel()[:3].tolist()}: expected one power of two")
    if zero.any() or bits.size != 1 or bits.item() % 1 or bits.item() < (2 if signed else 1) or (narrow and not signed):
        raise CannotError(
            f"{_title(node)}: expected zero point 0 and whole bits, 2 or more with a sign, narrow with a sign alone"
        )
    if mode not in ROUNDINGS:
        raise CannotError(f"{_title(node)}: rounding_mode {mode}: expected one of {', '.join(ROUNDINGS)}")
    width = int(bits.item())
    overflow = "SAT_SYM" if narrow else "SAT"
    return _Quant(format=Format(width, width + int(places[0]), signed, ROUNDINGS[mode], overflow), step=float(scale.item()))


def _rounded(values: Array, format: Format) -> Array:
    whole = np.rint(values) if format.rounding == "RND_CONV" else np.floor(values)
    return np.clip(whole, format.low, format.high)


def _sums(title: str, weight: Array, of: Format, bias: Array, given: Format) -> tuple[dict[str, Format], Array]:
    """Return formats in which the sums are exact, and the bias on its own grid."""
    values = np.asarray(bias, dtype=np.float64)
    behind = next((k for k in range(FINEST + 1) if not (values * 2.0**k % 1).any()), None)
    if behind is None:
        raise CannotError(f"{title}: a bias has more than {FINEST} fraction bits: quantise it as well")
    fraction = max(given.fraction + of.fraction, behind, 0)
    raw = np.rint(values * 2.0**behind).astype(np.int64)
    up = fraction - given.fraction - of.fraction
    low, high = sum_range(weight.astype(object) * (1 << up), raw.astype(object) * (1 << (fraction - behind)), given)
    width = 1 + max((-low - 1).bit_length() if low < 0 else 0, high.bit_length() if high > 0 else 0)
    most = 1 + int(np.abs(raw).max(initial=0)).bit_length()
    formats = {
        "weight": of.with_modes("TRN", "WRAP"),
        "bias": Format(most, most - behind),
        "accum": Format(width, width - fraction),
    }
    return formats, raw
