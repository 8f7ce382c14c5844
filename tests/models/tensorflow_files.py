"""Writes TensorFlow and Keras models as files: frozen graphs, TensorFlow Lite, HDF5, SavedModel. Run as a script."""

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from tests.models import keras_layers, tensorflow_models

v1 = tf.compat.v1


def _constant(*shape: int) -> Any:
    return tf.constant(np.random.default_rng(9).normal(0, 0.5, shape).astype("float32"))


def frozen(folder: Path) -> None:
    """Two outputs with slashes in their names, a placeholder that only training used."""
    graph = tf.Graph()
    with graph.as_default():
        x = v1.placeholder(tf.float32, [None, 5], name="main_input")
        v1.placeholder(tf.float32, [None, 2], name="labels")
        hidden = tf.nn.relu(tf.matmul(x, _constant(5, 8)), name="hidden/Relu")
        tf.nn.bias_add(tf.matmul(hidden, _constant(8, 2)), _constant(2), name="output/BiasAdd")
        tf.nn.softmax(tf.matmul(hidden, _constant(8, 3)), name="em_trk_none_netout/Softmax")
    (folder / "frozen.pb").write_bytes(graph.as_graph_def().SerializeToString())


def frozen_without_shapes(folder: Path) -> None:
    """Placeholders of unknown rank, several outputs of one node."""
    graph = tf.Graph()
    with graph.as_default():
        x = v1.placeholder(tf.float32, None, name="x")
        tf.nn.top_k(x, k=2, name="best")
    (folder / "frozen_unranked.pb").write_bytes(graph.as_graph_def().SerializeToString())


def not_frozen(folder: Path) -> None:
    graph = tf.Graph()
    with graph.as_default():
        x = v1.placeholder(tf.float32, [None, 5], name="x")
        w = v1.get_variable("w", [5, 2], use_resource=False)
        tf.matmul(x, w, name="y")
    (folder / "not_frozen.pb").write_bytes(graph.as_graph_def().SerializeToString())


def frozen_recurrent(folder: Path) -> None:
    """A Keras LSTM, frozen with while loops as functions, and lowered to the control flow of TensorFlow 1."""
    function = _function(keras_layers.gru_dynamic())
    for name, lowered in (("frozen_gru", False), ("frozen_gru_lowered", True)):
        fixed = convert_variables_to_constants_v2(function, lower_control_flow=lowered)
        (folder / f"{name}.pb").write_bytes(fixed.graph.as_graph_def().SerializeToString())


def frozen_network(folder: Path) -> None:
    fixed = convert_variables_to_constants_v2(_function(keras_layers.residual_network()))
    (folder / "frozen_cnn.pb").write_bytes(fixed.graph.as_graph_def().SerializeToString())


def frozen_old(folder: Path) -> None:
    """The loop and the branch of TensorFlow 1."""
    v1.disable_control_flow_v2()
    for name in ("loop", "branch"):
        graph = tf.Graph()
        with graph.as_default():
            x = v1.placeholder(tf.float32, [None, 4], name="x")
            w = _constant(4, 4)
            if name == "loop":
                y = v1.while_loop(lambda k, s: k < 3, lambda k, s, w=w: (k + 1, tf.tanh(s @ w)), (tf.constant(0), x))[1]
            else:
                y = v1.cond(tf.reduce_sum(x) > 0, lambda x=x, w=w: x @ w, lambda x=x: -x)
            tf.identity(y, name="y")
        (folder / f"frozen_{name}.pb").write_bytes(graph.as_graph_def().SerializeToString())
    v1.enable_control_flow_v2()


def _function(model: Any) -> Any:
    specs = [tf.TensorSpec(t.shape, t.dtype, name=t.name) for t in model.inputs]
    return tf.function(lambda *tensors: model(list(tensors) if len(tensors) > 1 else tensors[0])).get_concrete_function(*specs)


def _lite(folder: Path, name: str, build: Callable[[], Any], prepare: Callable[[Any], None] = lambda _: None) -> None:
    model = build()
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    prepare(converter)
    (folder / f"{name}.tflite").write_bytes(converter.convert())


def lite(folder: Path) -> None:
    def rows(converter: Any) -> None:
        rng = np.random.default_rng(4)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([rng.normal(0, 1, (1, 16, 16, 3)).astype("float32")] for _ in range(20))

    _lite(folder, "cnn", keras_layers.residual_network)
    _lite(folder, "attention", keras_layers.transformer)
    _lite(folder, "two_inputs", keras_layers.nested_models)
    spec = tf.TensorSpec([1, 9, 3], name="tracks")  # its while loop is lowered at a fixed batch only
    fixed = convert_variables_to_constants_v2(tf.function(keras_layers.lstm()).get_concrete_function(spec))
    (folder / "recurrent.tflite").write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([fixed]).convert())
    _lite(folder, "quantised", keras_layers.residual_network, rows)


def hdf5(folder: Path) -> None:
    """Files of Keras 3."""
    keras_layers.embedding_masked().save(folder / "keras3.h5")
    keras_layers.nested_models().save_weights(folder / "only.weights.h5")
    model = keras_layers.residual_network()
    model.compile("adam", "mse")
    model.fit(np.zeros((2, 16, 16, 3)), np.zeros((2, 3)), verbose=0)
    model.save(folder / "keras3_trained.hdf5")
    x = keras.Input((4, 4), name="x")
    keras.Model(x, keras.layers.Softmax(axis=(1, 2), name="y")(x)).save(folder / "keras3_axes.h5")


def saved(folder: Path) -> None:
    keras_layers.transformer().export(folder / "exported", verbose=False)
    keras_layers.gru_dynamic().export(folder / "exported_gru", verbose=False)
    keras_layers.transformer().save(folder / "transformer.keras")
    module = tensorflow_models.module()
    tf.saved_model.save(module, str(folder / "saved_module"), signatures=module.__call__)
    keras_layers.custom_layer().save(folder / "custom_layer.keras")
    keras_layers.named_by_dicts().save(folder / "dicts.keras")


WRITERS = (frozen, frozen_without_shapes, not_frozen, frozen_recurrent, frozen_network, frozen_old, lite, hdf5, saved)


def main(folder: Path, names: list[str]) -> None:
    """Write all files, or those of the functions named."""
    warnings.simplefilter("ignore")
    for write in WRITERS:
        if not names or write.__name__ in names:
            write(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
