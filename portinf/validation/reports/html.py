"""A report -> one self-contained HTML page: no script, nothing loaded from anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portinf.core.errors import printable
from portinf.core.optional import require
from portinf.validation.reports.record import Report
from portinf.validation.reports.svg import draw
from portinf.validation.reports.wording import (
    bound_text,
    columns_text,
    dtype_text,
    headline,
    number,
    shown_cases,
    type_has_size,
)
from portinf.validation.results import Comparison, sizes_text
from portinf.validation.tally import Histogram, show

__all__ = ["Bar", "bars", "page", "rendered"]

CASES = 500
HEIGHT = 84
LABEL = 16


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One bar of an error histogram.

    Attributes:
        label: ``0`` for no difference, ``1e-7`` for [1e-7, 1e-6), ``inf`` for a NaN or an infinity on one side only.
        count: elements.
        height: of the bar in units of the drawing; at least 2 where there is any element.
        kind: ``exact``, ``decade`` or ``broken``.
    """

    label: str
    count: int
    height: float
    kind: str


def bars(histogram: Histogram) -> list[Bar]:
    """Return the bars from no difference to the largest decade, empty decades between them included."""
    found: list[tuple[str, int, str]] = [("0", histogram.exact, "exact")]
    if histogram.decades:
        decades = range(min(histogram.decades), max(histogram.decades) + 1)
        if len(decades) > 40:
            decades = range(max(histogram.decades) - 39, max(histogram.decades) + 1)
        found += [(f"1e{k}", histogram.decades.get(k, 0), "decade") for k in decades]
    if histogram.not_finite:
        found.append(("inf", histogram.not_finite, "broken"))
    top = max(count for _, count, _ in found) or 1
    return [
        Bar(label=label, count=count, height=max(2.0, HEIGHT * count / top) if count else 0.0, kind=kind)
        for label, count, kind in found
    ]


def page(report: Report) -> str:
    """Return the HTML text."""
    return rendered("report.html.jinja", _view(report))


def rendered(template: str, view: Mapping[str, Any]) -> str:
    """Return the HTML text of a template of this package; every name is escaped, for model files are written by others."""
    jinja2 = require("jinja2", "")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(
        {
            "number": number,
            "sizes": sizes_text,
            "dtype": dtype_text,
            "bound": bound_text,
            "columns": columns_text,
            "sized": type_has_size,
            "clean": printable,
            "short": _short,
        }
    )
    environment.globals.update({"show": show, "bars": bars, "draw": draw})
    return str(environment.get_template(template).render(view))


def _short(name: str) -> str:
    """Cut the name of a tick: of a layer's, the end says more than the start."""
    return name if len(name) <= LABEL else f"…{name[1 - LABEL :]}"


def _view(report: Report) -> dict[str, Any]:
    return {
        "report": report,
        "headline": headline(report.comparisons),
        "hops": [_comparison(comparison) for comparison in report.comparisons],
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    cases, left_out = shown_cases(comparison, CASES)
    counted = [output for output in comparison.outputs if output.tally.count]
    drawn = [output for output in counted if type_has_size(output.dtype) and output.tally.max_abs > 0]
    same = [output.name for output in counted if output.tally.max_abs == 0]
    return {
        "hop": comparison,
        "cases": cases,
        "left_out": left_out,
        "counts": _counts(comparison),
        "worst": worst_rows(comparison),
        "drawn": drawn,
        "same": same,
    }


def worst_rows(comparison: Comparison) -> list[dict[str, str]]:
    """Return the worst rows of a comparison, each as its columns by name, worst first; empty where no row differs."""
    rows = [row for check in comparison.checks for row in check.table]
    return [{column: value if isinstance(value, str) else show(value) for column, value in row.items()} for row in rows]


def _counts(comparison: Comparison) -> Sequence[tuple[str, int]]:
    return [
        (status, comparison.count(status)) for status in ("equal", "disagrees", "outside domain") if comparison.count(status)
    ]
