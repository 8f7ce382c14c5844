"""Comparators and reports: two sides, the same samples, one verdict."""

from __future__ import annotations

from portinf.validation.check import Check, CheckResult, Figure, Series
from portinf.validation.checks import PhysicsOptions, make_checks
from portinf.validation.compare import Pair, compare, compare_chain
from portinf.validation.elementwise import Elementwise
from portinf.validation.reports.record import Report, SideRecord
from portinf.validation.reports.text import text
from portinf.validation.reports.write import check_report_path, json_text, write_report
from portinf.validation.results import CaseResult, Comparison, OutputResult
from portinf.validation.tolerance import Tolerance

__all__ = [
    "CaseResult",
    "Check",
    "CheckResult",
    "Comparison",
    "Elementwise",
    "Figure",
    "OutputResult",
    "Pair",
    "PhysicsOptions",
    "Report",
    "Series",
    "SideRecord",
    "Tolerance",
    "check_report_path",
    "compare",
    "compare_chain",
    "json_text",
    "make_checks",
    "text",
    "write_report",
]
