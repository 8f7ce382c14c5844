"""Converts many TensorFlow functions at once and prints, as JSON, which of them the file computes otherwise far out."""

import json
import logging
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import onnxruntime
import tensorflow as tf
import tf2onnx

from portinf.converters.ends import fix_ends
from portinf.converters.tensorflow.operators import handlers
from portinf.onnx_graph.passes.exporter_fixes import fix
from tests.converters.far_grid import BEYOND, FLOATS, INTEGERS, PAIRED, ROWS, difference

OPSET = 18
Functions = dict[str, Callable[[Any], Any]]
m = tf.math


def like(value: float, x: Any) -> Any:
    return tf.constant(value, x.dtype)


def paired(function: Callable[..., Any]) -> Callable[[Any], Any]:
    return lambda x: function(x[:, None] + 0 * x[None], x[None] + 0 * x[:, None])


def entropy(a: Any, b: Any) -> Any:
    return tf.nn.sigmoid_cross_entropy_with_logits(logits=a, labels=tf.clip_by_value(b, 0.0, 1.0))


ONE: Functions = {
    "log1p": m.log1p,
    "expm1": m.expm1,
    "softplus": m.softplus,
    "log_sigmoid": m.log_sigmoid,
    "erfc": m.erfc,
    "sign": tf.sign,
    "round": tf.round,
    "clip": lambda x: tf.clip_by_value(x, -1.0, 1.0),
    "maximum": lambda x: tf.maximum(x, 0.0),
    "floormod": lambda x: m.floormod(tf.clip_by_value(x, -1e4, 1e4), 0.7),
    "floormod of a negative number": lambda x: m.floormod(tf.clip_by_value(x, -1e4, 1e4), -2.0),
    "floordiv": lambda x: m.floordiv(x, 0.7),
    "truncatediv": lambda x: tf.truncatediv(x, 0.7),
    "truncatemod": lambda x: tf.truncatemod(tf.clip_by_value(x, -1e4, 1e4), 0.7),
    "angle between -pi and pi": lambda x: m.floormod(tf.clip_by_value(x, -1e3, 1e3) + np.pi, 2 * np.pi) - np.pi,
    "xlogx": lambda x: m.xlogy(x, x),
    "xlog1px": lambda x: m.xlog1py(x, x),
    "xdivx": lambda x: m.xdivy(x, x),
    "choice": lambda x: tf.where(x > 0, m.log(x), 0.0),
    "choice of what is finite": lambda x: tf.where(m.is_finite(x), x, 0.0),
    "choice of a quotient": lambda x: tf.where(tf.abs(x) > 0, 1 / x, 0.0),
    "searchsorted": lambda x: tf.searchsorted(tf.constant([-1.0, 0.0, 1e-8, 2.0, 9.0]), x, side="right"),
    "log of a sigmoid": lambda x: m.log(m.sigmoid(tf.clip_by_value(x, -80.0, 1e30))) * tf.cast(x < 9, tf.float32),
    "log with an epsilon": lambda x: m.log(tf.abs(x) + 1e-8),
    "ratio with an epsilon": lambda x: x / (tf.abs(x) + 1e-9),
    "logaddexp of Keras": lambda x: keras.ops.logaddexp(x, x[::-1]),
    "nan_to_num of Keras": lambda x: keras.ops.nan_to_num(x, 1.5, 9.0, -9.0),
    "soft_shrink of Keras": keras.activations.soft_shrink,
    "hard_shrink of Keras": keras.activations.hard_shrink,
    "mish of Keras": lambda x: keras.activations.mish(tf.maximum(x, -80.0)),
    "log_sigmoid of Keras": keras.activations.log_sigmoid,
    "elu": tf.nn.elu,
    "selu": tf.nn.selu,
    "celu of Keras": keras.activations.celu,
    "gelu of Keras": keras.activations.gelu,
    "sinc of Keras": lambda x: keras.ops.sinc(tf.clip_by_value(x, -100.0, 100.0)),
}
TWO: Functions = {
    "atan2": lambda a, b: m.atan2(tf.clip_by_value(a, -1e30, 1e30), tf.clip_by_value(b, -1e30, 1e30)),
    "floormod": lambda a, b: m.floormod(tf.clip_by_value(a, -1e4, 1e4), tf.sign(b) * tf.maximum(tf.abs(b), 0.3)),
    "divide_no_nan": m.divide_no_nan,
    "multiply_no_nan": m.multiply_no_nan,
    "xlogy": m.xlogy,
    "maximum": m.maximum,
    "cross entropy": entropy,
}
ROW: Functions = {
    "maximum": lambda x: tf.reduce_max(x, 1),
    "minimum": lambda x: tf.reduce_min(x, 1, keepdims=True),
    "maximum of Keras": lambda x: keras.layers.GlobalMaxPooling1D()(x[:, :, None]),
    "logsumexp": lambda x: tf.reduce_logsumexp(x, 1),
    "log_softmax": lambda x: tf.nn.log_softmax(x[8:]),
    "sparse cross entropy": lambda x: tf.nn.sparse_softmax_cross_entropy_with_logits(
        logits=x[8:], labels=tf.zeros(tf.shape(x[8:])[0], tf.int32)
    ),
    "double log": lambda x: m.log(tf.cast(tf.abs(x[8:]) + 1, tf.float64)),
    "double sort": lambda x: tf.sort(tf.cast(x[8:], tf.float64) + 1e-12, 1),
}
WHOLE: Functions = {
    "floordiv": lambda x: m.floordiv(x, like(3, x)),
    "floordiv by a negative number": lambda x: x // like(-3, x),
    "rounded up": lambda x: -m.floordiv(-x, like(3, x)),
    "floormod": lambda x: m.floormod(x, like(3, x)),
    "floormod of a negative number": lambda x: x % like(-3, x),
    "truncatediv": lambda x: tf.truncatediv(x, like(3, x)),
    "truncatemod": lambda x: tf.truncatemod(x, like(3, x)),
    "greater": lambda x: m.greater(x, like(2**24, x)),
    "less": lambda x: m.less(x, like(2**24 + 3, x)),
    "sort": lambda x: tf.sort(x, direction="DESCENDING"),
    "top_k": lambda x: m.top_k(x, 5)[1],
    "sign": tf.sign,
    "clip": lambda x: tf.clip_by_value(x, like(-5, x), like(5, x)),
    "maximum": lambda x: tf.maximum(x, like(0, x)),
    "relu": tf.nn.relu,
    "one_hot": lambda x: tf.one_hot(x, 5),
    "one_hot, other values": lambda x: tf.one_hot(x, 5, on_value=0.9, off_value=0.1, axis=0),
    "one_hot in the middle": lambda x: tf.one_hot(tf.stack([x, -x], 1), 5, axis=1),
    "one_hot of integers": lambda x: tf.one_hot(x, 5, dtype=tf.int32),
    "one_hot of truth": lambda x: tf.one_hot(x, 5, on_value=True, off_value=False),
    "one_hot of Keras": lambda x: keras.ops.one_hot(x, 5),
    "multi_hot of Keras": lambda x: keras.ops.multi_hot(x[:, None], 5),
    "scatter_nd": lambda x: tf.scatter_nd(m.floormod(x, like(4, x))[:, None], x % like(7, x), tf.constant([4], x.dtype)),
    "tensor_scatter_nd_add": lambda x: tf.tensor_scatter_nd_add(
        tf.zeros(4), m.floormod(x, like(4, x))[:, None], tf.ones_like(x, tf.float32)
    ),
    "unsorted_segment_sum": lambda x: m.unsorted_segment_sum(tf.ones_like(x), m.floormod(x, like(6, x)) - like(2, x), 4),
}
# Terms of size 100 that cancel; and functions that are no more exact in TensorFlow itself.
SLACK = {"cross entropy": 1e-5, "elu": 2e-7, "selu": 2e-7, "celu of Keras": 2e-7, "gelu of Keras": 5e-7, "mish of Keras": 1e-6}
GROUPS: list[tuple[Functions, Any]] = [
    (ONE, FLOATS),
    ({name: paired(function) for name, function in TWO.items()}, PAIRED[np.isfinite(PAIRED)]),
    (ROW, ROWS),
    (WHOLE, INTEGERS.astype(np.int32)),
    (WHOLE, BEYOND),
]


def wrong(functions: Functions, x: Any) -> dict[str, str]:
    specs = [tf.TensorSpec([None, *x.shape[1:]], x.dtype, name="x")]
    function = tf.function(lambda x: [tf.identity(f(x)) for f in functions.values()], input_signature=specs, autograph=False)
    model, _ = tf2onnx.convert.from_function(function, specs, opset=OPSET, custom_op_handlers=handlers(OPSET))
    fix(model)
    fix_ends(model, "tensorflow")
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run([value.name for value in model.graph.output], {"x": x})
    differences: dict[str, str] = {}
    for name, right, answer in zip(functions, function(tf.constant(x)), found, strict=True):
        if text := difference(right.numpy(), answer, SLACK.get(name, 0.0)):
            differences[name] = text
    return differences


logging.getLogger("tf2onnx").setLevel(logging.ERROR)
print(json.dumps({f"{x.dtype}, {next(iter(functions))}": wrong(functions, x) for functions, x in GROUPS}))
