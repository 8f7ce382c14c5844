"""Turns a model's description into text of 80 columns."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import Any

from portinf.core.optional import require
from portinf.core.signature import TensorSpec
from portinf.triton.inspection import Inspection, axis_places
from portinf.triton.releases import ranges

__all__ = ["WIDTH", "render"]

WIDTH = 80
LONG = 400  # characters of one entry of the provenance


def render(inspection: Inspection) -> str:
    """Return the description as text; lines are at most 80 columns wide."""
    console_class = require("rich.console", "").Console
    stream = io.StringIO()
    console = console_class(file=stream, width=WIDTH, color_system=None, force_terminal=False, emoji=False, markup=False)
    console.print(_pairs(_head(inspection)), highlight=False)
    for title, specs in (("inputs", inspection.signature.inputs), ("outputs", inspection.signature.outputs)):
        console.print(f"\n{title}")
        console.print(_tensors(specs))
    for title, rows in (
        ("axes", _axes(inspection)),
        ("operators", _operators(inspection)),
        ("provenance", _provenance(inspection)),
    ):
        if rows:
            console.print(f"\n{title}")
            console.print(_pairs(rows))
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def _grid(columns: int) -> Any:
    table = require("rich.table", "").Table.grid(padding=(0, 2, 0, 0))
    for _ in range(columns):
        table.add_column(overflow="fold")
    return table


def _cell(value: str) -> Any:
    """Wrap a name or a value: what looks like markup in it is text."""
    return require("rich.text", "").Text(value)


def _pairs(rows: Mapping[str, str]) -> Any:
    table = _grid(2)
    for key, value in rows.items():
        table.add_row(_cell(f"  {key}"), _cell(value))
    return table


def _head(inspection: Inspection) -> dict[str, str]:
    artifact = inspection.artifact
    rows = {"file" if artifact else "model": inspection.place}
    if inspection.package is not None:
        rows |= {"package": f"{inspection.package[0]}, version {inspection.package[1]}", **_package(inspection)}
    rows |= inspection.lines
    if artifact is None:
        return rows
    files = len(artifact.files)
    return rows | {
        "format": f"{artifact.format}, opset {artifact.opset}, IR {artifact.ir_version}",
        "size": f"{_bytes(inspection.size)}" + (f" in {files} files" if files > 1 else ""),
        "sha256": next(iter(artifact.files.values())),
        "Triton": f"{ranges(inspection.readers)} (not known: {ranges(inspection.unknown)})",
    }


def _package(inspection: Inspection) -> dict[str, str]:
    manifest, problems = inspection.manifest, inspection.problems
    if manifest is None or problems is None:
        return {"verified": "no: there is no manifest, so portinf did not package it"}
    validation = manifest.validation or {}
    judged = f"{validation.get('verdict', 'not judged')}: {validation.get('summary', '')}"
    return {
        "verified": "yes: no file changed since packaging" if not problems else "NO: " + "\n".join(problems),
        "judged": judged + (" (packaged by --force)" if manifest.forced else ""),
        "batching": f"max_batch_size {manifest.max_batch_size}: {manifest.batching}",
        "created": manifest.created,
    }


def _bytes(size: int) -> str:
    value = float(size)
    for unit in ("bytes", "kB", "MB"):
        if value < 1000:
            return f"{value:.3g} {unit}" if unit != "bytes" else f"{size} bytes"
        value /= 1000
    return f"{value:.3g} GB"


def _tensors(specs: Iterable[TensorSpec]) -> Any:
    table = _grid(4)
    for spec in specs:
        role = "" if spec.role.kind == "value" else str(spec.role)
        extra = " ".join(part for part in (role, "optional" if spec.optional else "", _range(spec)) if part)
        dtype = "string" if spec.dtype == "object" else spec.dtype
        table.add_row(*(_cell(text) for text in (f"  {spec.name}", dtype, spec.shape_text(), extra)))
    return table


def _range(spec: TensorSpec) -> str:
    if spec.low is None and spec.high is None:
        return ""
    low = "" if spec.low is None else f"{spec.low:g}"
    high = "" if spec.high is None else f"{spec.high:g}"
    return f"{low} .. {high}"


def _axes(inspection: Inspection) -> dict[str, str]:
    axes = inspection.signature.axes
    rows = {}
    for label, places in axis_places(inspection.signature).items():
        parts = [("tied: " if len(places) > 1 else "") + ", ".join(places)]
        if label in axes and axes[label].minimum:
            parts.append(f"at least {axes[label].minimum}")
        if label in axes and axes[label].maximum is not None:
            parts.append(f"at most {axes[label].maximum}")
        if label in axes and axes[label].multiple > 1:
            parts.append(f"a multiple of {axes[label].multiple}")
        rows[label] = "; ".join(parts)
    return rows


def _operators(inspection: Inspection) -> dict[str, str]:
    operators = inspection.artifact.operators if inspection.artifact else {}
    counts = sorted(operators.items(), key=lambda item: (-item[1], item[0]))
    total = sum(operators.values())
    return {f"{total} nodes": ", ".join(f"{name} {count}" for name, count in counts)} if total else {}


def _provenance(inspection: Inspection) -> dict[str, str]:
    known = dict(inspection.artifact.provenance) if inspection.artifact else {}
    steps = known.pop("steps", [])
    rows = {str(key): _short(value) for key, value in known.items()}
    if not (isinstance(steps, list) and all(isinstance(step, dict) for step in steps)):
        return rows | {"steps": _short(steps)}
    return rows | {f"step {number}": _short(_step(step)) for number, step in enumerate(steps, 1)}


def _step(step: Mapping[str, Any]) -> str:
    """Say what an optimisation did to the file, in the words of its own record."""
    judged = step.get("validation")
    end = f"; {judged.get('summary', '')}" if isinstance(judged, dict) else ""
    if "optimised" in step:
        return f"rewritten: {_plain(step['optimised'])}{end}"
    if "lowered" in step:
        islands = step.get("islands") or {}
        return (
            f"{step['lowered']}: {step.get('nodes')} nodes in lower precision, in float32: {', '.join(islands) or 'none'}{end}"
        )
    if "pick" in step:
        pick = ", ".join(f"{key} {value}" for key, value in dict(step["pick"]).items())
        return f"chosen by --search: {pick}; {step.get('reason', '')}"
    return _plain(step)


def _short(value: Any) -> str:
    text = ", ".join(f"{k} {_plain(v)}" for k, v in value.items()) if isinstance(value, dict) else _plain(value)
    return text if len(text) <= LONG else text[: LONG - 4] + " ..."


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else str(value)
