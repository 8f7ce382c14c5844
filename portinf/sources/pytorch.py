"""PyTorch: an ``nn.Module`` in evaluation mode, run eagerly in fp32 on the CPU."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from portinf.errors import CannotError, PermissionNeededError, UnreadableError, first_line
from portinf.lazy import require
from portinf.samples import Array, Arrays
from portinf.sources.model import Declared, SourceOptions, flatten_outputs

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
            _load_weights(self._torch, module, options.weights, options.allow_pickle)
        if any(part.training for part in module.modules()):
            self.notes.append("the module was in training mode: put into evaluation mode")
        module.eval()
        for parameter in module.parameters():
            parameter.requires_grad_(False)
        self.inputs: Sequence[Declared] = _declared(module)

    def infer(self, inputs: Mapping[str, Array]) -> Arrays:
        """Run the module; arrays become tensors of the same type."""
        torch = self._torch
        tensors = {name: torch.from_numpy(array.copy()) for name, array in inputs.items()}
        with torch.no_grad():
            answer = self.model(**tensors)
        leaves = flatten_outputs(answer, is_leaf=torch.Tensor)
        return {name: leaf.detach().cpu().numpy() for name, leaf in leaves.items()}


def _declared(module: Any) -> list[Declared]:
    parameters = inspect.signature(module.forward).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [Declared(name=p.name) for p in parameters if p.kind in kinds]


def _load_weights(torch: Any, module: Any, path: Path, allow_pickle: bool) -> None:
    if not path.is_file():
        raise UnreadableError(f"{path}: no such file; expected weights saved by torch.save(model.state_dict(), ...)")
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=not allow_pickle)
    except pickle.UnpicklingError as error:
        if "Weights only load failed" in str(error):
            raise PermissionNeededError(
                f"{path}: holds Python objects besides weights; loading them runs code from the file: "
                "allow it with --allow-pickle if you trust it, or save model.state_dict() alone"
            ) from error
        raise UnreadableError(f"{path}: damaged, or not weights saved by torch.save: {first_line(error)}") from error
    except Exception as error:
        why = f"{type(error).__name__}: {first_line(error)}"
        raise UnreadableError(f"{path}: damaged, or not weights saved by torch.save ({why})") from error
    state = _state_dict(torch, loaded)
    if state is None:
        raise CannotError(f"{path}: expected a state_dict, or a checkpoint that holds one; found {type(loaded).__name__}")
    wanted, found = set(module.state_dict()), set(state)
    if wanted != found:
        missing, extra = sorted(wanted - found), sorted(found - wanted)
        raise CannotError(
            f"{path}: the weights do not fit the model: {len(missing)} missing{_some(missing)}, {len(extra)} unknown{_some(extra)}"
        )
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()]
        raise CannotError(f"{path}: the weights do not fit the model: {lines[-1]}") from error


def _some(names: Sequence[str]) -> str:
    return f" ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" if names else ""


def _state_dict(torch: Any, loaded: Any) -> Mapping[str, Any] | None:
    """Find the weights: the object itself, or under the keys that training frameworks use."""
    if isinstance(loaded, torch.nn.Module):
        return dict(loaded.state_dict())
    if not isinstance(loaded, Mapping):
        return None
    if loaded and all(isinstance(value, torch.Tensor) for value in loaded.values()):
        return loaded
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(loaded.get(key), Mapping):
            return _state_dict(torch, loaded[key])
    return None
