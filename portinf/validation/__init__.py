"""Comparators and reports: two sides, the same samples, one verdict."""

from __future__ import annotations

from portinf.validation.checks import Check, CheckResult, Figure, Series
from portinf.validation.compare import Pair, compare, compare_chain
from portinf.validation.elementwise import Elementwise
from portinf.validation.report import Report, SideRecord
from portinf.validation.results import CaseResult, Hop, OutputResult
from portinf.validation.suite import PhysicsOptions, make_checks
from portinf.validation.text import text
from portinf.validation.tolerance import Tolerance
from portinf.validation.writing import check_report_path, json_text, write_report

__all__ = [
    "CaseResult",
    "Check",
    "CheckResult",
    "Elementwise",
    "Figure",
    "Hop",
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
