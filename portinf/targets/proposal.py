"""What a target offers: a rewritten file, to be judged by someone else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Proposal"]


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """One rewriting of an artifact.

    Attributes:
        name: as shown in reports.
        make: writes the rewritten file into the folder given and returns its path.
    """

    name: str
    make: Callable[[Path], Path]
