"""How long steps report what they do."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Progress", "quiet"]

Progress = Callable[[str], None]


def quiet(line: str) -> None:
    """Ignore a line of progress."""
