"""Finds what the numbers of an input mean: values, indices of an axis, segments, masks, row splits."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from portinf.core.batch import Array, Arrays, Batch
from portinf.core.errors import RunnerError
from portinf.core.signature import Role, Signature, TensorSpec, dtype_by_numpy

__all__ = ["find_role"]

SEGMENT_NAMES = re.compile(r"(^|_)(batch|batch_index|batch_idx|segment|segment_ids?|graph_ids?|event_ids?)$", re.IGNORECASE)
INDEX_NAMES = re.compile(r"index|idx|indices|edge|adj|src|dst|sender|receiver|neighbou?r", re.IGNORECASE)
KIND_NAMES = re.compile(r"type|kind|class|attr|weight|label|charge|feature", re.IGNORECASE)  # of an edge, not an end of it
MASK_NAMES = re.compile(r"mask|valid|padding", re.IGNORECASE)


def find_role(
    spec: TensorSpec, signature: Signature, batches: Sequence[Batch], infer: Callable[[Mapping[str, Array]], Arrays]
) -> Role:
    """Decide the role of one input.

    An integer input is an index of an axis if the model refuses the value ``length`` and accepts ``length - 1`` in every
    sample; where the model does not refuse (it may clip), names such as ``edge_index`` decide.

    Args:
        spec: the input.
        signature: all inputs, for their dynamic axes.
        batches: the user's samples.
        infer: runs the source.
    """
    arrays = [batch.inputs[spec.name] for batch in batches]
    labels = [label for label in signature.axes if all(_length(signature, b, label) > 0 for b in batches)]
    if _is_mask(spec, arrays):
        return Role(kind="mask", of=spec.labels[-1])
    if not dtype_by_numpy(spec.dtype).is_integer or not spec.labels or any(a.size == 0 for a in arrays):
        return Role()
    splits = [lab for lab in labels if lab not in spec.labels and _are_splits(arrays, batches, signature, lab)]
    if splits and arrays[0].ndim == 1:
        return Role(kind="row_splits", of=splits[0])
    between = _between(spec, signature, batches, labels, infer)
    if between is not None:
        return between
    indexed = _indexed(spec, signature, batches, labels, infer)
    if arrays[0].ndim == 1 and _are_segments(spec, arrays):
        return Role(kind="segment", of=spec.labels[0], into=indexed if indexed not in spec.labels else None)
    return Role(kind="index", of=indexed) if indexed else Role()


def _length(signature: Signature, batch: Batch, label: str) -> int:
    for spec in signature.inputs:
        for number, axis in enumerate(spec.shape or ()):
            if axis.label == label and spec.name in batch.inputs:
                return int(batch.inputs[spec.name].shape[number])
    return 0


def _is_mask(spec: TensorSpec, arrays: Sequence[Array]) -> bool:
    if not spec.labels or spec.dtype == "object":
        return False
    named = MASK_NAMES.search(spec.name) is not None
    return (spec.dtype == "bool" or named) and all(bool(np.isin(a, (0, 1)).all()) for a in arrays)


def _are_splits(arrays: Sequence[Array], batches: Sequence[Batch], signature: Signature, label: str) -> bool:
    return all(
        a.ndim == 1 and a.size > 1 and a[0] == 0 and a[-1] == _length(signature, b, label) and bool(np.all(np.diff(a) >= 0))
        for a, b in zip(arrays, batches, strict=True)
    )


def _are_segments(spec: TensorSpec, arrays: Sequence[Array]) -> bool:
    """Sorted group numbers from 0 without gaps; several groups, or a name that says so."""
    sorted_ = all(a[0] == 0 and bool(np.isin(np.diff(a), (0, 1)).all()) for a in arrays)
    named = SEGMENT_NAMES.search(spec.name) is not None
    groups = max(int(a.max()) + 1 for a in arrays)
    repeated = all(a.size >= 2 * (int(a.max()) + 1) for a in arrays)
    return sorted_ and (named or (groups > 1 and repeated))


def _indexed(
    spec: TensorSpec,
    signature: Signature,
    batches: Sequence[Batch],
    labels: Sequence[str],
    infer: Callable[[Mapping[str, Array]], Arrays],
) -> str | None:
    """Return the axis that the input points into."""
    fitting = [label for label in labels if all(int(b.inputs[spec.name].max()) < _length(signature, b, label) for b in batches)]
    refused = [label for label in fitting if all(_refuses(spec.name, b, _length(signature, b, label), infer) for b in batches)]
    if refused:
        return refused[0]
    others = [label for label in fitting if label not in spec.labels]
    if INDEX_NAMES.search(spec.name) and not KIND_NAMES.search(spec.name) and others:
        return min(others, key=lambda label: _length(signature, batches[0], label))
    return None


def _between(
    spec: TensorSpec,
    signature: Signature,
    batches: Sequence[Batch],
    labels: Sequence[str],
    infer: Callable[[Mapping[str, Array]], Arrays],
) -> Role | None:
    """Recognise pairs of two kinds: two rows, of which each is refused at the length of another axis."""
    if len(spec.shape or ()) != 2 or spec.shape is None or spec.shape[0].size != 2:
        return None
    found = []
    for row in (0, 1):
        inside = [n for n in labels if all(int(b.inputs[spec.name][row].max()) < _length(signature, b, n) for b in batches)]
        refused = [n for n in inside if all(_refuses_in(spec.name, row, b, _length(signature, b, n), infer) for b in batches)]
        found.append(refused)
    if not found[0] or not found[1] or set(found[0]) & set(found[1]):
        return None
    return Role(kind="index", of=found[0][0], into=found[1][0])


def _refuses_in(name: str, row: int, batch: Batch, length: int, infer: Callable[[Mapping[str, Array]], Arrays]) -> bool:
    """Whether ``length - 1`` is accepted in a row and ``length`` is not.""" ""
    answers = []
    for value in (length - 1, length):
        changed = batch.inputs[name].copy()
        changed[row, -1] = value
        try:
            infer({**batch.inputs, name: changed})
        except RunnerError:
            answers.append(False)
        else:
            answers.append(True)
    return answers == [True, False]


def _refuses(name: str, batch: Batch, length: int, infer: Callable[[Mapping[str, Array]], Arrays]) -> bool:
    return _answers(name, batch, length - 1, infer) and not _answers(name, batch, length, infer)


def _answers(name: str, batch: Batch, value: int, infer: Callable[[Mapping[str, Array]], Arrays]) -> bool:
    changed = batch.inputs[name].copy()
    changed.reshape(-1)[-1] = value
    try:
        infer({**batch.inputs, name: changed})
    except RunnerError:
        return False
    return True
