"""The options of a conversion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from portinf.core.batch import Batch
from portinf.core.signature import Role
from portinf.samples import StreamOptions
from portinf.samples.user_options import Ranges
from portinf.validation import Tolerance

__all__ = ["ConvertOptions", "SourcingOptions"]


@dataclass(frozen=True, kw_only=True)
class SourcingOptions:
    """Everything the user may say of a source; see ``portinf convert --help``.

    Attributes:
        weights: file of weights for a factory's model.
        inputs: files with samples.
        streams: how the files' columns become inputs.
        batches: samples that are at hand already.
        dynamic: label ("" for none) by (input, axis).
        roles: role by input.
        minimums: smallest length by axis label.
        maximums: largest length by axis label.
        ranges: lowest and highest generated value by input.
        input_names: the user's name by the model's own.
        outputs: the user's output names in order.
        signature: name of a SavedModel's signature.
        allow_pickle, allow_code: permissions.
        freeze_state: the state as loaded is right for every request, whatever a call changes.
        timeout: seconds that one step of the source's process may take.
        memory: gigabytes that the source's process may hold; None for no bound.
    """

    weights: Path | None = None
    inputs: Sequence[Path] = ()
    streams: StreamOptions = field(default_factory=StreamOptions)
    batches: Sequence[Batch] = ()
    dynamic: Mapping[tuple[str, int], str] = field(default_factory=dict)
    roles: Mapping[str, Role] = field(default_factory=dict)
    minimums: Mapping[str, int] = field(default_factory=dict)
    maximums: Mapping[str, int] = field(default_factory=dict)
    ranges: Ranges = field(default_factory=dict)
    input_names: Mapping[str, str] = field(default_factory=dict)
    outputs: Sequence[str] = ()
    signature: str | None = None
    allow_pickle: bool = False
    allow_code: bool = False
    freeze_state: bool = False
    timeout: float | None = 1800.0
    memory: float | None = None


@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """The options of ``portinf convert``.

    Attributes:
        sourcing: how to open and describe the source.
        tolerance: when two numbers are equal.
        opset: version of the default ONNX domain; None for the widest reach.
        triton_release: ``YY.MM`` of the oldest Triton that must read the result.
        force: where every route gives a wrong file, accept the first of them (``package --force``).
    """

    sourcing: SourcingOptions = field(default_factory=SourcingOptions)
    tolerance: Tolerance = field(default_factory=lambda: Tolerance.of(None, None))
    opset: int | None = None
    triton_release: str | None = None
    force: bool = False
