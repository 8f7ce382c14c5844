"""A model of any framework into the numbers that it holds, by name: parameters, buffers, and tensors kept as plain attributes."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from portinf.core.batch import Array

__all__ = ["changed", "fingerprint", "takes_weights", "unsaved"]

SAMPLED = 4096  # numbers of one tensor that are looked at
LEFT_OUT = (str, bytes, int, type, ModuleType, np.random.RandomState, np.random.Generator)  # of an estimator's attributes
CLOSE = 1e-4  # of a tensor's largest number: what rounding and the order of sums may change in a model that is trained again


def fingerprint(model: Any) -> dict[str, Array]:
    """Return a sample of every tensor that a model holds: of large ones every n-th number.

    Args:
        model: a module of PyTorch, a model of Keras, a ``tf.Module`` or ``tf.function``, an estimator or a booster.
    """
    found: dict[str, Array] = {}
    for name, value in _held(model):
        plain = name if _is_torch(model) else re.sub(r"_\d+(?=[/.]|$)", "", name)  # Keras counts its layers over all models
        number = 1
        while (f"{plain} ({number})" if number > 1 else plain) in found:
            number += 1
        flat = value.reshape(-1)
        found[f"{plain} ({number})" if number > 1 else plain] = flat[:: max(1, math.ceil(flat.size / SAMPLED))].copy()
    return found


def changed(one: Mapping[str, Array], other: Mapping[str, Array]) -> list[str]:
    """Return the names under which both hold numbers, and other ones."""
    return [name for name, array in one.items() if name in other and not _alike(array, other[name])]


def unsaved(model: Any) -> list[str]:
    """Return the names of the tensors of a PyTorch module or a Keras model that a file of its weights does not hold."""
    if _is_torch(model):
        saved = set(model.state_dict())
        return [name for name, _ in _held(model) if name not in saved]
    return list(fingerprint(model))[len(model.weights) :] if hasattr(model, "_flatten_layers") else []


def takes_weights(model: Any) -> bool:
    """Whether a file of weights can be given for a model: a module of PyTorch, or a model of Keras."""
    return _is_torch(model) or hasattr(model, "_flatten_layers")


def _alike(one: Array, other: Array) -> bool:
    if one.shape != other.shape or one.dtype.kind not in "fc":
        return np.array_equal(one, other)
    largest = float(np.abs(one[np.isfinite(one)]).max(initial=0.0))
    return bool(np.allclose(one, other, rtol=0, atol=CLOSE * largest, equal_nan=True))


def _is_torch(model: Any) -> bool:
    torch: Any = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)


def _held(model: Any) -> Iterator[tuple[str, Array]]:
    """Yield names and numbers."""
    if _is_torch(model):
        yield from _of_torch(model)
        return
    tf: Any = sys.modules.get("tensorflow")
    if tf is None:
        yield from _of_objects(model, "", set())
    elif hasattr(model, "_flatten_layers"):
        yield from _of_keras(tf, model)
    elif isinstance(model, tf.Module):
        yield from _of_module(tf, model)
    elif hasattr(model, "python_function") or hasattr(model, "structured_input_signature"):
        yield from _of_function(tf, model)
    else:
        yield from _of_objects(model, "", set())


def _of_torch(model: Any) -> Iterator[tuple[str, Array]]:
    import torch

    tensors = [*model.named_parameters(), *model.named_buffers()]
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
            inner = [] if name.startswith("_") else [(f"{name}.{key}", item) for key, item in items]
            tensors += [(f"{path}.{key}".lstrip("."), item) for key, item in [(name, value), *inner] if _is_array(torch, item)]
    for name, tensor in tensors:
        if isinstance(tensor, np.ndarray):
            yield name, tensor
        elif not (
            torch.nn.parameter.is_lazy(tensor) or tensor.is_sparse or tensor.is_quantized or tensor.device.type == "meta"
        ):
            plain = tensor.detach().flatten()[:: max(1, math.ceil(tensor.numel() / SAMPLED))]
            yield name, (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()


def _is_array(torch: Any, value: Any) -> bool:
    return isinstance(value, torch.Tensor) or (isinstance(value, np.ndarray) and value.dtype.kind in "fciub")


def _of_keras(tf: Any, model: Any) -> Iterator[tuple[str, Array]]:
    """Weights without the states of seed generators, and arrays that layers of the user's own keep."""
    for weight in model.weights:
        yield str(getattr(weight, "path", weight.name)), weight.numpy()
    for layer in [model, *model._flatten_layers(include_self=False, recursive=True)]:
        for name, value in vars(layer).items():
            if not name.startswith("_") and (tf.is_tensor(value) or isinstance(value, np.ndarray)) and hasattr(value, "shape"):
                yield f"{layer.name}.{name}", np.asarray(value)


