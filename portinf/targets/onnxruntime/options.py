"""What portinf optimize --target onnxruntime may be told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from portinf.mixed_precision.lower import Precision
from portinf.validation import PhysicsOptions

__all__ = ["OnnxruntimeOptions"]


@dataclass(frozen=True, kw_only=True)
class OnnxruntimeOptions:
    """What the user chose.

    Attributes:
        threads: intra-op threads on which the file will run; 0 for not known.
        precision: to compute in after the rewritings; None for the model's own.
        physics: metrics that decide about the precision beside the tolerance.
        search: try precisions, levels and threads, and take the best.
        report: page of the search to write; None for none.
    """

    threads: int = 0
    precision: Precision | None = None
    physics: PhysicsOptions = field(default_factory=PhysicsOptions)
    search: bool = False
    report: Path | None = None
