"""The options of portinf optimize --target onnxruntime."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from portinf.mixed_precision.lower import Precision
from portinf.validation import PhysicsOptions

__all__ = ["OnnxruntimeOptions"]


@dataclass(frozen=True, kw_only=True)
class OnnxruntimeOptions:
    """The options of ``portinf optimize --target onnxruntime``.

    Attributes:
        threads: intra-op threads on which the file will run; 0 for not known.
        precision: to compute in after the rewritings; None for the model's own.
        physics: metrics that decide about the precision beside the tolerance.
        search: time precisions, levels and threads, and keep the best.
        report: page of the search to write; None for none.
    """

    threads: int = 0
    precision: Precision | None = None
    physics: PhysicsOptions = field(default_factory=PhysicsOptions)
    search: bool = False
    report: Path | None = None