def _of_module(tf: Any, module: Any) -> Iterator[tuple[str, Array]]:
    def requested(value: Any) -> bool:
        return isinstance(value, tf.Variable | tf.Tensor | np.ndarray) and value.dtype != tf.resource

    for path, value in module._flatten(predicate=requested, with_path=True):
        yield ".".join(str(part) for part in path), np.asarray(value)
    if callable(module) and hasattr(module.__call__, "python_function"):
        yield from _of_function(tf, module.__call__)


def _of_function(tf: Any, function: Any) -> Iterator[tuple[str, Array]]:
    """What a function holds: constants of its graph, what it captured, and what its Python code closes over."""
    signature = getattr(function, "input_signature", None)
    concrete = function if hasattr(function, "structured_input_signature") else None
    if concrete is None and signature is not None:
        concrete = function.get_concrete_function()
    if concrete is not None:
        for operation in concrete.graph.get_operations():
            if operation.type == "Const" and operation.outputs[0].dtype.is_floating:
                yield operation.name, tf.make_ndarray(operation.get_attr("value"))
        for number, (outer, _) in enumerate(concrete.graph.captures):
            if outer.dtype != tf.resource:
                yield f"captured tensor {number}", np.asarray(outer)
        for variable in concrete.variables:
            yield variable.name, variable.numpy()
    plain: Any = getattr(function, "python_function", None)
    code, cells = getattr(plain, "__code__", None), getattr(plain, "__closure__", None) or ()
    if code is None:
        return
    seen = dict(zip(code.co_freevars, (cell.cell_contents for cell in cells if _is_set(cell)), strict=False))
    seen.update({name: plain.__globals__[name] for name in code.co_names if name in plain.__globals__})
    for name, value in seen.items():
        if isinstance(value, tf.Variable | tf.Tensor | np.ndarray):
            yield name, np.asarray(value)
        elif isinstance(value, tf.Module):
            yield from ((f"{name}.{inner}", array) for inner, array in _held(value))


def _is_set(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _of_objects(value: Any, path: str, seen: set[int]) -> Iterator[tuple[str, Array]]:
    """Go through an estimator's attributes: arrays, numbers, trees and boosters; generators, settings and times are left out."""
    if re.search(r"(fit|score)_time", path):
        return
    if isinstance(value, np.ndarray):
        if value.dtype.names:
            for name in value.dtype.names:
                yield f"{path}.{name}", value[name]
        elif value.dtype.kind in "fciub":
            yield path, value
        elif value.dtype.kind == "O":
            for number, item in enumerate(value.reshape(-1)[:SAMPLED]):
                yield from _of_objects(item, f"{path}[{number}]", seen)
        return
    if isinstance(value, float | np.floating):
        yield path, np.array([value], np.float64)
        return
    if value is None or isinstance(value, LEFT_OUT) or id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _of_objects(item, f"{path}[{number}]", seen)
        return
    for key, item in _attributes(value).items():
        yield from _of_objects(item, f"{path}.{key}".lstrip("."), seen)


def _attributes(value: Any) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return {str(key): item for key, item in value.items()}
    if type(value).__name__ == "Booster":
        text = bytes(value.save_raw("ubj")) if hasattr(value, "save_raw") else value.model_to_string().encode()
        return {"model": np.frombuffer(text, np.uint8)}
    state = getattr(value, "__dict__", None)
    if state is None and not callable(value):
        try:
            state = value.__getstate__()
        except Exception:  # noqa: BLE001 (whatever it is, it does not show its state)
            return {}
    return state if isinstance(state, Mapping) else {"state": state} if isinstance(state, tuple) else {}
