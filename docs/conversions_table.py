"""Writes docs/conversions.md from the rows that a run of the long suite recorded.

Run: ``PORTINF_MATRIX=rows.jsonl make test-long`` (or its part ``tests/matrix``), then ``python docs/conversions_table.py rows.jsonl``.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

LONGEST = 300  # characters of a reason that are shown
PAGE = Path(__file__).parent / "conversions.md"
PACKAGES = (
    "torch",
    "onnxscript",
    "torch_geometric",
    "weaver-core",
    "keras",
    "tensorflow-cpu",
    "tf2onnx",
    "xgboost-cpu",
    "lightgbm",
    "scikit-learn",
    "skl2onnx",
    "onnxruntime",
)


def read(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the rows by table, the last run of each cell, in the order in which they were first recorded."""
    tables: dict[str, dict[str, dict[str, Any]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        tables.setdefault(row["table"], {})[row["cell"]] = row
    return {name: list(rows.values()) for name, rows in tables.items()}


def sizes(row: Mapping[str, Any]) -> str:
    """Show the lengths at which both sides were equal, axis by axis."""
    found: dict[str, set[int]] = {}
    for case in row["sizes"]:
        for label, n in case.items():
            found.setdefault(label, set()).add(n)
    return "; ".join(f"{label} {', '.join(map(str, sorted(ns)))}" for label, ns in found.items()) or "fixed"


def line(row: Mapping[str, Any]) -> str:
    """Return one row of the table."""
    if row["code"]:
        reason = re.sub(r"(?<![\w.])/[^\s:`'\"]*/", "", " ".join(row["reason"].split()))  # folders of the machine that ran it
        shown = f"{reason[:LONGEST]} …" if len(reason) > LONGEST else reason
        words = [row["cell"], f"refused ({row['code']})", "", "", f"{shown} Cure: {row['cure']}." if row["cure"] else shown]
    else:
        narrowed = [note for note in row["notes"] if "the smallest length" in note]
        outside = f"{len(row['outside'])} sizes outside the domain" if row["outside"] else ""
        remark = "; ".join(filter(None, [outside, "1 recorded as the smallest length" if narrowed else ""]))
        words = [row["cell"], row["route"], sizes(row), f"{row['largest_error']:.1e}", remark]
    return "| " + " | ".join(word.replace("|", "\\|") for word in words) + " |"


def table(name: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return one section."""
    refused = sum(bool(row["code"]) for row in rows)
    head = f"{len(rows)} cells: {len(rows) - refused} converted and equal, {refused} refused."
    columns = ["| Model | Route | Equal at | Largest error | Remark or reason |", "|---|---|---|---|---|"]
    return [f"## {name}", "", head, "", *columns, *map(line, rows), ""]


def main() -> None:
    """Write the page."""
    tables = read(Path(sys.argv[1]))
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    lines = [
        "# What converts",
        "",
        "Written by `docs/conversions_table.py` from the rows that `tests/matrix` of the long suite recorded on",
        f"{time.strftime('%Y-%m-%d')} ({versions}).",
        "Every converted model was compared with its source at the sizes shown, under its own names; `0` is an empty axis.",
        "The largest error is absolute, over all outputs and sizes.",
        "",
        *(text for name, rows in tables.items() for text in table(name, rows)),
    ]
    PAGE.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
