"""A report -> plain text of at most 80 columns for a terminal."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from portinf.core.errors import printable
from portinf.core.optional import require
from portinf.validation.reports.record import Report
from portinf.validation.reports.wording import (
    bound_text,
    columns_text,
    dtype_text,
    headline,
    number,
    shown_cases,
    type_has_size,
    worst_text,
)
from portinf.validation.results import Comparison, sizes_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["text"]

WIDTH = 80
CASES = 25


def text(report: Report) -> str:
    """Return the report as lines of at most 80 columns, verdict first, without colours."""
    console: Console = require("rich.console", "").Console(
        file=io.StringIO(), width=WIDTH, color_system=None, markup=False, highlight=False, emoji=False, legacy_windows=False
    )
    console.print(f"{report.verdict.upper()}: {headline(report.comparisons)}")
    console.print(f"tolerance: {printable(report.tolerance)}")
    for comparison in report.comparisons:
        _comparison(console, comparison)
    for note in report.notes:
        console.print(printable(note) if note.startswith("warning: ") else f"note: {printable(note)}")
    written = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in written.splitlines()) + "\n"


def _comparison(console: Console, comparison: Comparison) -> None:
    console.print()
    console.print(f"reference  {printable(comparison.reference)}")
    console.print(f"candidate  {printable(comparison.candidate)}")
    console.print(f"{comparison.verdict.upper()}: {printable(comparison.summary())}")
    if comparison.outputs:
        console.print(_outputs(comparison))
    for output in comparison.outputs:
        if columns_text(output):
            console.print(f"'{printable(output.name)}': {columns_text(output)}")
        if worst_text(output):
            console.print(f"worst of '{printable(output.name)}' at {printable(worst_text(output))}")
        elif output.reason:
            console.print(f"'{printable(output.name)}': {printable(output.reason)}")
    if comparison.checks:
        console.print(_checks(comparison))
    if comparison.cases:
        console.print(_cases(comparison))
        shown, left_out = shown_cases(comparison, CASES)
        for case in shown:
            if case.reason and case.status == "equal":
                console.print(f"{printable(case.name)}: {printable(case.reason)}")
        if left_out:
            console.print(f"... and {left_out} more cases; --report FILE.html lists them")


def _table(*columns: tuple[str, bool]) -> Table:
    table: Table = require("rich.table", "").Table(box=require("rich.box", "").SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for title, right in columns:
        table.add_column(title, justify="right" if right else "left", overflow="fold")
    return table


def _outputs(comparison: Comparison) -> Table:
    table = _table(
        ("output", False),
        ("type", False),
        ("elements", True),
        ("wrong", True),
        ("max abs", True),
        ("max rel", True),
        ("bound", False),
    )
    for output in comparison.outputs:
        tally, sized = output.tally, type_has_size(output.dtype)
        errors = (number(tally.max_abs), number(tally.max_rel)) if sized else ("-", "-")
        counts = (str(tally.count), str(tally.wrong))
        table.add_row(printable(output.name), dtype_text(output.dtype), *counts, *errors, bound_text(output))
    return table


def _checks(comparison: Comparison) -> Table:
    table = _table(("check", False), ("output", False), ("status", False), ("finding", False))
    table.columns[0].max_width = table.columns[1].max_width = 15
    table.columns[2].no_wrap = True
    for check in comparison.checks:
        table.add_row(printable(check.name), printable(check.output), check.status, printable(check.text))
    return table


def _cases(comparison: Comparison) -> Table:
    table = _table(("case", False), ("sizes", False), ("status", False), ("max abs", True))
    for case in shown_cases(comparison, CASES)[0]:
        error = number(case.max_abs) if case.outputs else "-"
        table.add_row(printable(case.name), printable(sizes_text(case.sizes)), case.status, error)
    return table
