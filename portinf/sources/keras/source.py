"""Keras: a ``.keras`` file, and any Keras model: sequential, functional or subclassed, of Keras 3 or of tf_keras."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from portinf.core.batch import Array, Arrays
from portinf.core.errors import CannotError, MissingPackageError, PermissionNeededError, UnreadableError, first_line
from portinf.core.optional import available, require
from portinf.sources.keras.layers import dtypes_of, infer_double, layers_of, trace
from portinf.sources.layers import Recorder
from portinf.sources.model import Declared, SourceOptions, flatten_outputs
from portinf.sources.randomness.keras import forced_training, has_own_code, seed_states
from portinf.sources.state.tensorflow_access import TensorFlowStateful
from portinf.sources.tensorflow.source import TensorSource, parameters

__all__ = ["KerasSource", "lambda_refused", "load_keras"]


def lambda_refused(path: Path) -> PermissionNeededError:
    """Return the refusal of code from a file."""
    return PermissionNeededError(
        f"{path}: holds a Lambda layer; loading it runs code from the file: allow it with --allow-code if you trust it"
    )


def _of_keras_2(path: Path) -> str:
    """Return the version of a ``.keras`` file that Keras 2 wrote and that Keras 3 may read otherwise; else nothing."""
    try:
        with zipfile.ZipFile(path) as archive:
            version = str(json.loads(archive.read("metadata.json"))["keras_version"])
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise UnreadableError(f"{path}: a damaged .keras file: {first_line(error)}") from error
    return version if version.split(".")[0] in ("1", "2") else ""


def _known_layers(path: Path) -> None:
    """Import HGQ2 where the file has its layers: that makes them known to Keras."""
    with zipfile.ZipFile(path) as archive:
        if "config.json" in archive.namelist() and b'"module": "hgq.' in archive.read("config.json"):
            require("hgq", "hgq")


def _load_keras_2(path: Path, version: str, *, allow_code: bool) -> Any:
    if not available("tf_keras"):
        raise CannotError(
            f"{path}: a .keras file of Keras {version}, which Keras 3 does not read: save it as .h5 in Keras 2, "
            "or pip install --no-deps 'tf_keras==2.21.*'"
        )
    return require("tf_keras", "tensorflow").models.load_model(path, compile=False, safe_mode=not allow_code)


def load_keras(path: Path, *, allow_code: bool) -> Any:
    """Load a Keras file without compiling it.

    Raises:
        PermissionNeededError: it holds Lambda layers, and ``allow_code`` is false.
        UnreadableError: damaged, or written by something else.
        CannotError: it needs a class that is not known here, or Keras 2.
    """
    keras = require("keras", "tensorflow")
    older = _of_keras_2(path)
    _known_layers(path)
    try:
        if older:
            return _load_keras_2(path, older, allow_code=allow_code)
        return keras.saving.load_model(path, compile=False, safe_mode=not allow_code)
    except CannotError:
        raise
    except Exception as error:
        text = str(error)
        if "safe_mode" in text or "unsafe deserialization" in text.lower() or "lambda" in text.lower():
            raise lambda_refused(path) from error
        unknown = re.search(r"Could not locate (?:class|function) '([^']+)'", text)
        if unknown or ("custom" in text.lower() and "register" in text.lower()):
            named = f"'{unknown[1]}'" if unknown else "a custom layer"
            raise CannotError(
                f"{path}: uses {named}, which is not known here; write a factory that defines it "
                "(under @keras.saving.register_keras_serializable) and loads the file, and name it as file.py:factory"
            ) from error
        raise UnreadableError(f"{path}: Keras {keras.__version__} cannot load it: {first_line(error)}") from error


class KerasSource(TensorSource):
    """One Keras model.

    Args:
        model: the model, of Keras 3 or of tf_keras.
        options: weights.
        notes: of the loader.
    """

    framework = "keras"

    def __init__(self, model: Any, options: SourceOptions, notes: Sequence[str] = ()) -> None:
        super().__init__()
        keras = require("keras", "tensorflow")
        if keras.backend.backend() != "tensorflow":
            raise MissingPackageError("Keras runs on another backend: set KERAS_BACKEND=tensorflow")
        self._keras = keras
        self.model = model
        self.notes = list(notes)
        if options.weights is not None:
            _load_weights(model, options.weights)
        own = list(getattr(model, "inputs", None) or ())
        self._struct = _structure(model) if own else None
        self._parameters = [] if own else parameters(model.call)
        if own:
            self.inputs = _in_order(self._tf, self._struct, [_declared(tensor) for tensor in own])
        elif len(self._parameters) > 1:
            self.inputs = [Declared(name=name) for name in self._parameters]
        if not own:
            self.notes.append("the model declares no inputs: they are those of the samples")
        self._output_names = _output_names(model)
        self._seeds = seed_states(model)
        self.stateful = TensorFlowStateful([model], self.call)

    def call(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """Run the model on TensorFlow tensors by name, in evaluation mode; outputs by name in its order.

        While it is traced, what it assigns to its weights goes on as a value: a file has no assignments.
        """
        traced = self.stateful.changing and not self._tf.executing_eagerly()
        with self._keras.StatelessScope() if traced else nullcontext():
            leaves = flatten_outputs(self._answer(tensors), is_leaf=self._tf.Tensor)
        if all(name == f"output_{k}" for k, name in enumerate(leaves)) and len(self._output_names) == len(leaves):
            return dict(zip(self._output_names, leaves.values(), strict=True))
        return leaves

    @property
    def dtypes(self) -> dict[str, int]:
        """Number of float weights by type, and of layers that compute in another type than float32."""
        return dtypes_of(self.model)

    def infer_double(self, inputs: Mapping[str, Array]) -> Arrays:
        """Run the model in float64 with the same weights; see `portinf.sources.keras.layers.infer_double`."""
        return infer_double(self.model, self.infer, inputs)

    def trace(self, inputs: Mapping[str, Array]) -> Recorder:
        """Run the model and record what its layers take and give."""
        tensors = {name: self._tf.convert_to_tensor(array) for name, array in inputs.items()}
        return trace(self._tf, self.model, self.call, tensors)

    def random_reason(self, inputs: Mapping[str, Array]) -> str:
        """Say why the answers are random, or depend on which way the model is called; empty if neither."""
        tensors = {name: self._tf.convert_to_tensor(array) for name, array in inputs.items()}
        reason = forced_training(self.model, lambda training: self._answer(tensors, training))
        if not reason and (seed_states(self.model) != self._seeds or has_own_code(self.model)):
            reason = super().random_reason(inputs)
        return reason

    def _layers(self) -> Sequence[str]:
        return [str(layer.name) for layer in layers_of(self.model)]

    def _answer(self, tensors: Mapping[str, Any], training: bool | None = False) -> Any:
        if self._struct is not None:
            order = _leaf_names(self._tf, self._struct)
            packed = self._tf.nest.pack_sequence_as(self._struct, [tensors[name] for name in order])
            return self.model(packed, training=training)
        if len(self._parameters) > 1:
            return self.model(**tensors, training=training)
        if len(tensors) == 1:
            return self.model(next(iter(tensors.values())), training=training)
        return self.model(dict(tensors), training=training)


def _structure(model: Any) -> Any:
    """Return the inputs as the model wants them nested."""
    for name in ("_inputs_struct", "_nested_inputs"):
        if getattr(model, name, None) is not None:
            return getattr(model, name)
    return model.inputs[0] if len(model.inputs) == 1 else list(model.inputs)


def _leaf_names(tf: Any, struct: Any) -> list[str]:
    """Return the users' names of the leaves: the keys of a flat dict, else the tensors' names."""
    if isinstance(struct, Mapping) and not any(isinstance(value, list | tuple | Mapping) for value in struct.values()):
        return sorted(struct)
    return [str(tensor.name) for tensor in tf.nest.flatten(struct)]


def _in_order(tf: Any, struct: Any, declared: Sequence[Declared]) -> list[Declared]:
    """Name the inputs, those of a dict by its keys and in its order."""
    tensors = tf.nest.flatten(struct)
    named = {
        name: Declared(name=name, dtype=_declared(tensor).dtype, shape=_declared(tensor).shape)
        for name, tensor in zip(_leaf_names(tf, struct), tensors, strict=True)
    }
    if len(named) < len(declared):
        raise CannotError(f"two inputs of the model have one name: {', '.join(d.name for d in declared)}")
    order = list(struct) if isinstance(struct, Mapping) and set(struct) == set(named) else list(named)
    return [named[name] for name in order]


def _declared(tensor: Any) -> Declared:
    shape = None if tensor.shape is None else tuple(None if n is None else int(n) for n in tensor.shape)
    dtype = tensor.dtype if isinstance(tensor.dtype, str) else tensor.dtype.name
    return Declared(name=tensor.name, dtype="object" if dtype == "string" else dtype, shape=shape)


def _output_names(model: Any) -> list[str]:
    """Keras' own names of the outputs: the last layers'; empty where there are none or two are equal."""
    names = [str(name) for name in getattr(model, "output_names", None) or ()]
    if not names and getattr(model, "layers", None) and type(model).__name__ == "Sequential":
        names = [str(model.layers[-1].name)]
    return names if len(set(names)) == len(names) else []


def _load_weights(model: Any, path: Path) -> None:
    if not path.is_file():
        raise UnreadableError(f"{path}: no such file; expected Keras weights (.weights.h5)")
    try:
        model.load_weights(path)
    except Exception as error:
        raise CannotError(f"{path}: the weights do not fit the model: {first_line(error)}") from error
