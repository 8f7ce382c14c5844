"""The worst rows of all comparisons -> one npz file that can be given as a sample again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from portinf.core.batch import save_npz
from portinf.core.errors import UnreadableError, UsageError
from portinf.validation.checks.worst_rows import ROWS, WorstRow, joined

__all__ = ["check_worst_path", "save_worst"]


def check_worst_path(path: Path) -> None:
    """Refuse a file before anything is computed.

    Raises:
        UsageError: it does not end in .npz, or its folder does not exist.
    """
    if path.suffix != ".npz":
        raise UsageError(f"--save-worst {path}: expected a file ending in .npz")
    if not path.parent.is_dir():
        raise UsageError(f"--save-worst {path}: the folder {path.parent} does not exist; create it first")
    if path.is_dir():
        raise UsageError(f"--save-worst {path}: expected a file, found a folder")


def save_worst(path: Path, rows: Sequence[WorstRow]) -> list[str]:
    """Write inputs and columns of the worst rows, worst first, and return what a reader should know.

    Args:
        path: of the npz file.
        rows: of all comparisons; a row that occurs in several of them is written once.

    Raises:
        UsageError: a column has the name of an input, but other values.
        UnreadableError: the file cannot be written.
    """
    best: dict[tuple[str, int | None], WorstRow] = {}
    for row in sorted(rows, key=lambda row: -row.score):
        best.setdefault(row.key, row)
    if not best:
        return [f"--save-worst: no row differs; {path} was not written"]
    arrays, columns, notes = joined(list(best.values())[:ROWS])
    try:
        save_npz(path, arrays)
    except OSError as error:
        raise UnreadableError(f"--save-worst {path}: cannot be written: {error.strerror}") from error
    more = f", with the columns {', '.join(columns)}: give the same options for them" if columns else ""
    return [f"the worst rows are in {path}; run them again with --inputs {path}{more}", *notes]
