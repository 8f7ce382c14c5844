"""What the layers of a source take and give while it answers one request: records in the order in which the layers finish."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from portinf.core.batch import Array, Arrays

__all__ = ["Layer", "Recorder"]


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One call of one layer.

    Attributes:
        name: of the layer in its model, for example ``encoder.layers.0.linear1``.
        kind: its class.
        inputs: names of the tensors that it takes: of the layer that gave them, of the model's input, or of its own.
        outputs: names of the tensors that it gives: the layer's, with ``@1`` at its second call and ``:1`` for its second output.
        parent: first output of the layer that it runs inside of; empty for the model itself.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parent: str = ""


class Recorder:
    """Names tensors by the layer that gave them, and keeps copies, because layers may write into what they take.

    Args:
        is_tensor: says what is a tensor with values.
        array: copies one.
        inputs: the model's own, by name.
    """

    def __init__(self, is_tensor: Callable[[Any], bool], array: Callable[[Any], Array], inputs: Mapping[str, Any]) -> None:
        self._is_tensor, self._array = is_tensor, array
        self._alive = list(inputs.values())  # an id is unique only while its object lives
        self._names = {id(tensor): name for name, tensor in inputs.items()}
        self._calls: dict[str, int] = {}
        self._open: list[tuple[str, list[str]]] = []
        self.layers: list[Layer] = []
        self.arrays: Arrays = {}

    def enter(self, name: str, values: Any) -> None:
        """Record what a layer is about to take."""
        call = self._calls.get(name, 0)
        self._calls[name] = call + 1
        label = f"{name}@{call}" if call else name
        taken = []
        for number, tensor in enumerate(self._tensors(values)):
            if id(tensor) not in self._names:
                self._keep(f"{label}<{number}", tensor)
            taken.append(self._names[id(tensor)])
        self._open.append((label, taken))

    def leave(self, name: str, kind: str, values: Any) -> None:
        """Record what the layer entered last has given."""
        label, taken = self._open.pop()
        parent = self._open[-1][0] if self._open else ""
        given = []
        for number, tensor in enumerate(self._tensors(values)):
            given.append(f"{label}:{number}" if number else label)
            self._keep(given[-1], tensor)
        self.layers.append(Layer(name=name, kind=kind, inputs=tuple(taken), outputs=tuple(given), parent=parent))

    def _keep(self, name: str, tensor: Any) -> None:
        self._alive.append(tensor)
        self._names[id(tensor)] = name
        self.arrays[name] = self._array(tensor)

    def _tensors(self, value: Any) -> Iterator[Any]:
        if self._is_tensor(value):
            yield value
        elif isinstance(value, Mapping):
            for item in value.values():
                yield from self._tensors(item)
        elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
            for item in value:
                yield from self._tensors(item)
