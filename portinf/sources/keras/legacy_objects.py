"""What files of Keras 2 name and Keras 3 does not have: operations of TensorFlow as layers, and changed functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portinf.core.errors import CannotError
from portinf.core.optional import require

__all__ = ["PREFIX", "legacy_objects", "operation"]

PREFIX = "Keras3Operation"
OPERATIONS = ("numpy", "core", "math", "nn", "linalg", "image", "einops")


def legacy_objects(config: Any) -> dict[str, Any]:
    """Return custom objects by the names that a rewritten configuration uses; see `portinf.sources.keras.legacy_config`."""
    found: dict[str, Any] = {
        "Keras2HardSigmoid": _hard_sigmoid,
        "TFOpLambda": _operation_layer(),
        "SlicingOpLambda": _slicing_layer(),
        "ThresholdedReLU": _thresholded(),
    }
    for name in _class_names(config):
        if name.startswith(PREFIX):
            found[name] = operation(name[len(PREFIX) :])
    return found


def _class_names(value: Any) -> set[str]:
    names: set[str] = set()
    if isinstance(value, Mapping):
        names = {value["class_name"]} if isinstance(value.get("class_name"), str) else set()
        value = list(value.values())
    if isinstance(value, list):
        names = names.union(*[_class_names(item) for item in value])
    return names


def operation(name: str) -> Any:
    """Return the class of a Keras 3 operation by its name alone, or None."""
    keras = require("keras", "tensorflow")
    for module in OPERATIONS:
        found = getattr(getattr(keras.src.ops, module, None), name, None)
        if isinstance(found, type) and issubclass(found, keras.Operation):
            return found
    return None


def _hard_sigmoid(x: Any) -> Any:
    """As Keras 1 and 2 defined it; Keras 3 has relu6(x + 3) / 6."""
    ops = require("keras", "tensorflow").ops
    return ops.clip(0.2 * x + 0.5, 0.0, 1.0)


def _tf_function(name: str) -> Any:
    tf = require("tensorflow", "tensorflow")
    if name.startswith("__operators__."):
        operators = {"add": tf.add, "matmul": tf.matmul, "logical_and": tf.logical_and, "eq": tf.equal, "ne": tf.not_equal}
        found = operators.get(name.partition(".")[2])
    else:
        found = tf
        for part in name.split("."):
            found = getattr(found, part, None)
    if found is None:
        raise CannotError(f"uses tf.{name}, which TensorFlow {tf.__version__} does not have")
    return found


def _operation_layer() -> Any:
    keras = require("keras", "tensorflow")
    layer: Any = keras.layers.Layer

    class TFOpLambda(layer):  # type: ignore[misc]
        """Calls one function of TensorFlow."""

        def __init__(self, function: str, **settings: Any) -> None:
            super().__init__(**settings, autocast=False)
            self._function = _tf_function(function)

        def call(self, *arguments: Any, **keywords: Any) -> Any:
            return self._function(*arguments, **keywords)

    return TFOpLambda


def _slicing_layer() -> Any:
    keras = require("keras", "tensorflow")
    layer: Any = keras.layers.Layer

    class SlicingOpLambda(layer):  # type: ignore[misc]
        """Takes a slice."""

        def __init__(self, function: str, **settings: Any) -> None:
            super().__init__(**settings, autocast=False)

        def call(self, x: Any, slice_spec: Any) -> Any:
            return x[tuple(_slice(item) for item in slice_spec)] if isinstance(slice_spec, list) else x[_slice(slice_spec)]

    return SlicingOpLambda


def _slice(item: Any) -> Any:
    if isinstance(item, Mapping) and item.get("class_name") == "__ellipsis__":
        return Ellipsis
    if isinstance(item, Mapping):
        return slice(item.get("start"), item.get("stop"), item.get("step"))
    return item


def _thresholded() -> Any:
    keras = require("keras", "tensorflow")
    layer: Any = keras.layers.Layer

    class ThresholdedReLU(layer):  # type: ignore[misc]
        """x where x > theta, else 0; gone from Keras 3."""

        def __init__(self, theta: Any = 1.0, **settings: Any) -> None:
            super().__init__(**settings)
            self._theta = float(theta["value"] if isinstance(theta, Mapping) else theta)

        def call(self, x: Any) -> Any:
            return x * keras.ops.cast(x > self._theta, x.dtype)

    return ThresholdedReLU
