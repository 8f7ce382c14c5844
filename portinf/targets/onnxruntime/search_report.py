"""What a search found, as a table of 80 columns and as a page with the plot of speed against error."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portinf.core.files import write_text
from portinf.core.optional import require
from portinf.targets.onnxruntime.search import SearchResult, Tried
from portinf.validation.check import Figure, Series
from portinf.validation.reports.html import rendered

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["FORMATS", "search_text", "write_search"]

FORMATS = (".html",)
WIDTH = 80
EXACT = 1e-9  # where settings without any difference are drawn on the logarithmic axis


def search_text(result: SearchResult) -> str:
    """Return the table, what did not hold, and the pick; no line is longer than 80 characters, but for names."""
    out = io.StringIO()
    console: Console = require("rich.console", "").Console(
        file=out, width=WIDTH, color_system=None, markup=False, highlight=False, emoji=False
    )
    table: Table = require("rich.table", "").Table(box=require("rich.box", "").SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    table.add_column("")
    table.add_column("file", overflow="fold")
    table.add_column("threads", justify="right")
    table.add_column("level")
    for name in ("ms", "faster", "middle half", "error"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in result.rows:
        if row.holds:
            table.add_row(*_cells(row, result.pick))
    console.print(table)
    console.print("faster: than the original, timed in turns; error: share of the tolerance;", soft_wrap=True)
    console.print("* no other is both faster and closer to the original; > the choice", soft_wrap=True)
    for row in result.rows:
        if not row.holds:
            console.print(f"left out: {_name(row)}: {row.text}", soft_wrap=True)
    console.print(f"pick: {result.pick.setting}", soft_wrap=True)
    console.print(f"  {result.reason}", soft_wrap=True)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _cells(row: Tried, pick: Tried) -> Sequence[str]:
    setting = row.setting
    mark = ">" if row is pick else "*" if row.front else ""
    file = setting.file if setting.provider == "cpu" else f"{setting.file} ({setting.provider})"
    speed = (f"{row.faster:.2f}", f"{row.spread[0]:.2f}-{row.spread[1]:.2f}")
    return (mark, file, str(setting.threads), setting.level, f"{row.seconds * 1e3:.3g}", *speed, f"{row.error:.2g}")


def _name(row: Tried) -> str:
    return str(row.setting) if row.setting.threads else row.setting.file


def figure(result: SearchResult) -> Figure:
    """Return speed against error: the pick, the front, and the others within the tolerance."""
    right = [row for row in result.rows if row.holds]
    front = sorted((row for row in right if row.front), key=lambda row: row.faster)
    return Figure(
        kind="points",
        title="Speed against error",
        x_label="times faster than the original",
        y_label="share of the tolerance",
        series=[
            _series("others within the tolerance", [row for row in right if not row.front and row is not result.pick]),
            _series("front", [row for row in front if row is not result.pick]),
            _series("pick", [result.pick]),
        ],
        log_y=True,
    )


def _series(name: str, rows: Sequence[Tried]) -> Series:
    return Series(name=name, x=[row.faster for row in rows], y=[max(row.error, EXACT) for row in rows])


def write_search(path: Path, model: Path, result: SearchResult) -> None:
    """Write the page: the table, the plot, the pick and why.

    Raises:
        UnreadableError: the file cannot be written.
    """
    view: dict[str, Any] = {"model": str(model), "result": result, "figure": figure(result), "exact": EXACT}
    write_text(path, rendered("search.html.jinja", view))
