"""A report -> a file whose suffix names the format."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from portinf.core.errors import UsageError
from portinf.core.files import write_text
from portinf.validation.reports.html import page
from portinf.validation.reports.markdown import markdown
from portinf.validation.reports.record import Report

__all__ = ["check_report_path", "json_text", "write_report"]


def json_text(report: Report) -> str:
    """Return the report as strict JSON (NaN and infinities are text)."""
    return json.dumps(report.to_json(), indent=2, allow_nan=False) + "\n"


FORMATS: dict[str, Callable[[Report], str]] = {".html": page, ".md": markdown, ".json": json_text}


def check_report_path(path: Path, formats: Iterable[str] = tuple(FORMATS)) -> None:
    """Refuse a report file before anything is computed.

    Args:
        path: the file.
        formats: suffixes that it may end in.

    Raises:
        UsageError: the suffix names no format, or the folder does not exist.
    """
    if path.suffix.lower() not in formats:
        raise UsageError(f"--report {path}: expected a file ending in {', '.join(formats)}; found '{path.suffix or path.name}'")
    if not path.parent.is_dir():
        raise UsageError(f"--report {path}: the folder {path.parent} does not exist; create it first")
    if path.is_dir():
        raise UsageError(f"--report {path}: expected a file, found a folder")


def write_report(path: Path, report: Report) -> None:
    """Write the report.

    Raises:
        UsageError: the suffix names no format, or the folder does not exist.
        UnreadableError: the file cannot be written.
    """
    check_report_path(path)
    write_text(path, FORMATS[path.suffix.lower()](report))
