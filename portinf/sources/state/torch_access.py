"""The state of torch's modules: parameters, buffers, attributes and sub-modules, of plain modules and of TorchScript's."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from portinf.core.batch import Array
from portinf.core.optional import require
from portinf.sources.state.access import Access, Draw, Leaf, Part
from portinf.sources.state.judging import Flows
from portinf.sources.state.snapshot import State
from portinf.sources.state.torch_flow import Flow, flow_mode

__all__ = ["TorchAccess", "TorchStateful"]

INTEGERS = {1: "uint8", 2: "int16", 4: "int32", 8: "int64"}  # type of the same width: NaN is equal to NaN bit for bit
OWN = ("cls_to_become",)  # of lazy modules, beside what every module has


class TorchLeaf:
    """Dense tensors on the CPU; see `portinf.sources.state.access.Leaf`."""

    writable = True
    noun = ""

    def __init__(self, torch: Any) -> None:
        self._torch = torch

    def copy(self, value: Any) -> Any:
        return value.detach().clone()

    def equal(self, value: Any, copy: Any) -> bool:
        torch = self._torch
        if value.shape != copy.shape or value.dtype != copy.dtype:
            return False
        return bool(torch.equal(value.detach(), copy) or torch.equal(self._bits(value), self._bits(copy)))

    def _bits(self, value: Any) -> Any:
        value = value.detach()
        value = self._torch.view_as_real(value.resolve_conj()) if value.is_complex() else value
        kind = INTEGERS.get(value.element_size()) if value.is_floating_point() else None
        return value if kind is None else value.contiguous().view(getattr(self._torch, kind))

    def put(self, value: Any, copy: Any) -> None:
        with self._torch.no_grad():
            if value.shape == copy.shape and value.dtype == copy.dtype:
                value.data.copy_(copy)
            else:
                value.data = copy.clone()

    def mark(self, value: Any) -> Any:
        version = None if value.is_inference() else value._version
        return version, value.data_ptr(), value.shape

    def size(self, value: Any) -> int:
        return int(value.numel() * value.element_size())

    def array(self, value: Any) -> np.ndarray[Any, Any]:
        value = value.detach()
        return np.array((value.float() if value.dtype == self._torch.bfloat16 else value).numpy())

    def fill(self, value: Any, array: np.ndarray[Any, Any]) -> Any:
        value.data.copy_(self._torch.from_numpy(array))
        return value


class TorchAccess(Access):
    """Looks into modules; `ready` is false while one of them waits for its first call to learn its sizes."""

    def __init__(self) -> None:
        super().__init__()
        self._torch = require("torch", "torch")
        self._leaf: Leaf = TorchLeaf(self._torch)
        self._own = {*vars(self._torch.nn.Module()), *OWN} - {"training"}
        self._plain = {self._torch.Tensor, self._torch.nn.Parameter, self._torch.nn.Buffer}

    def leaf(self, value: Any) -> Leaf | None:
        """See `portinf.sources.state.access.Access.leaf`; sparse tensors and those of other classes are held as objects."""
        torch = self._torch
        if type(value) in self._plain:
            dense = value.layout == torch.strided and value.device.type == "cpu" and not value.is_quantized
            return self._leaf if dense else None
        return super().leaf(value)

    def draw(self, value: Any) -> Draw | None:
        """See `portinf.sources.state.access.Access.draw`."""
        if isinstance(value, self._torch.Generator):
            return Draw(get=value.get_state, put=value.set_state)
        return super().draw(value)

    def parts(self, value: Any, path: str) -> list[Part] | None:
        """Return parameters, buffers, attributes and sub-modules of a module; none of one that is not made yet."""
        torch = self._torch
        if not isinstance(value, torch.nn.Module):
            return None
        inside, owner = f"{path}." if path else "", _class_of(value)
        if isinstance(value, torch.jit.ScriptModule) and hasattr(value, "_c"):
            return self._script(value, inside, owner)
        lazy = torch.nn.parameter.is_lazy
        if any(lazy(tensor) for tensor in (*value._parameters.values(), *value._buffers.values())):
            self.ready = False
            return [self._dict(value._modules, "layer", inside, owner)]
        attributes = Part(
            read=lambda: {name: item for name, item in vars(value).items() if name not in self._own},
            write=functools.partial(self._write, value),
            noun="attribute",
            path=inside,
            owner=owner,
        )
        hooks = [*value._forward_pre_hooks.values(), *value._forward_hooks.values()]
        return [
            Part(read=lambda: dict(enumerate(hooks)), write=None, noun="hook", path=inside, owner=owner),
            self._dict(value._parameters, "parameter", inside, owner),
            self._dict(value._buffers, "buffer", inside, owner),
            self._dict(value._modules, "layer", inside, owner),
            attributes,
        ]

    def numbers(self, value: Any) -> Iterable[float]:
        """Return the numbers in the code of a scripted, traced or exported module."""
        coded = isinstance(value, self._torch.jit.ScriptModule | self._torch.fx.GraphModule)
        return (
            [float(text) for text in re.findall(r"(?<![\w.])\d+(?:\.\d*)?", str(getattr(value, "code", "")))] if coded else ()
        )

    def general_draws(self) -> list[Draw]:
        """Return torch's own generator beside those of Python and numpy."""
        random = self._torch.random
        return [*super().general_draws(), Draw(get=random.get_rng_state, put=random.set_rng_state)]

    def _dict(self, entries: dict[str, Any], noun: str, inside: str, owner: str) -> Part:
        def write(held: dict[str, Any]) -> None:
            entries.clear()
            entries.update(held)

        return Part(read=lambda: dict(entries), write=write, noun=noun, path=inside, owner=owner)

    def _write(self, module: Any, held: dict[str, Any]) -> None:
        inside = vars(module)
        for name in [name for name in inside if name not in held and name not in self._own]:
            del inside[name]
        inside.update(held)

    def _script(self, module: Any, inside: str, owner: str) -> list[Part]:
        """Return the same of a scripted or traced module, whose attributes live outside of Python."""
        compiled = module._c
        buffers = {name for name, _ in module.named_buffers(recurse=False)}
        parameters = {name for name, _ in module.named_parameters(recurse=False)}
        names = {name for name in module._concrete_type.get_attributes() if not name.startswith("_is_full")}
        found = []
        for noun, some in (("parameter", parameters), ("buffer", buffers), ("attribute", names - buffers - parameters)):

            def read(some: frozenset[str] = frozenset(some)) -> dict[str, Any]:
                return {name: compiled.getattr(name) for name in sorted(some)}

            def write(held: dict[str, Any], read: Any = read) -> None:
                for name, value in read().items():
                    if held[name] is not value:
                        compiled.setattr(name, held[name])

            found.append(Part(read=read, write=write, noun=noun, path=inside, owner=owner))
        parts = dict(module.named_children())
        return [*found, Part(read=lambda: parts, write=None, noun="layer", path=inside, owner=owner)]


