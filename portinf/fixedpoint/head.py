"""The steps that follow the sums of trees (link function, class labels), as plain data, computed in floats outside the hardware."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from portinf.fixedpoint.casting import Array
from portinf.fixedpoint.formats import FixedPointError

__all__ = ["OPERATIONS", "Step", "run_steps"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One operator of ONNX; `OPERATIONS` says which there are.

    Attributes:
        kind: name of the operator.
        inputs: tensors that it reads: the sums, constants or results of earlier steps.
        output: tensor that it gives.
        options: its attributes; ``to`` is the name of a numpy type.
    """

    kind: str
    inputs: tuple[str, ...]
    output: str
    options: Mapping[str, Any] = field(default_factory=dict)


def run_steps(steps: Sequence[Step], values: Mapping[str, Array]) -> dict[str, Array]:
    """Compute all steps.

    Args:
        steps: each after those that it reads.
        values: the sums and the constants, by tensor.

    Returns:
        every tensor, by name.

    Raises:
        FixedPointError: a step of a kind that is not here.
    """
    found = dict(values)
    for step in steps:
        if step.kind not in OPERATIONS:
            raise FixedPointError(f"{step.output}: an operator '{step.kind}' is not computed after the trees")
        found[step.output] = OPERATIONS[step.kind]([found[name] for name in step.inputs], step.options)
    return found


def _sigmoid(x: Array) -> Array:
    small = np.exp(-np.abs(x))  # never overflows
    return np.asarray(np.where(x >= 0, 1, small) / (1 + small), dtype=x.dtype)


def _softmax(x: Array, axis: int) -> Array:
    raised = np.exp(x - x.max(axis=axis, keepdims=True, initial=-np.inf))
    return np.asarray(raised / raised.sum(axis=axis, keepdims=True))


def _reshape(x: Array, shape: Array) -> Array:
    """A 0 is the length that is there, as in ONNX; -1 is worked out without the empty axis where there are no rows."""
    requested = [x.shape[place] if length == 0 else int(length) for place, length in enumerate(shape)]
    if x.size == 0:
        requested = [0 if length == -1 else length for length in requested]
    return x.reshape(requested)


def _argmax(x: Array, options: Mapping[str, Any]) -> Array:
    found = x.argmax(axis=options.get("axis", 0))
    return np.expand_dims(found, options.get("axis", 0)) if options.get("keepdims", 1) else found


OPERATIONS: dict[str, Callable[[Sequence[Array], Mapping[str, Any]], Array]] = {
    "Abs": lambda x, options: np.abs(x[0]),
    "Add": lambda x, options: np.asarray(x[0] + x[1]),
    "ArgMax": lambda x, options: _argmax(x[0], options),
    "Cast": lambda x, options: x[0].astype(options["to"]),
    "Concat": lambda x, options: np.concatenate(x, axis=options["axis"]),
    "Exp": lambda x, options: np.exp(x[0]),
    "Gather": lambda x, options: np.take(x[0], x[1], axis=options.get("axis", 0)),
    "Greater": lambda x, options: np.asarray(x[0] > x[1]),
    "GreaterOrEqual": lambda x, options: np.asarray(x[0] >= x[1]),
    "Identity": lambda x, options: x[0],
    "Mul": lambda x, options: np.asarray(x[0] * x[1]),
    "Neg": lambda x, options: -x[0],
    "Reshape": lambda x, options: _reshape(x[0], x[1]),
    "Sigmoid": lambda x, options: _sigmoid(x[0]),
    "Softmax": lambda x, options: _softmax(x[0], options.get("axis", -1)),
    "Softplus": lambda x, options: np.logaddexp(x[0], np.zeros((), x[0].dtype)),
    "Sub": lambda x, options: np.asarray(x[0] - x[1]),
}
