"""TensorFlow: a SavedModel's signature, a tf.function or tf.Module from a factory."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from portinf.core.batch import Array, Arrays
from portinf.core.errors import CannotError, UnreadableError, UsageError, first_line
from portinf.core.optional import require
from portinf.sources.model import Declared, SourceOptions, flatten_outputs
from portinf.sources.randomness.draws import Draw, refusal
from portinf.sources.randomness.generators import GLOBAL, global_states
from portinf.sources.randomness.tensorflow import graph_draws
from portinf.sources.state.tensorflow_access import TensorFlowStateful

__all__ = ["FunctionSource", "SavedModelSource", "TensorSource", "declared_spec", "parameters"]


class TensorSource(ABC):
    """A source that runs on TensorFlow tensors by name; the base of those of this framework."""

    framework = "tensorflow"

    def __init__(self) -> None:
        self._tf = require("tensorflow", "tensorflow")
        self.model: Any = None
        self.notes: list[str] = []
        self.inputs: Sequence[Declared] = ()

    @abstractmethod
    def call(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """Run on TensorFlow tensors by name; outputs by name in the model's order."""

    def infer(self, inputs: Mapping[str, Array]) -> Arrays:
        """Run eagerly on arrays."""
        tensors = {name: self._tf.convert_to_tensor(array) for name, array in inputs.items()}
        return {name: value.numpy() for name, value in self.call(tensors).items()}

    def random_reason(self, inputs: Mapping[str, Array]) -> str:
        """Say why the answers are random, as the graph of a call with inputs of these ranks tells; empty if they are not."""
        try:
            return refusal(graph_draws(self._graph(inputs), self._layers()))
        except Exception:  # noqa: BLE001 (what cannot be compiled is refused on export, with the reason)
            return ""

    def _graph(self, inputs: Mapping[str, Array]) -> Any:
        """Return the graph of a call."""
        specs = [self._tf.TensorSpec([None] * array.ndim, self._tf.as_dtype(array.dtype)) for array in inputs.values()]

        def flat(*tensors: Any) -> list[Any]:
            return [self._tf.identity(value) for value in self.call(dict(zip(inputs, tensors, strict=True))).values()]

        return self._tf.function(flat, autograph=False).get_concrete_function(*specs).graph

    def _layers(self) -> Sequence[str]:
        """Return the names of the layers, which the operations of a graph have in their names."""
        return ()


