"""The state of Keras models, TensorFlow modules and functions: variables, and attributes of the user's own layers."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from portinf.core.batch import Array
from portinf.core.optional import require
from portinf.sources.state.access import Access, Draw, Leaf, NumpyLeaf, Part
from portinf.sources.state.judging import Flows
from portinf.sources.state.snapshot import State
from portinf.sources.state.tensorflow_flow import reaching, writes
from portinf.sources.state.walk import Walk

__all__ = ["TensorFlowAccess", "TensorFlowStateful"]

KERAS = ("keras", "tf_keras")
SEEDS = ("seed_generator_state", "StateVar")  # names of the variables of generators of random numbers
HELD = ("_layers", "_trainable_variables", "_non_trainable_variables", "_trainable_weights", "_non_trainable_weights")
INNER = ("_self_", "_obj_reference_counts", "_tracker", "_name_scope", "_lock", "_call_", "_inbound_nodes", "_outbound_nodes")


class VariableLeaf(NumpyLeaf):
    """Variables of TensorFlow, and those of Keras around them; see `portinf.sources.state.access.Leaf`.

    Args:
        writes: how often each variable was written, by its id.
    """

    noun = "variable"

    def __init__(self, writes: Mapping[int, int]) -> None:
        self._writes = writes

    def mark(self, value: Any) -> Any:
        return self._writes.get(id(_inner(value)), 0)

    def copy(self, value: Any) -> Any:
        return self.array(value)

    def equal(self, value: Any, copy: Any) -> bool:
        return super().equal(self.array(value), copy)

    def put(self, value: Any, copy: Any) -> None:
        _inner(value).assign(copy)

    def size(self, value: Any) -> int:
        inner = _inner(value)
        return int(np.prod(inner.shape.as_list() or [1])) * int(inner.dtype.size or 1)

    def array(self, value: Any) -> np.ndarray[Any, Any]:
        return np.array(_inner(value).numpy())

    def fill(self, value: Any, array: np.ndarray[Any, Any]) -> Any:
        _inner(value).assign(array)
        return value


class TensorLeaf(VariableLeaf):
    """Tensors, whose numbers no call can change."""

    writable = False
    noun = ""

    def put(self, value: Any, copy: Any) -> None:
        raise AssertionError("the numbers of a tensor do not change")

    def fill(self, value: Any, array: np.ndarray[Any, Any]) -> Any:
        return require("tensorflow", "tensorflow").constant(array, value.dtype)


def _inner(variable: Any) -> Any:
    """Return TensorFlow's variable inside of one of Keras."""
    return getattr(variable, "_value", variable)


class TensorFlowAccess(Access):
    """Looks into layers, modules and functions; `ready` is false while a layer waits for its first call to make its weights."""

    def __init__(self) -> None:
        super().__init__()
        self._tf = require("tensorflow", "tensorflow")
        self._keras = require("keras", "tensorflow")
        self._leaf: Leaf = VariableLeaf(_counted())
        self._base: dict[type, frozenset[str]] = {}

    def leaf(self, value: Any) -> Leaf | None:
        """See `portinf.sources.state.access.Access.leaf`; a variable of Keras that has no value yet is none."""
        if isinstance(value, self._tf.Variable):
            return self._leaf if value.dtype != self._tf.resource else None
        if isinstance(value, self._keras.Variable):
            return self._leaf if getattr(value, "_value", None) is not None else None
        if isinstance(value, self._tf.Tensor):
            return TensorLeaf({}) if hasattr(value, "numpy") and value.dtype != self._tf.resource else None
        return super().leaf(value)

    def draw(self, value: Any) -> Draw | None:
        """See `portinf.sources.state.access.Access.draw`."""
        generator = isinstance(value, self._keras.random.SeedGenerator | self._tf.random.Generator)
        held = value.state if generator else value
        if generator or (isinstance(value, self._tf.Variable | self._keras.Variable) and _name_of(value) in SEEDS):
            return Draw(get=lambda: self._leaf.copy(held), put=lambda state: self._leaf.put(held, state))
        return super().draw(value)

    def parts(self, value: Any, path: str) -> list[Part] | None:
        """Return the entries of a layer, a module or a function."""
        tf = self._tf
        inside = f"{path}." if path else ""
        kind = _layer_base(type(value))
        if kind is not None:
            if not value.built and value.__class__.__name__ != "InputLayer":
                self.ready = False
            return self._layer(value, kind, inside)
        if hasattr(type(value), "python_function") or hasattr(type(value), "structured_input_signature"):
            return [self._leading(lambda: _function_entries(value), inside, "")]
        if isinstance(value, self._keras.metrics.Metric):
            return [self._leading(lambda: _by_name(value.variables), inside, type(value).__name__)]
        if isinstance(value, tf.Module):
            return [self._object(value, frozenset(), inside)]
        if type(value).__module__.startswith("tensorflow.python.saved_model"):
            return [self._leading(lambda: dict(vars(value)), inside, "")]
        return None

    def _layer(self, layer: Any, base: type, inside: str) -> list[Part]:
        """Return a layer's weights and sub-layers, and its attributes: of a library's class only what they lead to."""
        if base not in self._base:
            self._base[base] = frozenset(vars(base())) | {"_obj_reference_counts"}
        inner = self._base[base]
        owner = type(layer).__name__
        held = [item for name in HELD for item in vars(layer).get(name) or ()]
        found = [self._leading(lambda: _by_name(held), inside, owner, noun="variable")]
        if type(layer).__module__.partition(".")[0] in KERAS:
            return [*found, self._leading(lambda: _others(layer, inner), inside, owner, noun="variable")]
        return [*found, self._object(layer, inner, inside)]

    def _object(self, value: Any, inner: frozenset[str], inside: str) -> Part:
        def write(held: dict[str, Any]) -> None:
            for name in _others(value, inner):
                if name not in held:
                    del vars(value)[name]
            vars(value).update(held)

        read = functools.partial(_others, value, inner)
        return Part(read=read, write=write, noun="attribute", path=inside, owner=type(value).__name__)

    def _leading(self, read: Any, inside: str, owner: str, noun: str = "attribute") -> Part:
        return Part(read=read, write=None, noun=noun, path=inside, owner=owner)

    def general_draws(self) -> list[Draw]:
        """Return TensorFlow's own generator beside those of Python and numpy: a fresh seed when read, the same again when put."""

        def fresh() -> int:
            seed = int.from_bytes(os.urandom(4), "little")
            self._tf.random.set_seed(seed)
            return seed

        return [*super().general_draws(), Draw(get=fresh, put=self._tf.random.set_seed)]


