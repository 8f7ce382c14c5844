"""Rewrites the calls between the layers of a Keras 2 model into those of Keras 3, where tensors may stand in any argument."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["modern_nodes"]

RECURRENT = ("LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional", "ConvLSTM2D")
MODELS = ("Functional", "Model", "Sequential")
SLICES = "slice_spec"


def modern_nodes(config: dict[str, Any]) -> None:
    """Change the calls of a functional model, and of those nested in it, in place.

    Args:
        config: ``{"class_name": ..., "config": {"layers": [...], "input_layers": ..., "output_layers": ...}}``.
    """
    settings = config.get("config")
    if not isinstance(settings, dict):
        return
    layers = [layer for layer in settings.get("layers") or () if isinstance(layer, dict)]
    for layer in layers:
        modern_nodes(layer)
    if "output_layers" not in settings:
        return
    names = {layer["name"] for layer in layers}
    first = _first_nodes(settings, layers, names)
    for layer in layers:
        nodes = layer.get("inbound_nodes") or []
        layer["inbound_nodes"] = [_node(layer["class_name"], node, names, first) for node in nodes]
    settings["output_layers"] = _outputs(settings["output_layers"], layers, first)


def _is_reference(value: Any, names: set[str]) -> bool:
    return isinstance(value, list) and len(value) in (3, 4) and _named(value, names) and all(type(n) is int for n in value[1:3])


def _named(value: list[Any], names: set[str]) -> bool:
    return isinstance(value[0], str) and value[0] in names


def _references(value: Any, names: set[str]) -> Iterator[list[Any]]:
    if _is_reference(value, names):
        yield value
        value = value[3:]
    if isinstance(value, list | Mapping):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _references(item, names)


def _first_nodes(settings: Mapping[str, Any], layers: list[dict[str, Any]], names: set[str]) -> dict[str, int]:
    """Return the smallest number of a call by nested model: Keras 2 counts the model's own building as call 0, Keras 3 does not."""
    nested = {layer["name"] for layer in layers if layer["class_name"] in MODELS}
    first: dict[str, int] = {}
    held = [layer.get("inbound_nodes") for layer in layers], settings["output_layers"]
    for reference in _references([*held[0], held[1]], names):
        if reference[0] in nested:
            first[reference[0]] = min(reference[1], first.get(reference[0], reference[1]))
    return first


def _tensor(reference: list[Any], first: Mapping[str, int]) -> dict[str, Any]:
    name, node, number = reference[:3]
    history = [name, node - first.get(name, 0), number]
    return {"class_name": "__keras_tensor__", "config": {"shape": [], "dtype": "float32", "keras_history": history}}


def _converted(value: Any, names: set[str], first: Mapping[str, int]) -> Any:
    if _is_reference(value, names):
        return _tensor(value, first)
    if isinstance(value, list) and len(value) in (3, 4) and value[0] == "_CONSTANT_VALUE":
        return value[2]
    if isinstance(value, Mapping):
        return {key: _converted(item, names, first) for key, item in value.items()}
    return [_converted(item, names, first) for item in value] if isinstance(value, list) else value


def _node(kind: str, node: Any, names: set[str], first: Mapping[str, int]) -> Any:
    if isinstance(node, Mapping) and "args" in node:
        return node
    argument = _converted(node, names, first)
    if isinstance(argument, list) and len(argument) == 1:
        argument = argument[0]
    keywords = _keywords(node, names, first)
    if kind in RECURRENT and isinstance(argument, list):
        argument, keywords = argument[0], {**keywords, "initial_state": argument[1:]}
    return {"args": [argument], "kwargs": keywords}


def _keywords(node: Any, names: set[str], first: Mapping[str, int]) -> dict[str, Any]:
    """Return the other arguments of a call: they stand behind its first tensor."""
    held = node if _holds_keywords(node) else next((item for item in node if _holds_keywords(item)), None)
    given: Mapping[str, Any] = held[3] if held is not None else {}
    return {
        key: value if key == SLICES else _converted(value, names, first)
        for key, value in given.items()
        if not (key == "name" and value is None)
    }


def _holds_keywords(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 4 and isinstance(value[0], str) and isinstance(value[3], Mapping)


def _outputs(outputs: Any, layers: list[dict[str, Any]], first: Mapping[str, int]) -> Any:
    """Keras 3 takes one off the number of a nested functional model's call by itself, of a sequential one it does not."""
    sequential = {layer["name"] for layer in layers if layer["class_name"] == "Sequential"}

    def changed(value: Any) -> Any:
        if isinstance(value, list) and len(value) == 3 and isinstance(value[0], str):
            name = value[0]
            less = first.get(name, 0) if name in sequential else max(0, first.get(name, 0) - 1)
            return [name, value[1] - less, value[2]]
        return [changed(item) for item in value] if isinstance(value, list) else value

    return changed(outputs)
