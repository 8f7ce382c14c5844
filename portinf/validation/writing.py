"""A report -> a file whose suffix names the format."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from portinf.errors import UnreadableError, UsageError
from portinf.validation.markdown import markdown
from portinf.validation.page import page
from portinf.validation.report import Report

__all__ = ["check_report_path", "json_text", "write_report", "write_whole"]


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
        raise UsageError(f"--report {path}: the folder {path.parent} does not exist; make it first")
    if path.is_dir():
        raise UsageError(f"--report {path}: expected a file, found a folder")


def write_report(path: Path, report: Report) -> None:
    """Write the report.

    Raises:
        UsageError: the suffix names no format, or the folder does not exist.
        UnreadableError: the file cannot be written.
    """
    check_report_path(path)
    write_whole(path, FORMATS[path.suffix.lower()](report))


def write_whole(path: Path, content: str) -> None:
    """Write a text; a reader sees the old file or the whole new one.

    Raises:
        UnreadableError: the file cannot be written.
    """
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(content)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        Path(temporary).unlink(missing_ok=True)
