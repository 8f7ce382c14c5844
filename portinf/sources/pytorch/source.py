"""PyTorch: an ``nn.Module`` in evaluation mode, run eagerly in fp32 on the CPU."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from portinf.core.batch import Array, Arrays
from portinf.core.errors import CannotError, first_line
from portinf.core.optional import require
from portinf.sources.layers import Recorder
from portinf.sources.model import Declared, SourceOptions, flatten_outputs
from portinf.sources.pytorch import dense_knn
from portinf.sources.pytorch.settling import settle
from portinf.sources.pytorch.weights import load_weights
from portinf.sources.state.snapshot import State
from portinf.sources.state.torch_access import TorchStateful

__all__ = ["PyTorchSource"]


class PyTorchSource:
    """One module.

    Args:
        module: the model.
        options: weights and permissions.
    """

    framework = "pytorch"

    def __init__(self, module: Any, options: SourceOptions) -> None:
        self._torch = require("torch", "torch")
        self.model = module
        self.notes: list[str] = []
        if options.weights is not None:
            self.notes += load_weights(module, options.weights, options.allow_pickle)
        if any(part.training for part in module.modules()):
            self.notes.append("the module was in training mode: put into evaluation mode")
        module.eval()
        self.notes += settle(module)
        for parameter in self._made(module.parameters()):
            parameter.requires_grad_(False)
        self.inputs: Sequence[Declared] = _declared(module)
        self.stateful = TorchStateful(module, self.call)
        self._double: Any = None
        self._double_state: State | None = None

    @property
    def dtypes(self) -> dict[str, int]:
        """Number of float parameters and buffers by type."""
        counts: dict[str, int] = {}
        for tensor in self._made((*self.model.parameters(), *self.model.buffers())):
            if tensor.is_floating_point():
                name = str(tensor.dtype).removeprefix("torch.")
                counts[name] = counts.get(name, 0) + 1
        return counts

    def _made(self, tensors: Iterable[Any]) -> list[Any]:
        """Leave out the tensors that a lazy module makes in its first call."""
        return [tensor for tensor in tensors if not self._torch.nn.parameter.is_lazy(tensor)]

    def call(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """Run the module on tensors by name; outputs by name."""
        with self._torch.no_grad():
            answer = self.model(**tensors)
        dense_knn.tell(self.notes)
        return flatten_outputs(answer, is_leaf=self._torch.Tensor)

    def infer(self, inputs: Mapping[str, Array]) -> Arrays:
        """Run the module; arrays become tensors of the same type."""
        leaves = self.call({name: self._torch.from_numpy(array.copy()) for name, array in inputs.items()})
        return {name: leaf.detach().cpu().numpy() for name, leaf in leaves.items()}

    def infer_double(self, inputs: Mapping[str, Array]) -> Arrays:
        """Run a copy of the module in float64, with float64 inputs and constants.

        Raises:
            CannotError: it cannot be copied, fails in float64, or computes something in a narrower type.
        """
        torch = self._torch
        narrow: dict[str, None] = {}
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            if self._double_state is None:
                self._double = copy.deepcopy(self.model).double()
                self._double_state = State([self._double], self.stateful.access)
            tensors = {name: _widened(torch.from_numpy(array.copy())) for name, array in inputs.items()}
            with torch.no_grad(), _watch(torch, narrow):
                answer = self._double(**tensors)
        except Exception as error:
            raise CannotError(f"the module does not run in float64: {type(error).__name__}: {first_line(error)}") from error
        finally:
            torch.set_default_dtype(before)
            if self._double_state is not None:
                self._double_state.restore()
        if narrow:
            raise CannotError(
                f"the module computes in a narrower type than float64 inside, at {', '.join(list(narrow)[:3])}: no fp64 reference"
            )
        leaves = flatten_outputs(answer, is_leaf=torch.Tensor)
        return {name: leaf.detach().cpu().numpy() for name, leaf in leaves.items()}

    def trace(self, inputs: Mapping[str, Array]) -> Recorder:
        """Run the module and record what its sub-modules take and give."""
        torch = self._torch
        tensors = {name: torch.from_numpy(array.copy()) for name, array in inputs.items()}
        recorder = Recorder(
            lambda value: isinstance(value, torch.Tensor), lambda tensor: tensor.detach().cpu().numpy().copy(), tensors
        )
        hooks: list[Any] = []
        try:
            for name, part in self.model.named_modules():
                if name:
                    hooks += _hooked(recorder, name, part)
            with torch.no_grad():
                self.model(**tensors)
        finally:
            for hook in hooks:
                hook.remove()
        return recorder


def _hooked(recorder: Recorder, name: str, part: Any) -> list[Any]:
    def enter(module: Any, arguments: Any, keywords: Any) -> None:
        recorder.enter(name, [*arguments, *keywords.values()])

    def leave(module: Any, arguments: Any, output: Any) -> None:
        recorder.leave(name, type(module).__name__, output)

    return [part.register_forward_pre_hook(enter, with_kwargs=True), part.register_forward_hook(leave)]


def _widened(tensor: Any) -> Any:
    return tensor.double() if tensor.is_floating_point() else tensor


def _watch(torch: Any, narrow: dict[str, None]) -> Any:
    """Return a context that notes every operation whose answer is a float narrower than float64."""
    mode: Any = require("torch.utils._python_dispatch", "torch").TorchDispatchMode

    class Watch(mode):  # type: ignore[misc]
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            answer = function(*args, **(kwargs or {}))
            for value in answer if isinstance(answer, list | tuple) else (answer,):
                if isinstance(value, torch.Tensor) and value.is_floating_point() and value.dtype != torch.float64:
                    narrow[str(function)] = None
            return answer

    return Watch()


def _declared(module: Any) -> list[Declared]:
    parameters = inspect.signature(module.forward).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [Declared(name=p.name) for p in parameters if p.kind in kinds]
