"""Turns a batch in the model's shapes into the shapes of the wire: Triton sends no scalar, so a row without axes is [1]."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from portinf.core.batch import Array, Arrays, Batch
from portinf.core.signature import Signature, TensorSpec

__all__ = ["as_served"]


def as_served(batch: Batch, signature: Signature, max_batch_size: int) -> Batch:
    """Return a batch as a client of the packaged model sends it and gets its answer.

    With batching a tensor of shape [batch] travels as [batch, 1], without batching one of shape [] as [1]; all others
    as they are. See `portinf.triton.config.config_of`, which writes ``dims: [1]`` for the same tensors.

    Args:
        batch: in the shapes of the model, such as a golden.
        signature: of the model.
        max_batch_size: of the configuration.
    """
    rank = 1 if max_batch_size > 0 else 0
    expected = None if batch.expected is None else _widened(batch.expected, signature.outputs, rank)
    return replace(batch, inputs=_widened(batch.inputs, signature.inputs, rank), expected=expected)


def _widened(arrays: Mapping[str, Array], specs: Iterable[TensorSpec], rank: int) -> Arrays:
    narrow = {spec.name for spec in specs if spec.shape is not None and len(spec.shape) == rank}
    return {name: array[..., None] if name in narrow and array.ndim == rank else array for name, array in arrays.items()}
