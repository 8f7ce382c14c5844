"""A signature -> whether axis 0 of all its tensors counts rows that can be given together or alone."""

from __future__ import annotations

from portinf.core.signature import Signature

__all__ = ["why_not_batched"]

LARGEST = 19  # rows of the largest batch on which rows are tested to be independent (portinf.validation.batch_independence)


def why_not_batched(signature: Signature) -> str:
    """Say why axis 0 cannot be a batch axis, from the signature alone; empty where it can."""
    tensors = [*signature.inputs, *signature.outputs]
    for spec in tensors:
        if not spec.shape:
            return f"tensor '{spec.name}' {spec.shape_text()} has no axis 0 that could be the batch"
        if spec.shape[0].label is None:
            return f"axis 0 of tensor '{spec.name}' {spec.shape_text()} is fixed"
    first = tensors[0]
    for spec in tensors[1:]:
        if spec.labels[0] != first.labels[0]:
            return (
                f"axis 0 is '{first.labels[0]}' in tensor '{first.name}' and '{spec.labels[0]}' in '{spec.name}'; if they are the "
                f"same, give them one label when converting: --dynamic {first.name}:0=batch,{spec.name}:0=batch"
            )
    return _why_no_rows(signature, first.labels[0]) if signature.inputs else "the model has no inputs"


def _why_no_rows(signature: Signature, label: str) -> str:
    axis = signature.axes[label]
    if axis.minimum > 1 or axis.multiple > 1:
        return f"axis '{label}' needs at least {max(axis.minimum, axis.multiple)} rows: one request may have one"
    if axis.maximum is not None and axis.maximum < LARGEST:
        return f"axis '{label}' has at most {axis.maximum} rows, too few to see whether they influence each other"
    for spec in (*signature.inputs, *signature.outputs):
        if label in spec.labels[1:]:
            return f"axis '{label}' occurs in tensor '{spec.name}' {spec.shape_text()} more than once"
        if label in (spec.role.of, spec.role.into):
            return f"input '{spec.name}' ({spec.role}) refers to rows of axis '{label}', so requests cannot be batched"
        if spec.optional:
            return f"input '{spec.name}' is optional, which Triton takes only without batching"
    return ""
