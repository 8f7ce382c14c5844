"""Keras models and functions of TensorFlow that decide by a length in Python: a graph is made without it."""

from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops


class Cut(layers.Layer):
    """Keep 200 steps: seen where the length is known, left out where it is not."""

    def call(self, x: Any) -> Any:
        steps = x.shape[1]
        return x if steps is None or steps <= 200 else x[:, :200]

    def compute_output_shape(self, shape: Any) -> Any:
        return shape


class Condition(layers.Layer):
    """The same in the graph."""

    def call(self, x: Any) -> Any:
        return ops.where(ops.shape(x)[1] > 200, x * 0.5, x)


def _model(layer: Any) -> Any:
    keras.utils.set_random_seed(3)
    given = keras.Input((None, 4), name="x")
    return keras.Model(given, ops.sum(layers.Dense(3)(layer(given)), axis=1))


def cut() -> Any:
    return _model(Cut())


def condition() -> Any:
    return _model(Condition())


def function() -> Any:
    @tf.function
    def cut_function(x: Any) -> Any:
        if x.shape[0] is not None and x.shape[0] > 200:
            x = x[:200]
        return tf.reduce_sum(x, 0)

    return cut_function