class SavedModelSource(TensorSource):
    """One signature of a SavedModel.

    Args:
        path: its folder.
        signature: name; None for ``serving_default`` or the only one.
    """

    def __init__(self, path: Path, signature: str | None) -> None:
        super().__init__()
        try:
            loaded = self._tf.saved_model.load(str(path))
        except Exception as error:
            raise UnreadableError(f"{path}: TensorFlow {self._tf.__version__} cannot load it: {first_line(error)}") from error
        self._loaded = loaded  # keeps the variables alive
        self.model = _choose(path, loaded.signatures, signature)
        keywords: Mapping[str, Any] = self.model.structured_input_signature[1]
        self.inputs = [declared_spec(name, spec) for name, spec in sorted(keywords.items())]
        self.stateful = TensorFlowStateful([self.model], self.call, lambda _: self.model)

    def call(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """Run the signature on TensorFlow tensors by name."""
        function: Callable[..., Mapping[str, Any]] = self.model
        return dict(sorted(function(**tensors).items()))  # the file keeps no order: by name, the same each time

    def _graph(self, inputs: Mapping[str, Array]) -> Any:
        return self.model.graph


class FunctionSource(TensorSource):
    """A tf.function, a ConcreteFunction, or a tf.Module that can be called, as a factory returned it.

    With an input signature its names, types and shapes are declared; without one the names are those of the parameters,
    and samples say the rest.

    Args:
        model: what the factory returned.
        options: weights, which do not apply here.
    """

    def __init__(self, model: Any, options: SourceOptions) -> None:
        super().__init__()
        if options.weights is not None:
            raise UsageError("--weights: for a tf.function or tf.Module the factory itself must load them")
        self._owner = model  # keeps the variables alive
        self.model = _function(self._tf, model)
        self._signature: Any = None
        concrete = _concrete(self.model)
        if concrete is None:
            self.inputs = [Declared(name=name) for name in parameters(self.model.python_function)]
            self.stateful = TensorFlowStateful([model], self.call, lambda specs: self.model.get_concrete_function(**specs))
            return
        self.stateful = TensorFlowStateful([model], self.call, lambda _: concrete)
        self._concrete = concrete
        self._signature = concrete.structured_input_signature
        leaves = self._tf.nest.flatten(self._signature)
        self.inputs = [_declared_leaf(self._tf, leaf) for leaf in leaves if isinstance(leaf, self._tf.TypeSpec)]
        _check_unique([declared.name for declared in self.inputs])

    def call(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """Run the function on TensorFlow tensors by name."""
        if self._signature is None:
            answer = self.model(**tensors)
        else:
            leaves = self._tf.nest.flatten(self._signature)
            values = [tensors[leaf.name] if isinstance(leaf, self._tf.TypeSpec) else leaf for leaf in leaves]
            arguments, keywords = self._tf.nest.pack_sequence_as(self._signature, values)
            answer = self._concrete(*arguments, **keywords)
        return flatten_outputs(answer, is_leaf=self._tf.Tensor)

    def random_reason(self, inputs: Mapping[str, Array]) -> str:
        """Say why the answers are random; numbers that Python draws while the function is traced stay as they are, and count too."""
        before = global_states()
        reason = super().random_reason(inputs)
        if not reason and any(global_states()[name] != before[name] for name in GLOBAL.values()):
            reason = refusal([Draw(what="Python code that runs while the function is traced (numpy.random, random)")])
        return reason


def _function(tf: Any, model: Any) -> Any:
    """Return what is to be called: of a module its ``__call__``, compiled if it is plain Python."""
    target = model.__call__ if isinstance(model, tf.Module) and callable(model) else model
    if hasattr(target, "structured_input_signature") or hasattr(target, "python_function"):
        return target
    if inspect.isroutine(target):
        return tf.function(target)
    raise CannotError(
        f"the factory returned a {type(model).__name__} that cannot be called; "
        "expected a tf.function, or a tf.Module with a __call__ under @tf.function(input_signature=...)"
    )


def _concrete(function: Any) -> Any:
    """Return the concrete function where types and shapes are declared, else None."""
    if hasattr(function, "structured_input_signature"):
        return function
    return None if function.input_signature is None else function.get_concrete_function()


def parameters(function: Any) -> list[str]:
    """Return the names of a function's parameters that tensors can be given for."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    found = [p.name for p in inspect.signature(function).parameters.values() if p.kind in kinds]
    return [name for name in found if name not in ("self", "training", "mask")]


def _declared_leaf(tf: Any, spec: Any) -> Declared:
    if not isinstance(spec, tf.TensorSpec):
        raise CannotError(
            f"an input of the function is a {type(spec).__name__}; expected plain tensors: "
            "take values and row_splits as two inputs and build the ragged or sparse tensor inside"
        )
    return declared_spec(spec.name, spec)


def _check_unique(names: Sequence[str]) -> None:
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UsageError(
            f"two inputs of the function are named '{twice[0]}': give them different names in TensorSpec(name=...)"
        )


def declared_spec(name: str, spec: Any) -> Declared:
    """Describe an input by a TensorSpec, or by anything else with a shape and a dtype of TensorFlow."""
    shape = None if spec.shape.rank is None else tuple(spec.shape.as_list())
    dtype = "object" if spec.dtype.name == "string" else spec.dtype.name
    return Declared(name=name, dtype=dtype, shape=shape)


def _choose(path: Path, signatures: Mapping[str, Any], name: str | None) -> Any:
    if not signatures:
        raise CannotError(f"{path}: this SavedModel has no signatures; save it with signatures=...")
    if name is None:
        name = "serving_default" if "serving_default" in signatures else next(iter(signatures))
        if name != "serving_default" and len(signatures) > 1:
            raise UsageError(f"{path}: choose one with --saved-model-signature: {', '.join(signatures)}")
    if name not in signatures:
        raise UsageError(f"{path}: no signature '{name}'; there are: {', '.join(signatures)}")
    return signatures[name]
