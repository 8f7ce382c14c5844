"""What makes the answers of a Keras model random: seeds that move, code of the user's own, layers called with ``training=True``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from portinf.sources.keras.layers import layers_of

__all__ = ["forced_training", "has_own_code", "seed_states"]


def seed_states(model: Any) -> dict[int, bytes]:
    """Return what the seed generators of a model's layers are at; those of layers that drop nothing do not move."""
    held = [generator for layer in [model, *layers_of(model)] for generator in getattr(layer, "_seed_generators", ())]
    return {id(generator): np.asarray(generator.state).tobytes() for generator in held}


def has_own_code(model: Any) -> bool:
    """Whether any part of a model is not Keras' own, or is of Keras 2: it may draw without a seed generator."""
    parts = [model, *layers_of(model)]
    return any(type(part).__module__.partition(".")[0] != "keras" or type(part).__name__ == "Lambda" for part in parts)


def forced_training(model: Any, answer: Callable[[bool | None], Any]) -> str:
    """Say which layers are called with ``training=True``, if that changes the answers; empty otherwise.

    In Keras 3 ``model(x)`` obeys it, and ``model.predict(x)`` and ``model(x, training=False)`` overrule it: which answers are
    meant cannot be known.

    Args:
        model: the model.
        answer: calls it with this ``training``.
    """
    graphs = [getattr(part, "_nodes_by_depth", {}) for part in [model, *layers_of(model)]]
    nodes = [node for graph in graphs for row in graph.values() for node in row if hasattr(node, "arguments")]
    names = dict.fromkeys(node.operation.name for node in nodes if node.arguments.kwargs.get("training") is True)
    if not names:
        return ""
    kept = [(variable, variable.numpy()) for variable in model.variables]
    seeds = seed_states(model)
    try:
        declared = _flat(answer(None))
        drawn = seed_states(model) != seeds
    finally:
        for variable, value in kept:
            variable.assign(value)
    if not drawn and all(np.array_equal(*pair, equal_nan=True) for pair in zip(declared, _flat(answer(False)), strict=True)):
        return ""
    shown = ", ".join(f"'{name}'" for name in list(names)[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    layers = f"layer {shown} is" if len(names) == 1 else f"layers {shown} are"
    what = (
        "draws random numbers, its results differ from call to call" if drawn else "answers as in training (batch statistics)"
    )
    return f"{layers} called with training=True, so that model(x) {what}, and model.predict(x) does not: remove training=True"


def _flat(answer: Any) -> list[Any]:
    import tensorflow as tf

    return [np.asarray(leaf) for leaf in tf.nest.flatten(answer)]
