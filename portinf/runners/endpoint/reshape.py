"""Shapes on the wire <-> shapes as the model sees them: what a Triton configuration's ``reshape`` says of a tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Reshape", "reshapes"]


@dataclass(frozen=True, kw_only=True)
class Reshape:
    """One tensor's two shapes, without the batch axis; -1 is a dynamic axis, kept in order.

    Attributes:
        wire: as requests and answers carry it, ``dims`` of the configuration.
        model: as the model sees it, ``reshape`` of the configuration.
        batched: a batch axis stands before both.
    """

    wire: tuple[int, ...]
    model: tuple[int, ...]
    batched: bool

    def to_wire(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape to send for an array as the model sees it; any other shape is returned as it is."""
        return self._mapped(shape, self.model, self.wire)

    def to_model(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the model's shape of an array that was received; any other shape is returned as it is."""
        return self._mapped(shape, self.wire, self.model)

    def _mapped(self, shape: Sequence[int], old: tuple[int, ...], new: tuple[int, ...]) -> tuple[int, ...]:
        head, rest = (tuple(shape[:1]), tuple(shape[1:])) if self.batched else ((), tuple(shape))
        fits = len(rest) == len(old) and len(head) == self.batched
        if not fits or any(expected not in (-1, n) for n, expected in zip(rest, old, strict=True)):
            return tuple(shape)
        lengths = iter([n for n, expected in zip(rest, old, strict=True) if expected == -1])
        return head + tuple(next(lengths) if n == -1 else n for n in new)


def reshapes(config: Mapping[str, Any]) -> dict[str, Reshape]:
    """Return the tensors of a model's configuration that have a ``reshape``, by name.

    Args:
        config: the configuration as JSON, of either protocol.
    """
    batched = int(config.get("max_batch_size", 0)) > 0
    entries = [*config.get("input", []), *config.get("output", [])]
    return {
        str(entry["name"]): Reshape(
            wire=tuple(int(n) for n in entry.get("dims", [])),
            model=tuple(int(n) for n in entry["reshape"].get("shape", [])),
            batched=batched,
        )
        for entry in entries
        if entry.get("reshape") is not None and _resolvable(entry)
    }


def _resolvable(entry: Mapping[str, Any]) -> bool:
    """Both shapes have the same number of dynamic axes, so that each can be assigned to the other."""
    dims, shape = entry.get("dims", []), entry["reshape"].get("shape", [])
    return [int(n) for n in dims].count(-1) == [int(n) for n in shape].count(-1)
