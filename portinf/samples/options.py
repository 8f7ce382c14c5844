"""What the user may say of how a file's columns become a model's inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["AXES", "StreamOptions"]

AXES = ("rows", "entries", "features")


@dataclass(frozen=True, kw_only=True)
class StreamOptions:
    """How files of samples are read; see ``portinf validate --help``.

    Attributes:
        columns: columns of the file by input, stacked along the feature axis in this order; default: one of the input's name.
        beside: column of the file by the name under which it goes beside the inputs, into `portinf.core.batch.Batch.columns`.
        layouts: meaning of each axis by input, out of ``rows``, ``entries`` and ``features``, where the lengths do not decide.
        masks: by input, the jagged column whose validity fills it.
        batch_rows: rows of one part; None for about 64 MB, at most 65,536.
        first_row: number of the first row that is read.
        max_rows: rows that are read at most; None for all.
    """

    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    beside: Mapping[str, str] = field(default_factory=dict)
    layouts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    masks: Mapping[str, str] = field(default_factory=dict)
    batch_rows: int | None = None
    first_row: int = 0
    max_rows: int | None = None
