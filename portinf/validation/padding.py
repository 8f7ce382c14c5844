"""Generated rows that are all padding -> those to which a reference has no answer, for it depends on what the padding holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from portinf.core.batch import Array, Arrays, Batch
from portinf.core.errors import RunnerError
from portinf.core.signature import Signature, TensorSpec, dtype_by_numpy
from portinf.runners.protocol import Runner
from portinf.validation.differences import out_of
from portinf.validation.tolerance import Bound

__all__ = ["undefined_places"]

Bools = npt.NDArray[np.bool_]


def undefined_places(
    reference: Runner | Path | None, batch: Batch, name: str, answer: Array, bound: Bound, samples: Sequence[Batch]
) -> Bools:
    """Say which elements of a reference's answer change when nothing but padding does, in rows that are all padding.

    Attention that is masked with a large negative number gives such a row the mean of its padding; with -inf, NaN. Neither is an
    answer, and portinf made the row. What a reference answers whatever the padding holds is one.

    Args:
        reference: a runner; for anything else there is nothing to ask.
        batch: generated.
        name: of the output.
        answer: the reference's, to this batch.
        bound: within which two values are the same.
        samples: given ones, which show which value of a mask is padding.
    """
    none = np.zeros(answer.shape, dtype=np.bool_)
    if reference is None or isinstance(reference, Path):
        return none
    signature = reference.signature
    changed = dict(batch.inputs)
    for mask in signature.inputs:
        place = _place(mask, batch.inputs, signature)
        if place is not None:
            padding = _padding(mask.name, place, samples)
            empty = np.asarray((batch.inputs[mask.name] == padding).reshape(len(batch.inputs[mask.name]), -1).all(axis=1))
            changed.update(_filled_anew(signature, mask, place, changed, empty))
    if all(changed[key] is array for key, array in batch.inputs.items()):
        return none
    try:
        other = reference.infer(changed).get(name)
    except RunnerError:
        return none
    if other is None or other.shape != answer.shape or other.dtype != answer.dtype:
        return none
    return out_of(answer, other, bound.rtol, bound.absolute(answer.shape))


def _place(spec: TensorSpec, inputs: Arrays, signature: Signature) -> int | None:
    """Return the axis along which an input masks others; None where it is no mask, or one without rows.

    An input that is no mask by its role counts as one where it holds 0 and 1 alone and has the first axes of a float input.
    """
    array = inputs.get(spec.name)
    if array is None or array.size == 0 or array.ndim < 2 or array.dtype == object:
        return None
    if spec.role.kind == "mask":
        return next((k for k, axis in enumerate(spec.shape or ()) if axis.label == spec.role.of), 0) or None
    beside = [other for other in signature.inputs if other is not spec and dtype_by_numpy(other.dtype).is_float]
    known = any(len(spec.labels) > 1 and other.labels[: len(spec.labels)] == spec.labels for other in beside)
    if spec.role.kind != "value" or not known or not bool(((array == 0) | (array == 1)).all()):
        return None
    return next(k for k, axis in enumerate(spec.shape or ()) if axis.label == spec.labels[1])


def _padding(name: str, place: int, samples: Sequence[Batch]) -> int:
    """Return the value that a mask has at padding: the other one than at most first entries; 0 where no sample shows it."""
    arrays = [batch.inputs[name] for batch in samples if name in batch.inputs and batch.inputs[name].size]
    firsts = [np.take(array, 0, axis=place).ravel() for array in arrays]
    return 1 if firsts and float(np.concatenate(firsts).astype(np.float64).mean()) < 0.5 else 0


def _filled_anew(signature: Signature, mask: TensorSpec, place: int, inputs: Arrays, empty: Bools) -> Arrays:
    """Put other numbers into the padded rows of every float input that has the mask's axes."""
    changed: Arrays = {}
    if not empty.any():
        return changed
    for spec in signature.inputs:
        array = inputs.get(spec.name)
        if array is None or spec.role.kind != "value" or not dtype_by_numpy(spec.dtype).is_float:
            continue
        masked = mask.shape is not None and mask.shape[place].label in spec.labels
        if spec is not mask and masked and spec.labels[:1] == mask.labels[:1] and len(array) == len(empty):
            other = np.array(array)
            other[empty] = (1 - other[empty] * 1.5).astype(array.dtype)
            changed[spec.name] = other
    return changed
