"""Runs in a process of its own: asks models of Keras and TensorFlow, and prints as JSON why their answers are random."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from portinf.sources.detect import detect
from portinf.sources.keras.source import KerasSource
from portinf.sources.model import SourceOptions
from portinf.sources.opening import open_source
from portinf.sources.randomness.watch import Randomness
from portinf.sources.tensorflow.source import FunctionSource

OPTIONS = SourceOptions(found=detect("keras:Model"))
ROWS = np.random.RandomState(0).normal(size=(5, 4)).astype(np.float32)
GENERATOR = tf.random.Generator.from_seed(1)
SEED = tf.Variable([1, 2], dtype=tf.int64)
MOVING = tf.Variable([1, 2], dtype=tf.int64)
HELD = tf.Variable(0.0)
RARE = 1e-4

Call = Callable[..., Any]


class Own(layers.Layer):
    def __init__(self, function: Call) -> None:
        super().__init__(name="own")
        self.function = function
        self.drop = layers.Dropout(0.3, name="hidden")
        self.seeds = keras.random.SeedGenerator(3)
        self.rng = np.random.default_rng(1)

    def call(self, x: Any, training: bool | None = None) -> Any:
        return self.function(self, x, training)


class Monte(keras.Model):
    """A model of the user's own class, built by its first call."""

    def __init__(self, forced: bool) -> None:
        super().__init__()
        self.forced = forced
        self.drop = layers.Dropout(0.4, name="hidden")

    def call(self, x: Any, training: bool | None = None) -> Any:
        return self.drop(x, training=True) if self.forced else self.drop(x, training=training)


def functional(make: Call, *shape: int) -> Any:
    given = layers.Input(shape or (4,), name="x")
    return keras.Model(given, make(given))


def own(function: Call) -> Any:
    return functional(lambda x: layers.Dense(2)(Own(function)(x)))


def shared() -> Any:
    """The layer is called in training by another model alone."""
    given, drop = layers.Input((4,)), layers.Dropout(0.3)
    keras.Model(given, drop(given, training=True))
    return keras.Model(given, drop(given))


def inner(x: Any) -> Any:
    return tf.function(lambda value: tf.nn.dropout(value, 0.4))(x)


def unused(x: Any) -> Any:
    def dead(value: Any) -> Any:
        tf.random.normal([3])
        return value + 1.0

    tf.random.normal([2])
    return tf.function(dead)(x) + tf.zeros_like(tf.random.normal([4]))


def loop(x: Any) -> Any:
    return tf.while_loop(lambda k, value: k < 3, lambda k, value: (k + 1, value + tf.random.uniform([])), (0, x))[1]


def through_a_variable(x: Any) -> Any:
    HELD.assign(tf.random.normal([]))
    return x + HELD


def seed_moves(x: Any) -> Any:
    found = x + tf.random.stateless_normal([], MOVING)
    MOVING.assign_add([1, 0])
    return found


KERAS: dict[str, Any] = {
    "dropout": functional(lambda x: layers.Dense(2)(layers.Dropout(0.3, name="mine")(x, training=True))),
    "seeded dropout": functional(lambda x: layers.Dropout(0.3, seed=3)(x, training=True)),
    "noise": functional(lambda x: layers.GaussianNoise(0.1)(x, training=True)),
    "recurrent": functional(lambda x: layers.LSTM(3, recurrent_dropout=0.3)(x, training=True), 5, 4),
    "wrapped": functional(lambda x: layers.Bidirectional(layers.GRU(3, dropout=0.3))(x, training=True), 5, 4),
    "attention": functional(lambda x: layers.MultiHeadAttention(2, 3, dropout=0.1)(x, x, training=True), 5, 4),
    "flip": functional(lambda x: layers.RandomFlip()(x, training=True), 6, 6, 1),
    "nested": functional(
        lambda x: functional(lambda y: layers.Dense(3)(layers.Dropout(0.3, name="inside")(y, training=True)))(x)
    ),
    "model in training": functional(lambda x: keras.Sequential([layers.Input((4,)), layers.Dropout(0.2)])(x, training=True)),
    "subclass": Monte(True),
    "own layer": own(lambda self, x, training: self.drop(x, training=True)),
    "own layer, keras.random": own(lambda self, x, training: x + keras.random.normal((4,))),
    "own layer, own seeds": own(lambda self, x, training: x + keras.random.uniform((4,), seed=self.seeds)),
    "own layer, rare": own(lambda self, x, training: x * tf.cast(tf.random.uniform([]) > RARE, x.dtype)),
    "own layer, numpy": own(lambda self, x, training: x * (2 if np.random.rand() < RARE else 1)),
    "own layer, held": own(lambda self, x, training: x * (2 if self.rng.random() < RARE else 1)),
    "own layer, Python": own(lambda self, x, training: x * (2 if random.random() < RARE else 1)),
    "categorical": own(lambda self, x, training: tf.cast(keras.random.categorical(x, 4), tf.float32)),
    "shuffle": own(lambda self, x, training: keras.random.shuffle(x)),
    "lambda": functional(lambda x: layers.Lambda(lambda value: tf.nn.dropout(value, 0.2))(x)),
}
TRAINING: dict[str, Any] = {
    "batch norm": functional(lambda x: layers.BatchNormalization(name="norm")(x, training=True)),
}
HONEST: dict[str, Any] = {
    "dropout": functional(lambda x: layers.BatchNormalization()(layers.GaussianNoise(0.2)(layers.Dropout(0.3)(x)))),
    "recurrent": functional(lambda x: layers.LSTM(3, dropout=0.3)(x), 5, 4),
    "attention": functional(lambda x: layers.MultiHeadAttention(2, 3, dropout=0.1)(x, x), 5, 4),
    "subclass": Monte(False),
    "own layer": own(lambda self, x, training: self.drop(x, training=training)),
    "own layer, unused": own(lambda self, x, training: (keras.random.normal((4,)), x)[1]),
    "own layer, fixed seed": own(lambda self, x, training: x + keras.random.normal((4,), seed=3)),
    "nothing to drop": functional(lambda x: layers.Dropout(0.0)(x, training=True)),
    "no difference": functional(lambda x: keras.Sequential([layers.Input((4,)), layers.Dense(4)])(x, training=True)),
    "shared": shared(),
}
FUNCTIONS: dict[str, Call] = {
    "normal": lambda x: x + tf.random.normal(tf.shape(x)),
    "function": inner,
    "branch": lambda x: tf.cond(tf.reduce_sum(x) > 1e9, lambda: x + tf.random.normal([]), lambda: x),
    "function in a branch": lambda x: tf.cond(tf.reduce_sum(x) > 1e9, lambda: inner(x), lambda: x),
    "loop": loop,
    "rows": lambda x: tf.random.shuffle(x),
    "classes": lambda x: tf.random.categorical(x, 2),
    "gamma": lambda x: x + tf.random.gamma([], 1.0),
    "generator": lambda x: x + GENERATOR.normal([]),
    "variable": through_a_variable,
    "moving seed": seed_moves,
    "drawn seed": lambda x: x + tf.random.stateless_normal([], tf.random.uniform([2], maxval=99, dtype=tf.int32)),
    "seed of the operation": lambda x: x + tf.random.normal([], seed=3),
    "pool": lambda x: tf.nn.fractional_max_pool(x[None, :, :, None], [1.0, 1.4, 1.4, 1.0])[0],
}
PLAIN: dict[str, Call] = {
    "stateless": lambda x: x + tf.random.stateless_normal([], [1, 2]),
    "seed in a variable": lambda x: x + tf.random.stateless_normal([], SEED),
    "seed by the input": lambda x: x + tf.random.stateless_normal([], tf.cast(tf.reduce_sum(x), tf.int32) * [1, 1]),
    "unused": unused,
    "branch of a function": lambda x: tf.cond(tf.reduce_sum(x) > 0, lambda: x, lambda: -x),
    "stateless rows": lambda x: tf.random.experimental.stateless_shuffle(x, [1, 2]),
}


