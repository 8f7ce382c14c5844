"""Turns an ONNX graph and a version of TensorRT into what that version cannot run, node by node, before anyone waits for a build.

The tables are facts of onnx-tensorrt's ``docs/operators.md`` (`operators.json` names the page of each). A version between two
tables is checked against both: what both lack is refused; where they differ, the build decides.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from portinf.core.errors import CannotError
from portinf.onnx_graph.model_file import opset_of
from portinf.targets.tensorrt.operator_rules import Finding, broken_rules, walk
from portinf.targets.tensorrt.versions import Version, parse_version

if TYPE_CHECKING:
    import onnx


__all__ = ["Checked", "Table", "check_operators", "tables"]

SHOWN = 4  # nodes named in a message


@dataclass(frozen=True, kw_only=True)
class Table:
    """What one release's own page says.

    Attributes:
        version: of TensorRT.
        source: the page.
        min_opset, max_opset: of the default domain; the oldest is None where the page is silent.
        supported: element types (``FP32``, ...) by operator.
        unsupported: operators that the page names as such.
    """

    version: Version
    source: str
    min_opset: int | None
    max_opset: int
    supported: Mapping[str, frozenset[str]]
    unsupported: frozenset[str]

    def has(self, operator: str) -> bool:
        """Whether the page lists the operator as supported; what it does not name is not."""
        return operator in self.supported


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The outcome of a check that refused nothing.

    Attributes:
        sources: the pages that the graph was checked against.
        notes: what only the build can decide.
    """

    sources: Sequence[str]
    notes: Sequence[str]


@cache
def tables() -> tuple[Table, ...]:
    """Return the tables, oldest version first."""
    data = json.loads(files("portinf.targets.tensorrt").joinpath("operators.json").read_text(encoding="utf-8"))
    return tuple(
        Table(
            version=parse_version(row["tensorrt"]),
            source=row["source"],
            min_opset=row["min_opset"],
            max_opset=row["max_opset"],
            supported={name: frozenset(types.split()) for types, names in row["supported"].items() for name in names},
            unsupported=frozenset(row["unsupported"]),
        )
        for row in data["tables"]
    )


def _around(version: Version) -> list[Table]:
    """Return the table of a version, or those next below and above it."""
    exact = [table for table in tables() if table.version == version]
    below = [table for table in tables() if table.version < version]
    above = [table for table in tables() if table.version > version]
    return exact or [*below[-1:], *above[:1]]


def check_operators(model: onnx.ModelProto, version: Version, shown: str) -> Checked:
    """Hold every node of a parsed ONNX model against a version of TensorRT.

    Args:
        model: parsed; weights may lie outside.
        version: of TensorRT.
        shown: how messages call the model.

    Raises:
        CannotError: it cannot run, or would run wrongly; the message names the nodes and the fix.
    """
    around = _around(version)
    findings = [*_unknown(model, around), *broken_rules(model, version)]
    if findings:
        first, *others = findings
        more = f"; {len(others)} more: {', '.join(dict.fromkeys(other.what for other in others))}" if others else ""
        raise CannotError(f"{shown}: TensorRT {version}: {first.what} ({_named(first.nodes)}): {first.why}; {first.cure}{more}")
    _check_opset(model, around, version, shown)
    return Checked(sources=[table.source for table in around], notes=list(_notes(model, around, version)))


def _named(nodes: Sequence[str]) -> str:
    names = ", ".join(f"'{node}'" for node in nodes[:SHOWN])
    kind = "node" if len(nodes) == 1 else f"{len(nodes)} nodes:"
    return f"{kind} {names}" + (", ..." if len(nodes) > SHOWN else "")


def _check_opset(model: onnx.ModelProto, around: Sequence[Table], version: Version, shown: str) -> None:
    opset = opset_of(model)
    newest = max(table.max_opset for table in around)
    if opset > newest:
        raise CannotError(
            f"{shown}: opset {opset}; TensorRT {version} takes up to {newest}: convert the source again with --opset {newest}, "
            f"or take a newer TensorRT"
        )
    oldest = min((table.min_opset or 0 for table in around), default=0)
    if 0 < opset < oldest:
        raise CannotError(
            f"{shown}: opset {opset}; TensorRT {version} takes {oldest} and newer: upgrade it with: "
            f"portinf convert {shlex.quote(shown)} -o ..."
        )


