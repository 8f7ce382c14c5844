"""The contract of a loaded source, and the one that gives it the user's names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from portinf.core.batch import Array, Arrays
from portinf.core.errors import UsageError
from portinf.core.signature import Role
from portinf.sources.detect import Found

__all__ = ["Declared", "Source", "SourceOptions", "flatten_outputs", "half_notes", "renamed"]


@dataclass(frozen=True, kw_only=True)
class Declared:
    """What a model says of one of its inputs by itself.

    Attributes:
        name: the model's own name.
        dtype: numpy type name, None where the model does not say.
        shape: lengths, None for a dynamic axis; None as a whole where the model does not say.
        labels: symbol of each axis, None for a fixed one; equal symbols are tied; empty where the model names none.
        minimums: least length of each axis; empty where the model does not say.
        maximums: largest length of each axis, None where there is none; empty where the model does not say.
        multiples: what the length of each axis is a multiple of; empty where the model does not say.
        optional: the model has a default for it.
        role: what its numbers mean, axes by the symbols of ``labels``; None where the model does not say.
    """

    name: str
    dtype: str | None = None
    shape: tuple[int | None, ...] | None = None
    labels: tuple[str | None, ...] = ()
    minimums: tuple[int, ...] = ()
    maximums: tuple[int | None, ...] = ()
    multiples: tuple[int, ...] = ()
    optional: bool = False
    role: Role | None = None


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """How a source is opened.

    Attributes:
        found: what it is.
        weights: file of weights for a factory's model.
        signature: name of a SavedModel's signature.
        input_names: the user's name by the model's own name.
        outputs: the user's names of the outputs, in order; empty for the model's own.
        allow_pickle: unpickling is permitted.
        allow_code: running code from the model file is permitted.
        freeze_state: the state as loaded is right for every request, whatever a call changes.
        samples: names, types and shapes of the user's first sample, for models that do not name their inputs.
    """

    found: Found
    weights: Path | None = None
    signature: str | None = None
    input_names: Mapping[str, str] = field(default_factory=dict)
    outputs: Sequence[str] = ()
    allow_pickle: bool = False
    allow_code: bool = False
    freeze_state: bool = False
    samples: Sequence[Declared] = ()


class Source(Protocol):
    """A loaded model in evaluation mode.

    Attributes:
        framework: key of the converters' table.
        model: the framework's own object, for the converter.
        inputs: what it says of its inputs, in its order.
        notes: what the user should know (for example: was left in training mode).
    """

    framework: str
    model: Any
    inputs: Sequence[Declared]
    notes: list[str]

    def infer(self, inputs: Mapping[str, Array]) -> Arrays:
        """Run the model eagerly in its own precision: inputs by its own names, outputs by name in its order."""
        ...


def flatten_outputs(value: Any, *, is_leaf: type | tuple[type, ...]) -> dict[str, Any]:
    """Return a model's answer by name: keys of dicts, fields of named tuples, else ``output_0``, ``output_1``, ...

    Raises:
        UsageError: the answer holds something that is no tensor.
    """
    leaves: list[tuple[str, Any]] = []
    _walk(value, "", leaves, is_leaf)
    names = [name or f"output_{number}" for number, (name, _) in enumerate(leaves)]
    if len(set(names)) < len(names):
        raise UsageError(f"the model's outputs have equal names: {', '.join(names)}; name them with --outputs")
    return {name: leaf for name, (_, leaf) in zip(names, leaves, strict=True)}


def _walk(value: Any, name: str, leaves: list[tuple[str, Any]], is_leaf: type | tuple[type, ...]) -> None:
    prefix = f"{name}." if name else ""
    if isinstance(value, is_leaf):
        leaves.append((name, value))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _walk(item, f"{prefix}{key}", leaves, is_leaf)
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        for key, item in zip(value._fields, value, strict=True):
            _walk(item, f"{prefix}{key}", leaves, is_leaf)
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            _walk(item, f"{prefix}{number}" if name else "", leaves, is_leaf)
    else:
        raise UsageError(
            f"the model returns {type(value).__name__}{f' at {name!r}' if name else ''}; "
            "expected a tensor, or a tuple, list or dict of tensors: return tensors only"
        )


def renamed(names: Sequence[str], given: Sequence[str]) -> list[str]:
    """Return the user's output names, or the model's own where none are given.

    Raises:
        UsageError: there are more or fewer names than outputs, or two are equal.
    """
    if not given:
        return list(names)
    if len(given) != len(names):
        raise UsageError(f"--outputs gives {len(given)} names, and the model has {len(names)} outputs: {', '.join(names)}")
    if len(set(given)) < len(given):
        raise UsageError(f"--outputs gives one name twice: {', '.join(given)}")
    return list(given)


def half_notes(dtypes: Mapping[str, int]) -> list[str]:
    """Say of a model with parameters in half precision that it is no fp32 reference; nothing of any other.

    Args:
        dtypes: number of float parameters by type, of layers by ``computing in TYPE``.
    """
    half = {name: count for name, count in dtypes.items() if name.endswith("float16")}
    if not half:
        return []
    parameters = sum(count for name, count in dtypes.items() if not name.startswith("computing"))
    words = [
        f"{count} layers are {name}" if name.startswith("computing") else f"{count} of {parameters} float parameters are {name}"
        for name, count in half.items()
    ]
    return [f"half precision in the model ({', '.join(words)}): its answers are no fp32 reference"]
