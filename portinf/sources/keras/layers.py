"""The layers of a Keras model: their types, what they take and give, and the same weights computed with in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from portinf.core.batch import Array, Arrays
from portinf.core.errors import CannotError, first_line
from portinf.core.optional import require
from portinf.sources.layers import Recorder

__all__ = ["dtypes_of", "infer_double", "layers_of", "trace"]


def layers_of(model: Any) -> list[Any]:
    """Return all layers inside a model, those of nested models and wrappers too."""
    return list(model._flatten_layers(include_self=False, recursive=True))


def dtypes_of(model: Any) -> dict[str, int]:
    """Return the number of float weights by type, and of layers that compute in half precision by ``computing in TYPE``."""
    names = [str(getattr(weight.dtype, "name", weight.dtype)) for weight in model.weights]
    names += [
        f"computing in {layer.compute_dtype}" for layer in layers_of(model) if layer.compute_dtype in ("float16", "bfloat16")
    ]
    floats = [name for name in names if "float" in name]
    return {name: floats.count(name) for name in dict.fromkeys(floats)}


def infer_double(model: Any, infer: Callable[[Mapping[str, Array]], Arrays], inputs: Mapping[str, Array]) -> Arrays:
    """Answer one request with every layer computing in float64 on the weights as they are.

    Args:
        model: of Keras 3.
        infer: runs it.
        inputs: arrays by name.

    Raises:
        CannotError: a model of Keras 2, or one that fails or answers in another type.
    """
    keras = require("keras", "tensorflow")
    if not isinstance(model, keras.Model):
        raise CannotError("a model of Keras 2 (tf_keras) has no fp64 reference here; save it for Keras 3")
    with _double(keras, model):
        try:
            outputs = infer(inputs)
        except Exception as error:
            raise CannotError(f"the model does not run in float64: {type(error).__name__}: {first_line(error)}") from error
    narrow = [name for name, array in outputs.items() if str(array.dtype) in ("float32", "float16", "bfloat16")]
    if narrow:
        raise CannotError(
            f"output '{narrow[0]}' is {outputs[narrow[0]].dtype} although every layer computes in float64: no fp64 reference"
        )
    return outputs


@contextmanager
def _double(keras: Any, model: Any) -> Iterator[None]:
    """Let every layer compute in float64; stored weights keep their type and are widened when read."""
    policy = keras.DTypePolicy("float64")
    policy._variable_dtype = "float32"  # differs from the computing type: then weights are widened
    layers = [model, *layers_of(model)]
    before = [layer._dtype_policy for layer in layers]
    floatx = keras.config.floatx()
    keras.config.set_floatx("float64")
    for layer in layers:
        if not isinstance(layer, keras.layers.InputLayer):
            layer._dtype_policy = policy
    try:
        yield
    finally:
        keras.config.set_floatx(floatx)
        for layer, old in zip(layers, before, strict=True):
            layer._dtype_policy = old


def trace(tf: Any, model: Any, call: Callable[[Mapping[str, Any]], Any], tensors: Mapping[str, Any]) -> Recorder:
    """Run the model and record the layers; what runs inside a compiled loop (a recurrent layer's cell) has no values.

    Args:
        tf: TensorFlow.
        model: the model.
        call: runs it on tensors by name.
        tensors: its inputs.
    """
    recorder = Recorder(
        lambda value: tf.is_tensor(value) and hasattr(value, "numpy"), lambda tensor: tensor.numpy().copy(), tensors
    )
    layers = list({id(layer): layer for layer in layers_of(model)}.values())
    names = _names(layers)
    for layer in layers:
        object.__setattr__(layer, "call", _recorded(tf, recorder, names[id(layer)], layer))
    try:
        call(tensors)
    finally:
        for layer in layers:
            object.__delattr__(layer, "call")
    return recorder


def _names(layers: list[Any]) -> dict[int, str]:
    """Name layers as Keras does; of equal names in nested models by their path."""
    plain = [str(layer.name) for layer in layers]
    return {
        id(layer): str(getattr(layer, "path", "") or name) if plain.count(name) > 1 else name
        for layer, name in zip(layers, plain, strict=True)
    }


def _recorded(tf: Any, recorder: Recorder, name: str, layer: Any) -> Callable[..., Any]:
    inner = layer.call

    def call(*arguments: Any, **keywords: Any) -> Any:
        if not tf.executing_eagerly():
            return inner(*arguments, **keywords)
        recorder.enter(name, [*arguments, *keywords.values()])
        answer = inner(*arguments, **keywords)
        recorder.leave(name, type(layer).__name__, answer)
        return answer

    return call
