"""Follows numbers through one call of a torch model: which state reaches the outputs, and what is written into which state."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Mapping
from typing import Any

from portinf.core.optional import require
from portinf.sources.state.judging import REQUEST

__all__ = ["Flow", "flow_mode"]

INPUTS = 1  # label of what the request holds
PLACES = 62  # bits of an int64 that are left for places; those beyond share the last one
# only shape and type of their tensor matter
SHAPE_ONLY = ("zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like", "randint_like") + (
    "new_zeros",
    "new_ones",
    "new_empty",
    "new_full",
    "new_empty_strided",
    "sym_size",
    "sym_numel",
    "sym_stride",
)
OVERWRITES = (
    "copy_",
    "fill_",
    "zero_",
    "normal_",
    "uniform_",
    "random_",
    "bernoulli_",
)  # every element of their first argument
NORMS = ("native_batch_norm", "_native_batch_norm_legit", "cudnn_batch_norm", "miopen_batch_norm", "_batch_norm_with_update")


class Flow:
    """What was found: labels of tensors by their storage, for those of the state element by element.

    Args:
        inputs: the request's tensors.
        state: tensors by the name of their place.
    """

    def __init__(self, inputs: Iterable[Any], state: Mapping[str, Iterable[Any]]) -> None:
        self._torch = require("torch", "torch")
        self._masks: dict[int, int] = {}
        self._shadows: dict[int, Any] = {}
        self._alive: list[Any] = []
        self._bits = {name: 1 << min(number + 1, PLACES) for number, name in enumerate(state)}
        self._places = {name: list(tensors) for name, tensors in state.items()}
        for name, tensors in self._places.items():
            for tensor in tensors:
                self._shadow(tensor).bitwise_or_(self._bits[name])
        for tensor in inputs:
            self._label(tensor, INPUTS)

    def _key(self, tensor: Any) -> int:
        return int(tensor.untyped_storage()._cdata)

    def _shadow(self, tensor: Any) -> Any:
        """Return one label for each element of the tensor's storage."""
        key = self._key(tensor)
        if key not in self._shadows:
            storage = tensor.untyped_storage()
            self._alive.append(storage)
            self._shadows[key] = self._torch.zeros(storage.nbytes() // tensor.element_size(), dtype=self._torch.int64)
        return self._shadows[key]

    def _label(self, tensor: Any, mask: int) -> None:
        key = self._key(tensor)
        if mask and not self._masks.get(key):
            self._alive.append(tensor.untyped_storage())  # else its address may be given to another one
        if mask:
            self._masks[key] = self._masks.get(key, 0) | mask

    def labels(self, tensor: Any) -> int:
        """Return the labels of all that a tensor was computed from."""
        key = self._key(tensor)
        if key not in self._shadows:
            return self._masks.get(key, 0)
        part = self._view(self._shadows[key], tensor)
        return functools.reduce(operator.or_, part.unique().tolist(), 0)

    def _view(self, shadow: Any, tensor: Any) -> Any:
        if tensor.untyped_storage().nbytes() != shadow.numel() * tensor.element_size():  # seen as another type
            return shadow
        return shadow.as_strided(tensor.size(), tensor.stride(), tensor.storage_offset())

    def write(self, tensor: Any, mask: int, *, whole: bool) -> None:
        """Record that a tensor was written: everywhere with other numbers if ``whole``, else somewhere."""
        key = self._key(tensor)
        if key not in self._shadows:
            if whole and key in self._masks and tensor.numel() * tensor.element_size() == tensor.untyped_storage().nbytes():
                self._masks[key] = mask
            else:
                self._label(tensor, mask)
            return
        part = self._view(self._shadows[key], tensor)
        if whole:
            part.fill_(mask)
        else:
            part.bitwise_or_(mask)

    def reached(self, tensors: Iterable[Any]) -> set[str]:
        """Return the places whose former numbers the tensors were computed from."""
        mask = functools.reduce(operator.or_, (self.labels(tensor) for tensor in tensors), 0)
        return {name for name, bit in self._bits.items() if mask & bit}

    def fed(self, tensor: Any) -> set[str]:
        """Return the places that a tensor was computed from, and REQUEST if it was from the request."""
        return self.reached([tensor]) | ({REQUEST} if self.labels(tensor) & INPUTS else set())


def flow_mode(flow: Flow) -> Any:
    """Return a context in which every operator of torch is recorded in ``flow``."""
    torch = require("torch", "torch")
    pytree = require("torch.utils._pytree", "torch")
    mode: Any = require("torch.utils._python_dispatch", "torch").TorchDispatchMode

    def tensors(value: Any) -> list[Any]:
        return [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, torch.Tensor)]

    class Follow(mode):  # type: ignore[misc]
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            name = function._schema.name.removeprefix("aten::")
            read = _read(name, args, kwargs)
            mask = functools.reduce(operator.or_, (flow.labels(tensor) for tensor in tensors(read)), 0)
            answer = function(*args, **kwargs)
            written = [
                tensor
                for number, argument in enumerate(function._schema.arguments)
                if argument.alias_info is not None and argument.alias_info.is_write
                for tensor in tensors(args[number] if number < len(args) else kwargs.get(argument.name))
            ]
            whole = name in OVERWRITES or "out" in kwargs
            for tensor in written:
                flow.write(tensor, mask, whole=whole)
            known = {id(tensor) for tensor in written}
            for tensor in tensors(answer):
                if id(tensor) not in known and not function.is_view:
                    flow.write(tensor, mask, whole=False)
            return answer

    return Follow()


def _read(name: str, args: Any, kwargs: Any) -> Any:
    """Return the arguments whose numbers the answer depends on."""
    if name in SHAPE_ONLY:
        return ()
    if name in OVERWRITES:
        return args[1:]
    if name in NORMS and len(args) > 5 and args[5] is True:  # while training: the running statistics are written only
        return args[:3]
    return args, kwargs
