"""Converts small functions with portinf's own operator handlers and prints the largest difference of each as JSON."""

import json
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import tensorflow as tf
import tf2onnx

from portinf.converters.tensorflow.operators import handlers

OPSET = 18
F32, I64 = tf.float32, tf.int64
NEAR_ZERO = np.array([-0.999, -1e-3, -1e-8, 0, 1e-12, 1e-8, 1e-4, 0.5, 3, 80, 1e30, np.inf], np.float32)
ROWS = np.random.default_rng(1).normal(size=(7, 3)).astype("float32")
NEGATIVE = np.array([2, -1, 0, 2, 5, 0, -1])  # negative rows are dropped, segments 1, 3, 4 stay empty
EMPTY = (np.zeros((0, 3), "float32"), np.zeros(0, np.int64))
EDGES = np.array([0, 1, 1, 4, 9], np.float32)
WAVES = np.random.default_rng(2).normal(size=(3, 16)).astype("float32")

Case = tuple[Callable[..., Any], list[Any], list[tuple[Any, ...]]]
FLOAT, SEGMENTS = [tf.TensorSpec([None], F32)], [tf.TensorSpec([None, 3], F32), tf.TensorSpec([None], I64)]
CASES: dict[str, Case] = {
    "log1p": (tf.math.log1p, FLOAT, [(NEAR_ZERO,), (NEAR_ZERO[:0],)]),
    "expm1": (tf.math.expm1, FLOAT, [(np.clip(NEAR_ZERO, -50, 60),), (np.array([-np.inf, -90, 90], "float32"),)]),
    "xlogy": (lambda x: tf.math.xlogy(x, x), FLOAT, [(np.array([0, 0.5, 2], "float32"),)]),
    "upper": (lambda v: tf.searchsorted(EDGES, v, side="right"), FLOAT, [(np.array([-1, 0, 1, 2, 9, 10], "float32"),)]),
    "lower": (lambda v: tf.searchsorted(EDGES, v, side="left"), FLOAT, [(np.array([-1, 0, 1, 2, 9, 10], "float32"),)]),
    "real": (lambda w: tf.math.real(tf.signal.rfft(w)), [tf.TensorSpec([None, 16], F32)], [(WAVES,)]),
    "imaginary": (lambda w: tf.math.imag(tf.signal.rfft(w, [10])), [tf.TensorSpec([None, 16], F32)], [(WAVES,)]),
    "longer": (lambda w: tf.abs(tf.signal.rfft(w, [20])), [tf.TensorSpec([None, 16], F32)], [(WAVES,), (WAVES[:1],)]),
    "sum": (lambda x, i: tf.math.unsorted_segment_sum(x, i, 6), SEGMENTS, [(ROWS, NEGATIVE), EMPTY]),
    "prod": (lambda x, i: tf.math.unsorted_segment_prod(x, i, 6), SEGMENTS, [(ROWS, NEGATIVE), EMPTY]),
    "max": (lambda x, i: tf.math.unsorted_segment_max(x, i, 6), SEGMENTS, [(ROWS, NEGATIVE), EMPTY]),
    "min": (lambda x, i: tf.math.unsorted_segment_min(x, i, 6), SEGMENTS, [(ROWS, NEGATIVE), EMPTY]),
}


def _difference(case: Case) -> float:
    compute, specs, batches = case
    function = tf.function(compute, input_signature=specs)
    model, _ = tf2onnx.convert.from_function(function, specs, opset=OPSET, custom_op_handlers=handlers(OPSET))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    largest = 0.0
    for batch in batches:
        requested = function(*[tf.constant(array) for array in batch]).numpy()
        found = session.run(None, dict(zip([i.name for i in session.get_inputs()], batch, strict=True)))[0]
        assert found.shape == requested.shape, (found.shape, requested.shape)
        assert found.dtype == requested.dtype
        np.testing.assert_array_equal(np.isfinite(found), np.isfinite(requested))
        finite = np.isfinite(requested)
        spectrum = batch[0].shape[1:] == (16,)  # its terms cancel: what counts is the size of the largest
        floor = np.abs(requested[finite]).max(initial=0) if spectrum else 1e-30
        scale = np.maximum(np.abs(requested[finite]), floor)
        largest = max(largest, float((np.abs(found[finite] - requested[finite]) / scale).max(initial=0)))
    return largest


logging.getLogger("tf2onnx").setLevel(logging.ERROR)
results: dict[str, Any] = {}
for name, entry in CASES.items():
    try:
        results[name] = _difference(entry)
    except Exception as error:  # noqa: BLE001 (whatever fails is this operator's result)
        results[name] = f"{type(error).__name__}: {error}"[:500]
print(json.dumps(results))
