"""What a target offers: a rewritten file, to be judged by someone else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Proposal"]


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """One rewriting.

    Attributes:
        name: as shown in reports.
        guarantee: ``exact``, or ``reassociated``: equal in exact arithmetic, sums in another order.
        make: takes a file, writes the rewritten one into the folder given and returns its path; None where it changes nothing.
    """

    name: str
    guarantee: str
    make: Callable[[Path, Path], Path | None]
