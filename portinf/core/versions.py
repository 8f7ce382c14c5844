"""Installed versions and the current time, for records."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from datetime import datetime, timezone
from importlib import metadata

__all__ = ["BASE", "installed", "now"]

BASE = ("portinf", "numpy", "onnx", "onnxruntime")  # what every model passes through


def now() -> str:
    """Return the time in UTC, ISO 8601, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def installed(packages: Iterable[str] = BASE) -> dict[str, str]:
    """Return the version of Python and of each of these packages that is installed."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