def reason(source: Any, shape: tuple[int, ...] = (4,)) -> str:
    randomness = Randomness(source)
    rows = ROWS if shape == (4,) else np.random.RandomState(0).normal(size=(5, *shape)).astype(np.float32)
    name = source.inputs[0].name if source.inputs else "x"
    for batch in (rows[:0], rows, rows):  # nothing is drawn for no rows
        if batch.size or source.framework == "keras":
            randomness.answer(source.infer, {name: batch})
    return randomness.reason


def keras_reason(model: Any) -> str:
    shape = tuple(model.inputs[0].shape[1:]) if getattr(model, "inputs", None) else (4,)
    if shape == (4,):
        return reason(KerasSource(model, OPTIONS), shape)
    source = KerasSource(model, OPTIONS)
    randomness = Randomness(source)
    randomness.answer(source.infer, {"x": np.random.RandomState(0).normal(size=(5, *shape)).astype(np.float32)})
    return randomness.reason


def function_reason(function: Call) -> str:
    declared = [tf.TensorSpec([None, 4], name="x")]
    found = [tf.function(function, input_signature=declared, autograph=False), tf.function(function, autograph=False)]
    reasons = [reason(FunctionSource(each, OPTIONS)) for each in found]
    return reasons[0] if all(map(bool, reasons)) or not any(reasons) else f"one way only: {reasons}"


def files(folder: Path) -> dict[str, str]:
    """Return what is said of files that hold random operations."""
    KERAS["dropout"].export(str(folder / "saved"), verbose=False)
    KERAS["dropout"].save(folder / "net.keras")
    dropped = tf.function(
        lambda x: tf.nn.dropout(x, 0.3), input_signature=[tf.TensorSpec([None, 4], name="x")], autograph=False
    )
    (folder / "frozen.pb").write_bytes(dropped.get_concrete_function().graph.as_graph_def().SerializeToString())
    added = tf.function(lambda x: x + tf.random.uniform([4]), input_signature=[tf.TensorSpec([5, 4])], autograph=False)
    lite = tf.lite.TFLiteConverter.from_concrete_functions([added.get_concrete_function()]).convert()
    (folder / "net.tflite").write_bytes(lite)
    names = {"saved": "saved", "file": "net.keras", "frozen": "frozen.pb", "lite": "net.tflite"}
    return {name: reason(open_source(SourceOptions(found=detect(str(folder / file))))) for name, file in names.items()}


with tempfile.TemporaryDirectory() as name:
    drawn = {**{key: keras_reason(model) for key, model in KERAS.items()}, **files(Path(name))}
print(
    json.dumps(
        {
            "random": {**drawn, **{key: function_reason(function) for key, function in FUNCTIONS.items()}},
            "training": {key: keras_reason(model) for key, model in TRAINING.items()},
            "honest": {
                **{key: keras_reason(model) for key, model in HONEST.items()},
                **{key: function_reason(function) for key, function in PLAIN.items()},
            },
        }
    )
)