def _class_of(module: Any) -> str:
    return str(getattr(module, "original_name", "") or type(module).__name__)


class TorchStateful:
    """A source of torch as `portinf.sources.state.judging` takes it.

    Args:
        module: the model.
        call: runs it on tensors by name; outputs by name.
    """

    def __init__(self, module: Any, call: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
        self.access: Access = TorchAccess()
        self.roots: Sequence[Any] = [module]
        self.written: Sequence[Any] = ()
        self.changing = False
        self._call = call

    def prepare(self, inputs: Mapping[str, Array]) -> None:
        """Do nothing: a module that learns its sizes in its first call says so in `TorchAccess.ready`."""

    def flows(self, inputs: Mapping[str, Array], names: Sequence[str], now: Callable[[], State]) -> Flows:
        """See `portinf.sources.state.judging.Stateful.flows`."""
        torch = require("torch", "torch")
        before: dict[str, list[Any]] = {name: [] for name in names}
        for content in now().contents:
            if content.place.name in before and isinstance(content.value, torch.Tensor):
                before[content.place.name].append(content.value)
        tensors = {name: torch.from_numpy(array.copy()) for name, array in inputs.items()}
        flow = Flow(tensors.values(), before)
        with flow_mode(flow):
            answer = self._call(tensors)
        fed: dict[str, set[str]] = {name: set() for name in names}
        for content in now().contents:
            if content.place.name in fed and isinstance(content.value, torch.Tensor):
                fed[content.place.name] |= flow.fed(content.value)
        reached = flow.reached(answer.values())
        return Flows(reached=frozenset(reached), fed={name: frozenset(origins) for name, origins in fed.items()})
