"""Files of samples -> every batch that a lowered file is judged on, as often as wanted, one part in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from portinf.resampling import generate, sweep
from portinf.samples import Batch, check_batch
from portinf.signature import Signature
from portinf.streams import SampleStream, StreamOptions
from portinf.validation import PhysicsOptions
from portinf.workflow.samplefiles import heads

__all__ = ["JudgedOn", "with_columns"]


class JudgedOn:
    """All rows of the files, then other sizes of their first rows; without files, batches made for the signature.

    Args:
        signature: of the model.
        files: bound to it.
        physics: metrics whose columns are put beside the inputs, where they are inputs themselves.
    """

    def __init__(self, signature: Signature, files: Sequence[SampleStream], physics: PhysicsOptions) -> None:
        self._signature, self._files, self._wanted = signature, files, list(physics.columns)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches, from the start each time."""
        for file in self._files:
            for batch in file:
                check_batch(self._signature, batch)
                more = {name: batch.inputs[name] for name in self._wanted if name in batch.inputs and name not in batch.columns}
                yield replace(batch, columns={**batch.columns, **more}) if more else batch
        if not self._files:
            yield generate(self._signature)
        yield from sweep(self._signature, heads(self._files))


def with_columns(streams: StreamOptions, signature: Signature, physics: PhysicsOptions) -> StreamOptions:
    """Return how files are read: what the metrics need goes beside the inputs, unless it is an input."""
    inputs = {spec.name for spec in signature.inputs}
    beside = {name: name for name in physics.columns if name not in inputs}
    return replace(streams, beside={**beside, **streams.beside})