@functools.cache
def _counted() -> Mapping[int, int]:
    """Count from now on how often Python code writes each variable of TensorFlow."""
    module: Any = require("tensorflow.python.ops.resource_variable_ops", "tensorflow")
    plain: Any = require("tensorflow", "tensorflow").autograph.experimental.do_not_convert
    counts: dict[int, int] = {}

    def counting(method: Callable[..., Any]) -> Any:
        @functools.wraps(method)
        def write(self: Any, *arguments: Any, **keywords: Any) -> Any:
            counts[id(self)] = counts.get(id(self), 0) + 1
            return method(self, *arguments, **keywords)

        return plain(write)

    for kind in (module.BaseResourceVariable, module.ResourceVariable):
        for name in ("assign", "assign_add", "assign_sub"):
            if name in vars(kind):
                setattr(kind, name, counting(vars(kind)[name]))
    return counts


def _layer_base(kind: type) -> type | None:
    """Return the class Layer of Keras that a class is derived from."""
    for base in kind.__mro__:
        if base.__name__ == "Layer" and base.__module__.partition(".")[0] in KERAS:
            return base
    return None


def _name_of(item: Any) -> str:
    return str(getattr(item, "name", "")).partition(":")[0]


def _by_name(items: Iterable[Any]) -> dict[str, Any]:
    """Return objects by their names, equal names with a number behind them."""
    found: dict[str, Any] = {}
    for item in items:
        name = _name_of(item)
        found[name if name not in found else f"{name}#{len(found)}"] = item
    return found


def _others(value: Any, inner: frozenset[str]) -> dict[str, Any]:
    return {name: item for name, item in vars(value).items() if name not in inner and not name.startswith(INNER)}


def _function_entries(function: Any) -> dict[str, Any]:
    """Return what a tf.function or one of its concrete forms keeps: variables, and the Python function's closure."""
    entries: dict[str, Any] = {}
    plain = getattr(function, "python_function", None)
    if plain is not None:
        entries[getattr(plain, "__name__", "function")] = plain
    owner = getattr(function, "__self__", None)
    if owner is not None:
        entries["self"] = owner
    return {**entries, **_by_name(getattr(function, "variables", None) or ())}


class TensorFlowStateful:
    """A source of TensorFlow as `portinf.sources.state.judging` takes it.

    Args:
        roots: the model, and what keeps its variables.
        call: runs it on tensors by name; outputs by name.
        trace: returns its concrete function for tensors as described by name; None for a model that is no graph.
    """

    def __init__(
        self,
        roots: Sequence[Any],
        call: Callable[[Mapping[str, Any]], Mapping[str, Any]],
        trace: Callable[[Mapping[str, Any]], Any] | None = None,
    ) -> None:
        self._tf = require("tensorflow", "tensorflow")
        self.access: Access = TensorFlowAccess()
        self.roots: Sequence[Any] = roots
        self.written: Sequence[Any] = ()
        self.changing = False
        self._call, self._trace = call, trace

    def _specs(self, inputs: Mapping[str, Array]) -> dict[str, Any]:
        tensors = {name: self._tf.convert_to_tensor(array) for name, array in inputs.items()}
        return {name: self._tf.TensorSpec(tensor.shape, tensor.dtype, name=name) for name, tensor in tensors.items()}

    def _concrete(self, inputs: Mapping[str, Array]) -> Any:
        """Trace the model as the converter does."""
        specs = self._specs(inputs)

        def flat(*tensors: Any) -> list[Any]:
            answer = self._call(dict(zip(specs, tensors, strict=True)))
            return [self._tf.identity(value) for value in answer.values()]

        return self._tf.function(flat, autograph=False).get_concrete_function(*specs.values())

    def prepare(self, inputs: Mapping[str, Array]) -> None:
        """Make weights and variables by tracing the model without running it, where it has not made them."""
        try:
            if self._trace is not None:
                concrete = self._trace(self._specs(inputs))
                self.roots = [*self.roots, concrete]
                self.written = list(concrete.variables) if writes(concrete) else []
            elif not Walk(self.roots, self.access).ready:
                self._concrete(inputs)
        except Exception:  # noqa: BLE001 (a model that cannot be traced makes them when it is run)
            return

    def flows(self, inputs: Mapping[str, Array], names: Sequence[str], now: Callable[[], State]) -> Flows:
        """See `portinf.sources.state.judging.Stateful.flows`."""
        variables = {
            content.place.name: _inner(content.value)
            for content in now().contents
            if content.place.name in names and hasattr(_inner(content.value), "handle")
        }
        if not variables:
            return Flows()
        return reaching(self._concrete(inputs), {name: item.handle for name, item in variables.items()})
