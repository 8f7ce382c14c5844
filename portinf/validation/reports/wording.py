"""The words and numbers that all renderings of a report share."""

from __future__ import annotations

from collections.abc import Sequence

from portinf.core.signature import dtype_by_numpy
from portinf.validation.results import CaseResult, Comparison, OutputResult
from portinf.validation.tally import show

__all__ = [
    "bound_text",
    "columns_text",
    "dtype_text",
    "headline",
    "number",
    "shown_cases",
    "type_has_size",
    "worst_text",
]


COLUMNS = 8  # whose bounds are shown


def number(value: float) -> str:
    """Format a difference with three digits."""
    return f"{value:.3g}"


def dtype_text(name: str) -> str:
    """Name an element type as users know it."""
    return "string" if name == "object" else name


def type_has_size(dtype: str) -> bool:
    """Whether differences of this type have a size (numbers), or are only there or not."""
    kind = dtype_by_numpy(dtype)
    return kind.is_float or kind.is_integer


def bound_text(output: OutputResult) -> str:
    """Say the bound of an output: ``1e-05 + 0.0001 |ref|`` or ``exact``; of columns of other scales from the least to the most."""
    if output.rtol == output.atol == 0:
        return "exact"
    parts = _absolute(output)
    low, high = f"{min(parts):.2g}", f"{max(parts):.2g}"
    return f"{low if low == high else f'{low} to {high}'} + {output.rtol:g} |ref|"


def columns_text(output: OutputResult) -> str:
    """Say the absolute part of the bound by column; empty where there is one for all."""
    parts = [f"{part:.2g}" for part in _absolute(output)]
    if len(set(parts)) < 2:
        return ""
    more = f", ... ({len(parts):,} columns)" if len(parts) > COLUMNS else ""
    return f"absolute part by column, {output.atol:g} times its scale: {', '.join(parts[:COLUMNS])}{more}"


def _absolute(output: OutputResult) -> list[float]:
    return [output.atol * scale for scale in (output.scale.values if output.scale is not None else (1.0,))]


def worst_text(output: OutputResult) -> str:
    """Say where the worst element stands and what its values are; empty where all elements are the same."""
    worst = output.tally.worst
    if worst is None:
        return ""
    place = f"[{', '.join(map(str, worst.index))}]" + (f" of {worst.case}" if worst.case else "")
    return f"{place}: reference {show(worst.reference, output.dtype)}, candidate {show(worst.candidate, output.dtype)}"


def headline(comparisons: Sequence[Comparison]) -> str:
    """Say in one line how many comparisons agree."""
    good = sum(comparison.verdict == "equal" for comparison in comparisons)
    if not comparisons:
        return "nothing was compared"
    if len(comparisons) == 1:
        return "the candidate gives the reference's numbers" if good else "the candidate does not give the reference's numbers"
    return f"{good} of {len(comparisons)} comparisons equal"


def shown_cases(comparison: Comparison, limit: int) -> tuple[list[CaseResult], int]:
    """Return the cases to list, those that are not equal before others, in run order, and how many are left out."""
    if len(comparison.cases) <= limit:
        return list(comparison.cases), 0
    ranked = sorted(
        range(len(comparison.cases)), key=lambda k: ("disagrees", "outside domain", "equal").index(comparison.cases[k].status)
    )
    return [comparison.cases[k] for k in sorted(ranked[:limit])], len(comparison.cases) - limit
