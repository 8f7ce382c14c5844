"""The options of a package, and its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portinf.conversion.convert import ConvertOptions
from portinf.core.errors import UsageError
from portinf.triton.writer import Packaged
from portinf.validation import Comparison, Tolerance

__all__ = ["PackageOptions", "PackageResult", "refuse_conversion"]


@dataclass(frozen=True, kw_only=True)
class PackageOptions:
    """What the user chose.

    Attributes:
        repository: the model repository; created where it is missing.
        name: model name; None for the stem of the source, made safe.
        version: its number; None for the next one.
        max_batch_size: None for 64 where the rows are verified independent, else 0.
        force: package a model whose judgement is "disagrees"; the manifest says so.
        tolerance: of the judgement and of the independence of rows.
        recorded: all options as given, for the manifest.
    """

    repository: Path
    name: str | None = None
    version: int | None = None
    max_batch_size: int | None = None
    force: bool = False
    tolerance: Tolerance = field(default_factory=Tolerance)
    recorded: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PackageResult:
    """A written version, its judgement, the releases that read it, and the notes of the conversion.

    Attributes:
        comparison: the judgement; None where it is that of an earlier step.
        judged: verdict and summary, of such an earlier step; empty for those of ``comparison``.
    """

    packaged: Packaged
    comparison: Comparison | None
    readers: str
    notes: Sequence[str] = ()
    judged: Mapping[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """``equal`` or ``disagrees``."""
        return self.comparison.verdict if self.comparison is not None else str(self.judged["verdict"])

    @property
    def summary(self) -> str:
        """What the judgement found, in one line."""
        return self.comparison.summary() if self.comparison is not None else str(self.judged["summary"])

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        manifest = self.packaged.manifest
        return {
            "name": manifest.name,
            "version": manifest.version,
            "path": str(self.packaged.path),
            "max_batch_size": manifest.max_batch_size,
            "batching": manifest.batching,
            "verdict": self.verdict,
            "summary": self.summary,
            "forced": manifest.forced,
            "triton_releases": self.readers,
            "notes": list(self.notes),
            "files": dict(manifest.files),
        }

    def text(self) -> str:
        """Return a few lines for a person."""
        manifest = self.packaged.manifest
        return (
            f"{self.packaged.path}: model '{manifest.name}', version {manifest.version}\n"
            f"  judged:   {self.verdict}: {self.summary}\n"
            f"  batching: max_batch_size {manifest.max_batch_size}: {manifest.batching}\n"
            f"  read by:  Triton {self.readers}"
        )


def refuse_conversion(shown: str, conversion: ConvertOptions) -> None:
    """Refuse options that only a source has.

    Raises:
        UsageError: one is given.
    """
    sourcing = conversion.sourcing
    given = {
        "--dynamic": sourcing.dynamic,
        "--input-name": sourcing.input_names,
        "--outputs": sourcing.outputs,
        "--weights": sourcing.weights,
        "--saved-model-signature": sourcing.signature,
        "--opset": conversion.opset,
    }
    for option, value in given.items():
        if value:
            raise UsageError(f"{option} applies only when converting; {shown} is already converted")
