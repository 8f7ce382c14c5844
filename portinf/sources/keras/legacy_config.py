"""Rewrites the configuration of an older Keras HDF5 file so that Keras 3 builds the very same model from it."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from portinf.core.errors import CannotError
from portinf.core.optional import require
from portinf.sources.keras.legacy_nodes import modern_nodes
from portinf.sources.keras.legacy_objects import PREFIX, operation

__all__ = ["check_axes", "modernised", "needs_code", "with_operations"]

# Arguments of Keras 2 that Keras 3 does not have: without effect on the answers at these values (ANY: at every value).
ANY = object()
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "time_major": (False,),
    "groups": (1,),
    "renorm": (False,),
    "fused": (ANY,),
    "virtual_batch_size": (None,),
    "adjustment": (None,),
    "softmax_robust_masking": (False,),
    "query_shape": (ANY,),
    "key_shape": (ANY,),
    "value_shape": (ANY,),
    "input_dtype": (ANY,),
    "implementation": (ANY,),
    "experimental_run_tf_function": (ANY,),
}
TRAINING = ("_initializer", "_regularizer", "_constraint")  # endings of arguments that matter while training only
GONE = ("CuDNNLSTM", "CuDNNGRU", "LocallyConnected1D", "LocallyConnected2D", "RandomFourierFeatures")
# Functions of TensorFlow that a file may name: those that compute. The others reach files, processes or Python.
COMPUTING = ("math.", "nn.", "linalg.", "signal.", "__operators__.", "image.", "strings.", "bitwise.")
PLAIN = (
    "abs acos add argmax argmin argsort boolean_mask broadcast_to cast clip_by_value concat convert_to_tensor cos cumsum "
    "divide einsum equal exp expand_dims eye fill gather gather_nd greater greater_equal identity less less_equal "
    "logical_and logical_not logical_or matmul maximum minimum multiply negative norm not_equal one_hot ones ones_like "
    "pad pow range rank realdiv reduce_all reduce_any reduce_logsumexp reduce_max reduce_mean reduce_min reduce_prod "
    "reduce_sum repeat reshape reverse roll round scatter_nd searchsorted sequence_mask shape sigmoid sign sin size slice "
    "sort split sqrt square squeeze stack stop_gradient strided_slice subtract tan tanh tensordot tile transpose truediv "
    "unstack where zeros zeros_like"
)


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from _dicts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _dicts(item)


def needs_code(config: Mapping[str, Any]) -> list[str]:
    """Name what in a configuration is code: Lambda layers, and functions of TensorFlow that do more than compute."""
    found: dict[str, None] = {}
    for item in _dicts(config):
        kind = item.get("class_name")
        if kind in ("Lambda", "__lambda__"):
            found["Lambda"] = None
        settings = item.get("config")
        function = settings.get("function") if isinstance(settings, dict) else None
        if kind in ("TFOpLambda", "ClassMethod", "InstanceMethod", "InstanceProperty") and not _computes(str(function)):
            found[f"tf.{function}"] = None
    return list(found)


def _computes(function: str) -> bool:
    hidden = any(part.startswith("_") for part in function.split(".") if part != "__operators__")
    return not hidden and (function.startswith(COMPUTING) or function in PLAIN.split())


def modernised(path: Path, config: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the configuration for Keras 3, and what was done, one line each.

    Args:
        path: for messages.
        config: of a model that Keras 2 or before wrote.

    Raises:
        CannotError: a layer is gone.
    """
    keras = require("keras", "tensorflow")
    changed = copy.deepcopy(dict(config))
    done: dict[str, None] = {}
    for layer in list(_layers(changed)):
        kind, settings = layer["class_name"], layer["config"]
        if kind in GONE:
            raise CannotError(
                f"{path}: Keras 3 has no layer {kind}: pip install --no-deps 'tf_keras==2.21.*' to read files of Keras 2"
            )
        if kind == "GRU":
            settings.setdefault("reset_after", False)
        for name in _dropped(getattr(keras.layers, kind, None), settings):
            del settings[name]
            if not name.endswith(TRAINING):
                done[f"argument '{name}' left out"] = None
        for name in ("activation", "recurrent_activation"):
            if settings.get(name) == "hard_sigmoid":
                settings[name] = "Keras2HardSigmoid"
                done["hard_sigmoid as in Keras 2, clip(0.2 x + 0.5, 0, 1)"] = None
        if kind == "Activation" and settings.get("activation") == "Keras2HardSigmoid":
            done["hard_sigmoid as in Keras 2, clip(0.2 x + 0.5, 0, 1)"] = None
        policy = settings.get("dtype")
        if isinstance(policy, dict) and policy.get("class_name") == "Policy":
            settings["dtype"] = policy["config"]["name"]
    modern_nodes(changed)
    return changed, list(done)


def _layers(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every layer's own dict, those inside wrappers and nested models too."""
    for item in _dicts(config):
        if isinstance(item.get("class_name"), str) and isinstance(item.get("config"), dict):
            yield item


def _dropped(kind: Any, settings: Mapping[str, Any]) -> list[str]:
    """Return the arguments that the class does not take and that are without effect."""
    if not isinstance(kind, type):
        return []
    known = _arguments(kind)
    found = []
    for name, value in settings.items():
        neutral = NEUTRAL.get(name, ())
        if name not in known and (name.endswith(TRAINING) or ANY in neutral or any(value is n or value == n for n in neutral)):
            found.append(name)
    return found


def _arguments(kind: type) -> set[str]:
    """Return the arguments that a class names itself, or passes on to a base that does."""
    names: set[str] = set()
    for base in kind.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
        names |= {parameter.name for parameter in parameters}
        if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
            break
    return names


def with_operations(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration of Keras 3 in which operations (``NotEqual``, ``Multiply`` of two tensors) are distinguished from layers.

    An HDF5 file keeps the class name alone, and `keras.ops` and `keras.layers` share some: a layer takes one argument.
    """
    keras = require("keras", "tensorflow")
    changed = copy.deepcopy(dict(config))
    for layer in _layers(changed):
        nodes = layer.get("inbound_nodes")
        if not nodes or not isinstance(nodes[0], dict):
            continue
        several = len(nodes[0].get("args", ())) > 1
        known = hasattr(keras.layers, layer["class_name"]) or hasattr(keras, layer["class_name"])
        if (not known or (several and layer["class_name"] in MERGING)) and operation(layer["class_name"]) is not None:
            layer["class_name"] = f"{PREFIX}{layer['class_name']}"
    return changed


MERGING = ("Add", "Average", "Concatenate", "Dot", "Maximum", "Minimum", "Multiply", "Subtract")


def check_axes(path: Path, config: Mapping[str, Any]) -> None:
    """Refuse what Keras 3 forgets while it reads HDF5: an ``axis`` of several numbers.

    Raises:
        CannotError: a layer has one.
    """
    for layer in _layers(dict(config)):
        axis = layer["config"].get("axis")
        if isinstance(axis, list) and len(axis) > 1:
            name = layer["config"].get("name", layer["class_name"])
            raise CannotError(
                f"{path}: layer '{name}' has the axes {axis}, which Keras 3 loses when it reads HDF5: save the model as .keras"
            )
