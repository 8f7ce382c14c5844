"""A report -> Markdown, for a pull request or a notebook."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from portinf.core.errors import printable
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
from portinf.validation.results import CaseResult, Comparison, OutputResult, sizes_text

__all__ = ["markdown"]

CASES = 200


def markdown(report: Report) -> str:
    """Return the report as GitHub-flavoured Markdown, verdict first."""
    lines = [
        f"# {report.verdict.capitalize()}: {headline(report.comparisons)}",
        "",
        f"Tolerance: {_safe(report.tolerance)}",
        "",
    ]
    for note in report.notes:
        lines += [f"- {_safe(note)}"]
    for position, comparison in enumerate(report.comparisons, start=1):
        lines += ["", *_comparison(position, comparison)]
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    lines += ["", f"Created {report.created} with {_safe(versions)}.", ""]
    return "\n".join(lines)


def _safe(text: str) -> str:
    """Escape what Markdown or its HTML would act on."""
    return re.sub(r"([\\`*_{}\[\]<>|#~&])", r"\\\1", printable(text))


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [_row(titles), _row(["---"] * len(titles)), *(_row([_safe(cell) for cell in row]) for row in rows)]


def _comparison(position: int, comparison: Comparison) -> list[str]:
    cases, left_out = shown_cases(comparison, CASES)
    lines = [
        f"## {position}. {comparison.verdict.capitalize()}",
        "",
        f"- reference: {_safe(comparison.reference)}",
        f"- candidate: {_safe(comparison.candidate)}",
        f"- {_safe(comparison.summary())}",
        "",
        *_table(
            ["output", "type", "elements", "wrong", "max abs", "max rel", "bound", "worst element"],
            map(_output, comparison.outputs),
        ),
        "",
        *(_checks(comparison) if comparison.checks else []),
        *_table(["case", "sizes", "status", "max abs", "reason"], map(_case, cases)),
    ]
    return lines + (["", f"{left_out} more cases are in the JSON report."] if left_out else [])


def _checks(comparison: Comparison) -> list[str]:
    rows = ([check.name, check.output, check.status, check.text] for check in comparison.checks)
    return [*_table(["check", "output", "status", "finding"], rows), ""]


def _output(output: OutputResult) -> list[str]:
    tally, sized = output.tally, type_has_size(output.dtype)
    errors = [number(tally.max_abs), number(tally.max_rel)] if sized else ["-", "-"]
    head = [output.name, dtype_text(output.dtype), str(tally.count), str(tally.wrong)]
    bound = "; ".join(filter(None, [bound_text(output), columns_text(output)]))
    return [*head, *errors, bound, worst_text(output)]


def _case(case: CaseResult) -> list[str]:
    error = number(case.max_abs) if case.outputs else "-"
    return [case.name, sizes_text(case.sizes), case.status, error, case.reason]
