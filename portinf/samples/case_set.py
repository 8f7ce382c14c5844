"""Files of samples -> every batch that a lowered file is judged on, as often as needed, one part in memory at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from portinf.core.batch import Batch, check_batch
from portinf.core.signature import Signature
from portinf.samples import SampleStream, StreamOptions
from portinf.samples.files import heads
from portinf.samples.generate import generate, sweep

__all__ = ["JudgedOn", "with_columns"]


class JudgedOn:
    """All rows of the files, then other sizes of their first rows; without files, batches made for the signature.

    Args:
        signature: of the model.
        files: bound to it.
        columns: of the metrics: put beside the inputs as well, where they are inputs themselves.
    """

    def __init__(self, signature: Signature, files: Sequence[SampleStream], columns: Iterable[str]) -> None:
        self._signature, self._files, self._wanted = signature, files, list(columns)

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


def with_columns(streams: StreamOptions, signature: Signature, columns: Iterable[str]) -> StreamOptions:
    """Return how files are read: what the metrics need goes beside the inputs, unless it is an input."""
    inputs = {spec.name for spec in signature.inputs}
    beside = {name: name for name in columns if name not in inputs}
    return replace(streams, beside={**beside, **streams.beside})
