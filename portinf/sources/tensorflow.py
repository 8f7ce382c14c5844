"""TensorFlow and Keras: a ``.keras`` or ``.h5`` file, a Keras model from a factory, a SavedModel's signature."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from portinf.errors import CannotError, MissingPackageError, PermissionNeededError, UnreadableError, UsageError, first_line
from portinf.lazy import require
from portinf.samples import Array, Arrays
from portinf.sources.model import Declared, SourceOptions, flatten_outputs

__all__ = ["KerasSource", "SavedModelSource", "load_keras"]


def _tensorflow() -> Any:
    return require("tensorflow", "tensorflow")


def load_keras(path: Path, *, allow_code: bool) -> Any:
    """Load a Keras file without compiling it.

    Raises:
        PermissionNeededError: it holds Lambda layers, and ``allow_code`` is false.
        UnreadableError: damaged, or written by something else.
    """
    keras = require("keras", "tensorflow")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=not allow_code)
    except Exception as error:
        text = str(error)
        if "safe_mode" in text or "unsafe deserialization" in text.lower() or "lambda" in text.lower():
            raise PermissionNeededError(
                f"{path}: holds a Lambda layer; loading it runs code from the file: allow it with --allow-code if you trust it"
            ) from error
        if "custom" in text.lower() and "register" in text.lower():
            raise CannotError(
                f"{path}: uses a custom layer that is not known here ({first_line(error)}); "
                "write a factory that defines it and loads the file, and name it as file.py:factory"
            ) from error
        raise UnreadableError(f"{path}: Keras {keras.__version__} cannot load it: {first_line(error)}") from error


class KerasSource:
    """One Keras model.

    Args:
        model: the model.
        options: weights.
    """

    framework = "keras"

    def __init__(self, model: Any, options: SourceOptions) -> None:
        self._tf = _tensorflow()
        keras = require("keras", "tensorflow")
        if keras.backend.backend() != "tensorflow":
            raise MissingPackageError("Keras runs on another backend: set KERAS_BACKEND=tensorflow")
        self.model = model
        self.notes: list[str] = []
        if options.weights is not None:
            _load_weights(model, options.weights)
        if not model.built and not model.inputs:
            self.notes.append("the model is not built: its inputs are those of the samples")
        self._keras = keras
        self.inputs: Sequence[Declared] = [_declared(tensor) for tensor in model.inputs or ()]
        self._output_names = _output_names(model)

    def call(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """Run the model on TensorFlow tensors by name, in evaluation mode; outputs by name in its order."""
        model = self.model
        if model.inputs and hasattr(model, "_inputs_struct"):
            ordered = [tensors[tensor.name] for tensor in model.inputs]
            answer = model(self._keras.tree.pack_sequence_as(model._inputs_struct, ordered), training=False)
        elif len(tensors) == 1:
            answer = model(next(iter(tensors.values())), training=False)
        else:
            answer = model(dict(tensors), training=False)
        leaves = flatten_outputs(answer, is_leaf=self._tf.Tensor)
        if all(name == f"output_{k}" for k, name in enumerate(leaves)) and len(self._output_names) == len(leaves):
            return dict(zip(self._output_names, leaves.values(), strict=True))
        return leaves

    def infer(self, inputs: Mapping[str, Array]) -> Arrays:
        """Run the model eagerly."""
        tensors = {name: self._tf.convert_to_tensor(array) for name, array in inputs.items()}
        return {name: value.numpy() for name, value in self.call(tensors).items()}


def _declared(tensor: Any) -> Declared:
    shape = None if tensor.shape is None else tuple(None if n is None else int(n) for n in tensor.shape)
    dtype = tensor.dtype if isinstance(tensor.dtype, str) else tensor.dtype.name
    return Declared(name=tensor.name, dtype=dtype, shape=shape)


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


class SavedModelSource:
    """One signature of a SavedModel.

    Args:
        path: its folder.
        signature: name; None for ``serving_default`` or the only one.
    """

    framework = "tensorflow"

    def __init__(self, path: Path, signature: str | None) -> None:
        self._tf = _tensorflow()
        try:
            loaded = self._tf.saved_model.load(str(path))
        except Exception as error:
            raise UnreadableError(f"{path}: TensorFlow {self._tf.__version__} cannot load it: {first_line(error)}") from error
        self._loaded = loaded  # keeps the variables alive
        self.model = _choose(path, loaded.signatures, signature)
        self.notes: list[str] = []
        keywords: Mapping[str, Any] = self.model.structured_input_signature[1]
        self.inputs: Sequence[Declared] = [_declared_spec(name, spec) for name, spec in keywords.items()]

    def call(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """Run the signature on TensorFlow tensors by name."""
        function: Callable[..., Mapping[str, Any]] = self.model
        return dict(function(**tensors))

    def infer(self, inputs: Mapping[str, Array]) -> Arrays:
        """Run the signature."""
        tensors = {name: self._tf.convert_to_tensor(array) for name, array in inputs.items()}
        return {name: value.numpy() for name, value in self.call(tensors).items()}


def _declared_spec(name: str, spec: Any) -> Declared:
    shape = None if spec.shape.rank is None else tuple(spec.shape.as_list())
    dtype = "object" if spec.dtype.name == "string" else spec.dtype.name
    return Declared(name=name, dtype=dtype, shape=shape)


def _choose(path: Path, signatures: Mapping[str, Any], name: str | None) -> Any:
    if not signatures:
        raise CannotError(f"{path}: this SavedModel has no signatures; save it with signatures=...")
    if name is None:
        name = "serving_default" if "serving_default" in signatures else next(iter(signatures))
        if name != "serving_default" and len(signatures) > 1:
            raise UsageError(f"{path}: choose one with --signature: {', '.join(signatures)}")
    if name not in signatures:
        raise UsageError(f"{path}: no signature '{name}'; there are: {', '.join(signatures)}")
    return signatures[name]
