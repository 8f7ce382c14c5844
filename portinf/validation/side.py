"""One side of a comparison: something that answers, and what is known of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from portinf.core.batch import Batch
from portinf.core.signature import Signature
from portinf.runners import Runner
from portinf.validation.tolerance import Tolerance

__all__ = ["Side"]


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side of a comparison.

    Attributes:
        name: as the user gave it.
        runner: answers; None for a source, which is opened once the samples are known.
        signature: from portinf's metadata, the graph or the server; None for a source.
        described: the signature comes with labels and roles (an ONNX file, a package), not from a server's shapes alone.
        recorded: goldens of a packaged model.
        tolerance: that a packaged model was judged with; None elsewhere.
        to_float: tolerance to the float model that it was made from; None where it is no emulation.
        notes: what is wrong with the files.
        endpoint: it is a live server.
        facts: what a report says of where it came from.
        onnx: the ONNX file that it runs; None for a source and an endpoint.
        version: of a packaged model.
        target: name of the target that answers by its own means; empty elsewhere.
        folder: of that target.
    """

    name: str
    runner: Runner | None = None
    signature: Signature | None = None
    described: bool = False
    recorded: Sequence[Batch] = ()
    tolerance: Tolerance | None = None
    to_float: Tolerance | None = None
    notes: Sequence[str] = ()
    endpoint: bool = False
    facts: Mapping[str, str] = field(default_factory=dict)
    onnx: Path | None = None
    version: int | None = None
    target: str = ""
    folder: Path | None = None

    @property
    def is_source(self) -> bool:
        """Whether it is a source that has still to be opened."""
        return self.runner is None
