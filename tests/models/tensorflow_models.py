"""TensorFlow functions and modules, and Keras models that only samples describe: one factory each."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tests.models import keras_layers

F32 = tf.float32


def _fixed(*shape: int) -> Any:
    return tf.constant(np.random.default_rng(5).normal(0, 0.4, shape), F32)


def concrete() -> Any:
    """A ConcreteFunction with two inputs, named in its signature."""
    w = _fixed(3, 2)

    @tf.function(input_signature=[tf.TensorSpec([None, 3], F32, name="hits"), tf.TensorSpec([None, 2], F32, name="event")])
    def score(a: Any, b: Any) -> Any:
        return {"score": tf.nn.sigmoid(a @ w + b), "best": tf.argmax(a, axis=1)}

    return score.get_concrete_function()


def nested_signature() -> Any:
    """A tf.function whose second argument is a dict."""
    w = _fixed(3, 2)

    @tf.function(
        input_signature=[tf.TensorSpec([None, 3], F32), {"pt": tf.TensorSpec([None, 2]), "eta": tf.TensorSpec([None, 2])}]
    )
    def score(hits: Any, event: Any) -> Any:
        return hits @ w + event["pt"] * event["eta"]

    return score


class Perceptron(tf.Module):  # type: ignore[misc]
    """A module with variables."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.b = tf.Variable(_fixed(4, 3)), tf.Variable(tf.zeros([3]))

    @tf.function(input_signature=[tf.TensorSpec([None, 4], F32, name="x")])  # type: ignore[untyped-decorator]
    def __call__(self, x: Any) -> Any:
        return tf.nn.gelu(x @ self.w + self.b, approximate=False)


def module() -> Any:
    return Perceptron()


class Plain(tf.Module):  # type: ignore[misc]
    """A module without a signature: samples say what it takes."""

    def __init__(self) -> None:
        super().__init__()
        self.w = tf.Variable(_fixed(4, 3))

    def __call__(self, x: Any, scale: Any) -> Any:
        if tf.reduce_sum(x) > 0:  # AutoGraph makes a tf.cond of it
            return (x @ self.w) * scale
        return (x @ self.w) - scale


def plain_module() -> Any:
    return Plain()


def while_loop() -> Any:
    """Newton's square root, until every element has converged, at most 20 steps."""

    @tf.function(input_signature=[tf.TensorSpec([None], F32, name="a")])
    def root(a: Any) -> Any:
        positive = tf.abs(a) + 1.0
        return tf.while_loop(lambda k, x: k < 20, lambda k, x: (k + 1, 0.5 * (x + positive / x)), (tf.constant(0), positive))[1]

    return root


def spectrum() -> Any:
    @tf.function(input_signature=[tf.TensorSpec([None, 32], F32, name="wave")])
    def power(wave: Any) -> Any:
        return {"power": tf.abs(tf.signal.rfft(wave)), "phase_free": tf.math.real(tf.signal.rfft(wave))}

    return power


def ragged() -> Any:
    """Values and row_splits, as CMS' ragged models take them: the mean of each row's transformed values."""
    w = _fixed(3, 4)

    @tf.function(
        input_signature=[tf.TensorSpec([None, 3], F32, name="values"), tf.TensorSpec([None], tf.int32, name="row_splits")]
    )
    def summed(values: Any, row_splits: Any) -> Any:
        rows = tf.shape(row_splits)[0] - 1
        row = tf.searchsorted(row_splits[1:], tf.range(tf.shape(values)[0]), side="right")
        return tf.math.unsorted_segment_sum(tf.nn.relu(values @ w), row, rows)

    return summed


def message_passing() -> Any:
    """A graph network: edges gather, nodes sum."""
    w, u = _fixed(6, 4), _fixed(7, 2)

    @tf.function(
        input_signature=[tf.TensorSpec([None, 3], F32, name="x"), tf.TensorSpec([2, None], tf.int64, name="edge_index")]
    )
    def passed(x: Any, edge_index: Any) -> Any:
        source, target = edge_index[0], edge_index[1]
        sent = tf.nn.relu(tf.concat([tf.gather(x, source), tf.gather(x, target)], 1) @ w)
        received = tf.math.unsorted_segment_sum(sent, target, tf.shape(x, out_type=tf.int64)[0])
        return tf.concat([x, received], 1) @ u

    return passed


def linear_algebra() -> Any:
    @tf.function(input_signature=[tf.TensorSpec([None, 3], F32, name="x")])
    def products(x: Any) -> Any:
        gram = tf.einsum("ni,nj->nij", x, x)
        return {"gram": gram, "trace": tf.linalg.trace(gram), "cumulated": tf.cumsum(x, axis=1), "sorted": tf.sort(x, axis=1)}

    return products


def matrix_inverse() -> Any:
    @tf.function(input_signature=[tf.TensorSpec([None, 3, 3], F32, name="x")])
    def inverse(x: Any) -> Any:
        return tf.linalg.inv(x + 10 * tf.eye(3))

    return inverse


def python_inside() -> Any:
    @tf.function(input_signature=[tf.TensorSpec([None, 3], F32, name="x")])
    def called(x: Any) -> Any:
        return tf.ensure_shape(tf.py_function(lambda t: t.numpy() * 2, [x], F32), [None, 3])

    return called


def ragged_signature() -> Any:
    @tf.function(input_signature=[tf.RaggedTensorSpec([None, None], F32)])
    def summed(rows: Any) -> Any:
        return tf.reduce_sum(rows, axis=1)

    return summed


def whole_numbers_and_bools() -> Any:
    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.int64, name="a"), tf.TensorSpec([None, 4], tf.bool, name="b")])
    def logic(a: Any, b: Any) -> Any:
        return {"any": tf.reduce_any(b & (a > 2), axis=1), "count": tf.reduce_sum(tf.where(b, a, -a), axis=1), "mod": a // 3}

    return logic


def deep_sets() -> Any:
    return keras_layers.deep_sets()


def subclassed_loop() -> Any:
    return keras_layers.subclassed_loop()


def keyed_input() -> Any:
    return keras_layers.keyed_input()


def branching() -> Any:
    return keras_layers.Branching()


def not_a_model() -> Any:
    return keras.optimizers.Adam()
