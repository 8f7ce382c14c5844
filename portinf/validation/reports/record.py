"""Comparisons of one validation, with all that is needed to repeat it -> one verdict and plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from portinf.core.versions import BASE, installed, now
from portinf.validation.results import Comparison
from portinf.validation.tolerance import Tolerance

__all__ = ["REPORT_SCHEMA", "Report", "SideRecord"]

REPORT_SCHEMA = 1
_PACKAGES = (*BASE, "tritonclient")


@dataclass(frozen=True, kw_only=True)
class SideRecord:
    """One side of a validation, for whoever reads the report later.

    Attributes:
        name: as the user gave it.
        facts: what it is and where it came from, by name: hashes, the route of its conversion, the server's version.
    """

    name: str
    facts: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {"name": self.name, "facts": dict(self.facts)}


@dataclass(frozen=True, kw_only=True)
class Report:
    """All comparisons of one validation.

    Attributes:
        comparisons: in the order they were compared.
        tolerance: the rule that was applied, in words.
        versions: version by package, Python included.
        created: ISO 8601 time, UTC.
        notes: what a reader should know beside the numbers.
        sides: what was compared.
    """

    comparisons: tuple[Comparison, ...]
    tolerance: str
    versions: Mapping[str, str]
    created: str
    notes: tuple[str, ...] = ()
    sides: tuple[SideRecord, ...] = ()

    @staticmethod
    def of(
        comparisons: Iterable[Comparison], tolerance: Tolerance, notes: Iterable[str] = (), sides: Iterable[SideRecord] = ()
    ) -> Report:
        """Return the report of these comparisons, with the installed versions and the present time."""
        return Report(
            comparisons=tuple(comparisons),
            tolerance=str(tolerance),
            versions=installed(_PACKAGES),
            created=now(),
            notes=tuple(notes),
            sides=tuple(sides),
        )

    @property
    def equal(self) -> bool:
        """Whether there is a comparison and every comparison is equal."""
        return bool(self.comparisons) and all(comparison.verdict == "equal" for comparison in self.comparisons)

    @property
    def verdict(self) -> str:
        """``equal`` or ``disagrees``."""
        return "equal" if self.equal else "disagrees"

    def to_json(self) -> dict[str, Any]:
        """Return plain data for strict JSON: NaN and infinities are text."""
        return {
            "schema": REPORT_SCHEMA,
            "verdict": self.verdict,
            "created": self.created,
            "tolerance": self.tolerance,
            "notes": list(self.notes),
            "versions": dict(self.versions),
            "sides": [side.to_json() for side in self.sides],
            "hops": [comparison.to_json() for comparison in self.comparisons],
        }