def _unknown(model: onnx.ModelProto, around: Sequence[Table]) -> Iterator[Finding]:
    lacking: dict[str, list[str]] = {}
    functions = {(function.domain, function.name) for function in model.functions}
    for node, name in walk(model.graph):
        foreign = node.domain not in ("", "ai.onnx")
        if (node.domain, node.op_type) in functions:
            lacking.setdefault(f"local function {node.domain}.{node.op_type}", []).append(name)
        elif foreign or not any(table.has(node.op_type) for table in around):
            lacking.setdefault(f"{node.domain}.{node.op_type}" if foreign else node.op_type, []).append(name)
    for operator, nodes in lacking.items():
        yield Finding(what=operator, nodes=tuple(nodes), why="its parser does not have this operator", cure=_cure(operator))


def _cure(operator: str) -> str:
    if operator.startswith("local function"):
        return "inline the functions of the file (onnx.inliner) first"
    if operator.startswith("com.microsoft"):
        return "optimize the original: this is an operator of ONNX Runtime's own, which its optimiser wrote"
    if operator.startswith("QLinear") or operator in ("ConvInteger", "MatMulInteger", "DynamicQuantizeLinear"):
        return "start from the float model: TensorRT takes int8 as QuantizeLinear and DequantizeLinear, which --precision int8 writes"
    if operator.startswith("ai.onnx.ml"):
        return "serve it with ONNX Runtime: TensorRT has no trees and no text"
    return "express it by other operators, or serve the model with ONNX Runtime"


def _notes(model: onnx.ModelProto, around: Sequence[Table], version: Version) -> Iterator[str]:
    if all(table.version < version for table in around):
        yield f"checked against TensorRT {around[-1].version}, the newest whose table is known: the build decides"
    opset = opset_of(model)
    if opset > min(table.max_opset for table in around):
        yield f"opset {opset}: TensorRT {around[0].version} takes up to {around[0].max_opset}, {around[-1].version} more: the build decides"
    counts: dict[str, int] = {}
    for node, _ in walk(model.graph):
        if node.domain in ("", "ai.onnx") and not all(table.has(node.op_type) for table in around):
            counts[node.op_type] = counts.get(node.op_type, 0) + 1
    if counts:
        names = ", ".join(counts)
        versions = " and ".join(str(table.version) for table in around)
        yield f"{names}: the tables of TensorRT {versions} differ on it, and {version} lies between: the build decides"
    yield from _types(model, around, version)


# numbers of onnx.TensorProto.DataType -> as the tables call them
_TYPES = {1: "FP32", 10: "FP16", 16: "BF16", 6: "INT32", 7: "INT64", 9: "BOOL", 2: "UINT8", 3: "INT8", 11: "FP64"}


def _types(model: onnx.ModelProto, around: Sequence[Table], version: Version) -> Iterator[str]:
    """Say which operators meet a type that their row does not list; shape arithmetic often does and builds anyway."""
    kinds = _known_types(model.graph)
    seen: dict[tuple[str, str], int] = {}
    for node, _ in walk(model.graph):
        kind = next((kinds[name] for name in node.input if name in kinds), None)
        if kind is None or node.domain not in ("", "ai.onnx"):
            continue
        known = {
            "INT32" if kind == "INT64" and not version.native_int64 else kind,
            "FP32" if kind == "FP64" else kind,
        }
        rows = [table.supported[node.op_type] for table in around if table.has(node.op_type)]
        if rows and not any(row & known for row in rows):
            seen[node.op_type, kind] = seen.get((node.op_type, kind), 0) + 1
    for (operator, kind), count in seen.items():
        yield f"{operator} on {kind} ({count} nodes): not in the table of TensorRT {around[0].version}: the build decides"
    if "FP64" in kinds.values():
        yield "float64 inside the graph: TensorRT computes it in float32 without a warning; the recorded answers decide"


def _known_types(graph: onnx.GraphProto) -> dict[str, str]:
    kinds = {value.name: value.type.tensor_type.elem_type for value in (*graph.input, *graph.output, *graph.value_info)}
    kinds |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    return {name: _TYPES[kind] for name, kind in kinds.items() if kind in _TYPES}
