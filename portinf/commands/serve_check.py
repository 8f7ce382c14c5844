"""Serves a model repository for a moment and replays every model's goldens over both protocols."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from portinf.core.batch import load_goldens
from portinf.core.errors import printable
from portinf.core.optional import require
from portinf.core.progress import Progress
from portinf.runners.endpoint.runner import EndpointRunner
from portinf.runners.float64 import Float64
from portinf.serving.client.control import in_a_url
from portinf.serving.server.launcher import ServeOptions, Server, serve
from portinf.triton.manifest import GOLDENS, MANIFEST, MODEL, read_manifest, verify
from portinf.validation import Comparison, Tolerance, compare

__all__ = ["CheckReport", "CheckRow", "check_repository", "render"]

NO_GOLDENS = "no goldens"


@dataclass(frozen=True, kw_only=True)
class CheckRow:
    """One model version over one protocol.

    Attributes:
        model, version: that got the request.
        protocol: ``http`` or ``grpc``; ``-`` where nothing was replayed.
        comparison: the comparison with the recorded outputs; None without goldens.
    """

    model: str
    version: int
    protocol: Literal["http", "grpc", "-"]
    comparison: Comparison | None

    @property
    def verdict(self) -> str:
        """``equal``, ``disagrees`` or ``no goldens``."""
        return self.comparison.verdict if self.comparison is not None else NO_GOLDENS

    @property
    def summary(self) -> str:
        """What the comparison found, in one line."""
        return (
            self.comparison.summary()
            if self.comparison is not None
            else f"the version has no {GOLDENS}; it was loaded, not replayed"
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        head = {"model": self.model, "version": self.version, "protocol": self.protocol, "verdict": self.verdict}
        return {**head, "summary": self.summary, "hop": self.comparison.to_json() if self.comparison is not None else None}


@dataclass(frozen=True, kw_only=True)
class CheckReport:
    """All rows of one check, and what a reader should know besides."""

    rows: tuple[CheckRow, ...]
    engine: str
    notes: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether no replay disagrees."""
        return all(row.verdict != "disagrees" for row in self.rows)

    @property
    def verdict(self) -> str:
        """One line: what was replayed, and what of it disagrees."""
        replayed = [row for row in self.rows if row.comparison is not None]
        models = len({row.model for row in replayed})
        bad = [row for row in replayed if row.verdict == "disagrees"]
        if bad:
            first = bad[0]
            return (
                f"{len(bad)} of {len(replayed)} replays disagree with the goldens; first: model {printable(first.model)}, version "
                f"{first.version}, {first.protocol}: {first.summary}"
            )
        return f"{len(replayed)} replays of {models} model{'s' * (models != 1)} agree with the goldens"

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        rows = [row.to_json() for row in self.rows]
        return {"agrees": self.agrees, "verdict": self.verdict, "engine": self.engine, "notes": list(self.notes), "rows": rows}


def check_repository(folder: Path, options: ServeOptions, progress: Progress) -> CheckReport:
    """Start a server on a repository, replay the goldens of every served version over HTTP and gRPC, and stop it.

    Args:
        folder: the model repository.
        options: of the server.
        progress: called with one line per step.

    Raises:
        ServingError: a model cannot be loaded, or the server fails.
        UnreadableError: the folder, a manifest or a file of goldens cannot be read.
    """
    rows: list[CheckRow] = []
    notes: list[str] = []
    with serve(folder, options, progress) as server:
        for model in server.models:
            for version in server.control.ready_versions(model):
                place = folder / model / str(version)
                notes += verify(place) if (place / MANIFEST).is_file() else []
                if (place / GOLDENS).is_file() and not in_a_url(model):
                    notes.append(
                        f"{printable(model)}: not replayed over HTTP, where Triton does not accept this name; gRPC does"
                    )
                for row in _replay(server, model, version, place):
                    progress(f"{printable(row.model)} version {row.version} {row.protocol}: {row.verdict}")
                    rows.append(row)
        engine = server.engine
    return CheckReport(rows=tuple(rows), engine=engine, notes=tuple(notes))


def render(report: CheckReport) -> str:
    """Return the report as a table of at most 100 columns and a verdict."""
    table = require("rich.table", "").Table(box=None, pad_edge=False)
    for heading in ("model", "version", "protocol", "cases", "verdict", "largest error"):
        table.add_column(heading, overflow="fold")
    for row in report.rows:
        table.add_row(printable(row.model), str(row.version), row.protocol, *_numbers(row))
    console = require("rich.console", "").Console(width=100, color_system=None, markup=False, highlight=False, emoji=False)
    with console.capture() as captured:
        console.print(table)
    lines = [line.rstrip() for line in captured.get().splitlines()]
    return "\n".join([*lines, "", report.verdict, *(f"note: {note}" for note in report.notes)])


def _replay(server: Server, model: str, version: int, place: Path) -> Iterator[CheckRow]:
    goldens = place / GOLDENS
    if not goldens.is_file():
        yield CheckRow(model=model, version=version, protocol="-", comparison=None)
        return
    batches = load_goldens(goldens)
    tolerance = _tolerance(place)
    path = place / MODEL if (place / MODEL).is_file() else None
    protocols: tuple[tuple[Literal["http", "grpc"], str], ...] = (("http", server.http), ("grpc", server.grpc))
    for protocol, address in protocols[not in_a_url(model) :]:
        with EndpointRunner(f"{protocol}://{address}/{quote(model, safe='')}/{version}") as runner, Float64() as float64:
            comparison = compare(None, runner, batches, tolerance=tolerance, allow_nan=True, float64=float64, recorded_by=path)
        yield CheckRow(model=model, version=version, protocol=protocol, comparison=comparison)


def _tolerance(place: Path) -> Tolerance:
    if not (place / MANIFEST).is_file():
        return Tolerance()
    bounds = read_manifest(place).tolerance
    return Tolerance.of(bounds.get("rtol"), bounds.get("atol"))


def _numbers(row: CheckRow) -> tuple[str, str, str]:
    if row.comparison is None:
        return "-", row.verdict, "-"
    largest = max((case.max_abs for case in row.comparison.cases), default=0.0)
    return str(len(row.comparison.cases)), row.verdict, f"{largest:.2g}"
