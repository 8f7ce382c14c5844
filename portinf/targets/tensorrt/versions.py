"""Turns ``--tensorrt`` and ``--triton-release`` into one version of TensorRT, and looks up what is known about it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from portinf.core.errors import UsageError

__all__ = ["OLDEST", "Version", "parse_version"]


@dataclass(frozen=True, kw_only=True, order=True)
class Version:
    """Major and minor number; the rest decides nothing here."""

    major: int
    minor: int

    def __str__(self) -> str:
        """Show it as people write it."""
        return f"{self.major}.{self.minor}"

    @property
    def native_int64(self) -> bool:
        """Whether int64 inputs and outputs stay int64; before 10 the parser makes them int32 (onnx-tensorrt, convertDtype)."""
        return self.major >= 10

    @property
    def precision_flags(self) -> bool:
        """Whether the builder has flags such as ``--fp16``; from 11 on only the types in the graph count."""
        return self.major < 11


OLDEST = Version(major=8, minor=6)


def parse_version(text: str) -> Version:
    """Read ``10.3`` or ``10.3.0.26``.

    Raises:
        UsageError: no version, or one older than `OLDEST`.
    """
    found = re.fullmatch(r"(\d+)\.(\d+)(\.\d+)*", text)
    if found is None:
        raise UsageError(f"--tensorrt {text}: expected a version such as 8.6, 10.3 or 11.1 (what trtexec prints first)")
    version = Version(major=int(found[1]), minor=int(found[2]))
    if version < OLDEST:
        raise UsageError(f"--tensorrt {text}: portinf knows TensorRT from {OLDEST} on")
    return version
