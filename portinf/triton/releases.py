"""Turns the table of Triton releases (`releases.json`) into answers: who reads a file, and what to write for whom."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from portinf.core.errors import CannotError, UsageError

__all__ = [
    "Limits",
    "Release",
    "limits",
    "oldest_reader",
    "pick",
    "ranges",
    "readers",
    "release",
    "releases",
    "unknown_readers",
]

DEFAULT_OPSET = 18  # every release of known limits reads opset 18 and IR 8: the widest reach
DEFAULT_IR = 8


@dataclass(frozen=True, kw_only=True)
class Release:
    """One monthly release of the stock container.

    Attributes:
        name: ``YY.MM``.
        server: version of tritonserver.
        onnxruntime: version in the container.
        max_opset, max_ir: newest ONNX opset and file format that it reads (measured lower bounds); None where unknown.
        tensorrt: version in the container, None where no public page states it.
    """

    name: str
    server: str
    onnxruntime: str
    max_opset: int | None
    max_ir: int | None
    tensorrt: str | None

    @property
    def month(self) -> int:
        """Months since the year 2000, for distances."""
        return _month(self.name)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The newest ONNX file that a release reads."""

    max_opset: int
    max_ir: int


def _month(name: str) -> int:
    year, month = name.split(".")
    return int(year) * 12 + int(month)


@cache
def releases() -> tuple[Release, ...]:
    """Return the table, oldest release first."""
    data = json.loads(files("portinf.triton").joinpath("releases.json").read_text(encoding="utf-8"))
    rows = (
        Release(
            name=row["release"],
            server=row["server"],
            onnxruntime=row["onnxruntime"],
            max_opset=row["max_opset"],
            max_ir=row["max_ir"],
            tensorrt=row["tensorrt"],
        )
        for row in data["releases"]
    )
    return tuple(sorted(rows, key=lambda row: row.month))


def release(name: str) -> Release:
    """Return one row.

    Raises:
        UsageError: not of the form ``YY.MM``, or not in the table; the message names the nearest known releases.
    """
    table = releases()
    if not re.fullmatch(r"\d\d\.(0[1-9]|1[0-2])", name):
        raise UsageError(f"Triton release '{name}': expected YY.MM, for example {table[-1].name}")
    for row in table:
        if row.name == name:
            return row
    nearest = sorted(table, key=lambda row: abs(row.month - _month(name)))[:2]
    names = " and ".join(sorted(row.name for row in nearest))
    raise UsageError(
        f"Triton release '{name}' is not in the table ({table[0].name} to {table[-1].name}); the nearest are {names}"
    )


def limits(name: str) -> Limits:
    """Return what a release reads.

    Raises:
        UsageError: see `release`.
        CannotError: its limits are not known.
    """
    row = release(name)
    if row.max_opset is None or row.max_ir is None:
        first = _known()[0]
        raise CannotError(
            f"Triton {name} (ONNX Runtime {row.onnxruntime}): the newest opset that it reads is not known; "
            f"releases from {first.name} on are: choose one of them, or leave the release out"
        )
    return Limits(max_opset=row.max_opset, max_ir=row.max_ir)


def _known() -> list[Release]:
    return [row for row in releases() if row.max_opset is not None and row.max_ir is not None]


def readers(opset: int, ir_version: int) -> list[str]:
    """Return the releases known to read a file, oldest first; those of unknown limits are not among them."""
    return [row.name for row in _known() if opset <= (row.max_opset or 0) and ir_version <= (row.max_ir or 0)]


def unknown_readers() -> list[str]:
    """Return the releases whose limits are unknown: they are left out."""
    return [row.name for row in releases() if row.max_opset is None or row.max_ir is None]


def oldest_reader(opset: int, ir_version: int) -> str | None:
    """Return the oldest release known to read a file, None where none is."""
    return next(iter(readers(opset, ir_version)), None)


def pick(name: str | None = None, *, needed_opset: int = 0) -> tuple[int, int]:
    """Choose the opset and file format to write.

    Args:
        name: the release that must read the file; None for every release of known limits.
        needed_opset: the oldest opset that can express the model; the result is at least this.

    Returns:
        Opset of the default domain, IR version.

    Raises:
        UsageError: see `release`.
        CannotError: the release's limits are unknown or too low; the message names the oldest release that would do.
    """
    opset = max(DEFAULT_OPSET, needed_opset)
    if name is None:
        return opset, DEFAULT_IR
    bound = limits(name)
    if needed_opset > bound.max_opset:
        oldest = oldest_reader(needed_opset, DEFAULT_IR)
        advice = f"the oldest release that reads it is {oldest}" if oldest else "no known release reads it"
        raise CannotError(f"Triton {name} reads opsets up to {bound.max_opset}, this model needs {needed_opset}; {advice}")
    return min(opset, bound.max_opset), min(DEFAULT_IR, bound.max_ir)


def ranges(names: Iterable[str]) -> str:
    """Show releases as ranges of neighbours in the table, for example ``23.05 to 24.02, 24.05 to 26.08``."""
    return ", ".join(first if first == last else f"{first} to {last}" for first, last in _runs(set(names))) or "none"


def _runs(names: set[str]) -> Iterator[tuple[str, str]]:
    run: list[str] = []
    for row in releases():
        if row.name in names:
            run.append(row.name)
        elif run:
            yield run[0], run[-1]
            run = []
    if run:
        yield run[0], run[-1]
