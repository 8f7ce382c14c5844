"""Which cases a model is judged on: the given samples, other sizes of them, and edge cases, as often as needed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from portinf.core.batch import Batch, check_batch
from portinf.core.signature import Signature
from portinf.samples import SampleStream, StreamOptions, open_stream
from portinf.samples.edge_cases import edge_cases, never_varied
from portinf.samples.files import bound
from portinf.samples.generate import generate, not_tried, sweep
from portinf.samples.user_options import Ranges

__all__ = ["CaseSet"]


class CaseSet:
    """All cases of one model; every iteration starts anew and gives the same ones, one part of a large file in memory at a time.

    The cases are all rows of the files and the samples at hand (a generated one where there are neither), then generated ones: the
    sizes of `portinf.samples.generate.sweep`, and `portinf.samples.edge_cases.edge_cases`.

    Args:
        signature: of the model.
        files: with samples, bound to the inputs.
        ranges: of generated values, as the user gave them.
        columns: of the metrics: inputs of these names go beside the inputs as well.
        samples: that are at hand already, beside the files.
        heads: the small batches of each file, where they were read already.
    """

    def __init__(
        self,
        signature: Signature,
        files: Sequence[SampleStream] = (),
        *,
        ranges: Ranges | None = None,
        columns: Collection[str] = (),
        samples: Sequence[Batch] = (),
        heads: Sequence[Sequence[Batch]] | None = None,
    ) -> None:
        self.signature, self.files, self._ranges = signature, list(files), dict(ranges or {})
        self._columns, self._samples = columns, samples
        if heads is not None:
            self._heads = heads

    @classmethod
    def of_files(
        cls,
        signature: Signature,
        inputs: Iterable[Path],
        streams: StreamOptions,
        *,
        ranges: Ranges | None = None,
        columns: Collection[str] = (),
    ) -> CaseSet:
        """Open the files of ``--inputs``; columns that are no input of the model are read beside the inputs.

        Raises:
            UnreadableError: a file is missing, damaged or of no known format.
        """
        inputs_of_model = {spec.name for spec in signature.inputs}
        beside: Mapping[str, str] = {name: name for name in columns if name not in inputs_of_model}
        streams = replace(streams, beside={**beside, **streams.beside})
        files = bound([open_stream(path, streams) for path in inputs], signature)
        return cls(signature, files, ranges=ranges, columns=columns)

    def within(self, signature: Signature) -> CaseSet:
        """Return the same samples for a signature with other limits."""
        more = {"ranges": self._ranges, "columns": self._columns, "samples": self._samples, "heads": self._heads}
        return CaseSet(signature, self.files, **more)  # type: ignore[arg-type]

    @property
    def whole(self) -> bool:
        """Whether `first` holds every row: no file is read in parts."""
        return all(file.whole for file in self.files)

    @cached_property
    def _heads(self) -> Sequence[Sequence[Batch]]:
        return [file.heads() for file in self.files]

    @cached_property
    def given(self) -> list[Batch]:
        """The first rows of the files, small, and the samples at hand: they describe the model, and others are made from them.

        Raises:
            UsageError: a sample does not fit the model.
        """
        return [self._fitting(batch) for batches in (*self._heads, self._samples) for batch in batches]

    @property
    def notes(self) -> list[str]:
        """What was read of large files, and how, as of the last reading."""
        found: list[str] = []
        for file, heads in zip(self.files, self._heads, strict=True):
            taken = max((batch.rows for batch in heads), default=0)
            if not file.whole and taken < file.rows:
                found.append(f"{file.name}: the first {taken} of {file.rows:,} rows describe the model")
            found += [line for line in file.notes if line not in found]
        return found

    @property
    def left_out(self) -> list[str]:
        """Which sizes are not among the cases because they are too large, and which inputs never vary."""
        return [*not_tried(self.signature, self.given), *never_varied(self.signature, self.given)]

    def rows(self) -> Iterator[Batch]:
        """Yield all that was given: every row of the files, then the samples at hand."""
        self.files = bound(self.files, self.signature)  # its limits may be narrower than when the first rows were read
        for file in self.files:
            yield from map(self._fitting, file)
        yield from map(self._fitting, self._samples)

    def generated(self) -> Iterator[Batch]:
        """Yield the other sizes and the edge cases."""
        yield from sweep(self.signature, self.given)
        yield from edge_cases(self.signature, self.given, self._ranges)

    def first(self) -> list[Batch]:
        """Return the cases with the first rows of files that are read in parts."""
        return [*(self.given or [generate(self.signature)]), *self.generated()]

    def __iter__(self) -> Iterator[Batch]:
        """Yield all cases."""
        yield from self.rows() if self.given else [generate(self.signature)]
        yield from self.generated()

    def _fitting(self, batch: Batch) -> Batch:
        """Check a sample, and put inputs that the metrics need beside the inputs as well."""
        check_batch(self.signature, batch)
        more = {name: batch.inputs[name] for name in self._columns if name in batch.inputs and name not in batch.columns}
        return replace(batch, columns={**batch.columns, **more}) if more else batch
