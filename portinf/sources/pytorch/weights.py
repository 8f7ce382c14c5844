"""Files of torch.save and safetensors: a state_dict put into a module, or a whole pickled module."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from portinf.core.errors import CannotError, MissingPackageError, PermissionNeededError, UnreadableError, first_line
from portinf.core.optional import require
from portinf.sources.pytorch.archive import check_sums

__all__ = ["load_module", "load_weights"]

PREFIXES = ("module.", "model.", "net.", "network.", "_orig_mod.", "ema_model.")
KEYS = ("state_dict", "model_state_dict", "model", "network", "net", "weights")


def load_module(path: Path, allow_pickle: bool) -> Any:
    """Return the module that ``torch.save(model, path)`` pickled.

    Raises:
        PermissionNeededError: unpickling is not allowed.
        CannotError: the file holds weights, or something else than a module.
        UnreadableError: damaged.
    """
    torch = require("torch", "torch")
    loaded = _unpickled(torch, path, allow_pickle) if allow_pickle else _safe(torch, path, "a pickled model")
    if isinstance(loaded, torch.jit.ScriptModule):
        raise CannotError(f"{path}: a pickled TorchScript module: save it with torch.jit.save instead")
    if isinstance(loaded, torch.nn.Module):
        return loaded
    if _state_dict(torch, loaded) is not None:
        raise CannotError(
            f"{path}: weights saved by torch.save; name the factory of the model (file.py:factory) and give this file as --weights"
        )
    raise CannotError(f"{path}: a pickled {type(loaded).__name__}; expected a torch.nn.Module")


def load_weights(module: Any, path: Path, allow_pickle: bool) -> list[str]:
    """Load weights into a module, all of them or none, and return what the user should know.

    Raises:
        UnreadableError: missing or damaged.
        PermissionNeededError: the file holds more than weights.
        CannotError: they do not fit.
    """
    torch = require("torch", "torch")
    loaded = _loaded(torch, path, allow_pickle)
    state = _state_dict(torch, loaded)
    if state is None:
        raise CannotError(f"{path}: expected a state_dict, or a checkpoint that holds one; found {type(loaded).__name__}")
    requested = set(module.state_dict())
    state, notes = _fitting(state, requested)
    if requested != set(state):
        missing, extra = sorted(requested - set(state)), sorted(set(state) - requested)
        raise CannotError(
            f"{path}: the weights do not fit the model: {len(missing)} missing{_some(missing)}, {len(extra)} unknown{_some(extra)}"
        )
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()]
        raise CannotError(f"{path}: the weights do not fit the model: {lines[-1]}") from error
    return notes


def _loaded(torch: Any, path: Path, allow_pickle: bool) -> Any:
    if not path.is_file():
        raise UnreadableError(f"{path}: no such file; expected weights saved by torch.save(model.state_dict(), ...)")
    with path.open("rb") as stream:
        head = stream.read(9)
    if head[8:9] == b"{":
        return _safetensors(path)
    return _unpickled(torch, path, allow_pickle) if allow_pickle else _safe(torch, path, "Python objects besides weights")


def _safetensors(path: Path) -> Any:
    load_file = require("safetensors.torch", "torch").load_file
    try:
        return load_file(str(path), device="cpu")
    except Exception as error:
        raise UnreadableError(f"{path}: a damaged safetensors file: {first_line(error)}") from error


def _safe(torch: Any, path: Path, held: str) -> Any:
    """Load without running code, or say that this is not possible."""
    check_sums(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Weights only load failed" in str(error):
            raise PermissionNeededError(
                f"{path}: holds {held}; loading it runs code from the file: "
                "allow it with --allow-pickle if you trust it, or save model.state_dict() alone"
            ) from error
        raise UnreadableError(f"{path}: damaged, or not saved by torch.save: {first_line(error)}") from error
    except Exception as error:
        why = f"{type(error).__name__}: {first_line(error)}"
        raise UnreadableError(f"{path}: damaged, or not saved by torch.save ({why})") from error


def _unpickled(torch: Any, path: Path, allow_pickle: bool) -> Any:
    """Load with the user's permission; classes are looked for beside the file and in the current folder too."""
    assert allow_pickle
    check_sums(path)
    sys.path.extend([str(path.resolve().parent), str(Path.cwd())])
    try:
        return torch.load(path, map_location="cpu", weights_only=False)
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"{path}: the pickle needs the Python module '{error.name}': put its file beside this one, or install its package"
        ) from error
    except AttributeError as error:
        raise CannotError(
            f"{path}: the pickle names a class that is not there ({first_line(error)}): "
            "name the factory of the model (file.py:factory) instead"
        ) from error
    except Exception as error:
        why = f"{type(error).__name__}: {first_line(error)}"
        raise UnreadableError(f"{path}: damaged, or not saved by torch.save ({why})") from error


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
    for key in KEYS:
        if isinstance(loaded.get(key), Mapping | torch.nn.Module):
            return _state_dict(torch, loaded[key])
    return None


def _fitting(state: Mapping[str, Any], requested: set[str]) -> tuple[Mapping[str, Any], list[str]]:
    """Strip the prefixes that wrappers add, where that makes all names fit, and say so."""
    if set(state) == requested:
        return state, []
    found = {}
    for prefix in [first + second for first in PREFIXES for second in ("", *PREFIXES)]:
        inside = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        if set(inside) == requested:
            found[prefix] = inside
    if len(found) != 1:
        return state, []
    [(prefix, inside)] = found.items()
    left = len(state) - len(inside)
    rest = f"; {left} other tensors of the file are not the model's" if left else ""
    return inside, [f"the weights' names lost the prefix '{prefix}' to fit the model{rest}"]
