"""Watches a call of PyTorch: which operations draw random numbers, where in the user's code, and whether an answer depends on them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from portinf.core.optional import require
from portinf.sources.randomness.draws import Draw, frames_from, line_of

__all__ = ["TorchWatch", "watch_torch"]

# these take shape and type of a tensor, not its numbers
_SHAPES = frozenset(
    """zeros_like ones_like empty_like full_like rand_like randn_like randint_like new_zeros new_ones new_full new_empty
    new_empty_strided sym_size sym_numel sym_stride""".split()  # noqa: SIM905
)


class TorchWatch:
    """What one call drew.

    Args:
        layers: name and module by the identity of the module.

    Attributes:
        drawn: the draws in their order.
        starts: the state of the generator before each of them.
        read: numbers of the draws that left torch, in an answer or for Python to decide by: whatever follows may depend on them.
    """

    def __init__(self, layers: Mapping[int, tuple[str, Any]]) -> None:
        self._torch = require("torch", "torch")
        self._layers = layers
        self.read: set[int] = set()
        self.drawn: list[Draw] = []
        self.starts: list[bytes] = []
        # by storage: what keeps its address from being used again, and the numbers of the draws that it depends on
        self._taints: dict[Any, tuple[Any, set[int]]] = {}

    def of(self, tensor: Any) -> set[int]:
        """Return the numbers of the draws that a tensor depends on."""
        return self._taints.get(_key(tensor), (None, set()))[1]

    def run(self, function: Any, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        """Run one operation, and follow what it drew and what it was given."""
        torch, name = self._torch, function.overloadpacket.__name__
        generator = keywords.get("generator") or torch.default_generator
        before = generator.get_state()
        answer = function(*arguments, **keywords)
        draws = set(self.read)
        for tensor in () if name in _SHAPES else _tensors(torch, (arguments, keywords)):
            draws |= self.of(tensor)
        if not torch.equal(before, generator.get_state()):
            draws.add(len(self.drawn))
            self.drawn.append(self._draw(str(function.overloadpacket)))
            self.starts.append(before.numpy().tobytes())
        if draws:
            schema = function._schema.arguments
            given = {**{one.name: value for one, value in zip(schema, arguments, strict=False)}, **keywords}
            written = [given.get(one.name) for one in schema if one.alias_info is not None and one.alias_info.is_write]
            for tensor in _tensors(torch, (answer, written)):
                self._mark(tensor, draws)
            if isinstance(answer, bool | int | float):
                self.read |= draws
        return answer

    def _mark(self, tensor: Any, draws: set[int]) -> None:
        key = _key(tensor)
        if key not in self._taints:
            weak: Any = require("torch.multiprocessing.reductions", "torch").StorageWeakRef
            self._taints[key] = (weak(tensor.untyped_storage()) if isinstance(key, int) else tensor, set())
        self._taints[key][1].update(draws)

    def _draw(self, name: str) -> Draw:
        """Name an operation, the innermost layer whose code is being run, and the line of the user's file."""
        start: Any = sys._getframe(2)
        frame, found = start, ("", None)
        while frame is not None and not found[0]:
            found = self._layers.get(id(frame.f_locals.get("self")), found)
            frame = frame.f_back
        layer, module = found
        advice = f"keep layer '{layer}' in evaluation mode (model.eval())" if getattr(module, "training", False) else ""
        return Draw(what=name, layer=layer, place=line_of(frames_from(start)), advice=advice)


def _key(tensor: Any) -> Any:
    """Return the identity of a tensor's storage, of one without (a sparse one) that of the tensor."""
    try:
        return tensor.untyped_storage()._cdata
    except (NotImplementedError, RuntimeError):
        return "no storage", id(tensor)


def _tensors(torch: Any, value: Any) -> Iterator[Any]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(torch, item)
    elif isinstance(value, Mapping):
        yield from _tensors(torch, list(value.values()))


@contextmanager
def watch_torch(model: Any) -> Iterator[TorchWatch | None]:
    """Watch the operations of this thread; None where torch is not in use.

    Args:
        model: its modules give the layers their names; anything else has none.
    """
    torch: Any = sys.modules.get("torch")
    if torch is None:
        yield None
        return
    mode: Any = require("torch.utils._python_dispatch", "torch").TorchDispatchMode
    modules = model.named_modules() if isinstance(model, torch.nn.Module) else ()
    watch = TorchWatch({id(module): (name, module) for name, module in modules})

    class Watching(mode):  # type: ignore[misc]
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return watch.run(function, args, kwargs or {})

    with Watching(), _reading(torch, watch):
        yield watch


@contextmanager
def _reading(torch: Any, watch: TorchWatch) -> Iterator[None]:
    """Note which tensors leave torch by the methods that no operation stands for."""
    own = {name: torch.Tensor.__dict__.get(name) for name in ("numpy", "tolist", "__array__")}

    def noted(method: Any) -> Any:
        def call(tensor: Any, *arguments: Any, **keywords: Any) -> Any:
            watch.read |= watch.of(tensor)
            return method(tensor, *arguments, **keywords)

        return call

    for name in own:
        setattr(torch.Tensor, name, noted(getattr(torch.Tensor, name)))
    try:
        yield
    finally:
        for name, method in own.items():
            if method is None:
                delattr(torch.Tensor, name)
            else:
                setattr(torch.Tensor, name, method)
