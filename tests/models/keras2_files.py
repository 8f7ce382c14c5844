"""Writes the Keras 2 files of `tests/models/keras2`, each with inputs and the answers of tf_keras 2.21; run once, by hand.

tf_keras wants the whole of TensorFlow; beside tensorflow-cpu it is installed with ``pip install --no-deps tf_keras==2.21.0``.
"""

import json
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tensorflow as tf
import tf_keras as keras

L = keras.layers
RNG = np.random.default_rng(3)


def masked() -> Any:
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    x = L.LSTM(5)(L.Embedding(20, 4, mask_zero=True)(tokens))
    return keras.Model(tokens, L.Dense(2, name="score")(x))


def hard_sigmoid() -> Any:
    """Keras 3 computes another function under this name."""
    tracks = keras.Input((7, 3), name="tracks")
    x = L.GRU(4, recurrent_activation="hard_sigmoid", return_sequences=True)(tracks)
    x = L.LSTM(4, recurrent_activation="hard_sigmoid")(x)
    return keras.Model(tracks, L.Dense(2, "hard_sigmoid", name="score")(x))


def many_layers() -> Any:
    x = image = keras.Input((12, 12, 4), name="image")
    for layer in (
        L.Conv2D(4, 3, padding="same"),
        L.BatchNormalization(),
        L.LeakyReLU(0.3),
        L.DepthwiseConv2D(3),
        L.PReLU(shared_axes=[1, 2]),
        L.SeparableConv2D(4, 3),
        L.ELU(),
        L.Conv2DTranspose(3, 3, strides=2),
        L.UpSampling2D(2),
        L.LayerNormalization(),
        L.AveragePooling2D(2),
        L.ThresholdedReLU(0.1),
        L.GlobalAveragePooling2D(),
        L.Dropout(0.3),
        L.Reshape((1, 3)),
        L.TimeDistributed(L.Dense(5, "selu")),
        L.Bidirectional(L.GRU(4)),
        L.Dense(6, "gelu"),
        L.Softmax(),
        L.Dense(3, "softplus"),
    ):
        x = layer(x)
    return keras.Model(image, x)


def operations() -> Any:
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    x = tf.concat([a * 2.0 + b, tf.nn.relu(a) - tf.exp(b)], axis=-1)
    return keras.Model([a, b], L.Dense(2, name="y")(x[:, 1:]))


def attention() -> Any:
    x = keras.Input((None, 6), name="x")
    both = L.Add()([L.MultiHeadAttention(2, 3)(x, x), x])
    return keras.Model(x, L.GlobalAveragePooling1D(name="y")(both))


def nested() -> Any:
    inner = keras.Sequential([keras.Input((4,)), L.Dense(3, "relu"), L.BatchNormalization()], name="inner")
    x, y = keras.Input((4,), name="x"), keras.Input((4,), name="y")
    return keras.Model([x, y], L.Dense(2, name="score")(L.Subtract()([inner(x), inner(y)])))


def states() -> Any:
    """An encoder whose last states start a decoder."""
    x, z = keras.Input((None, 3), name="x"), keras.Input((5, 2), name="z")
    _, h, c = L.LSTM(4, return_state=True)(x)
    return keras.Model([x, z], L.Dense(2, name="score")(L.LSTM(4)(z, initial_state=[h, c])))


def trained() -> Any:
    """With the state of an optimizer whose arguments are those of old Keras."""
    model = keras.Sequential([keras.Input((4,), name="hits"), L.Dense(8, "relu"), L.Dense(1, "sigmoid", name="score")])
    model.compile("adam", "binary_crossentropy")
    model.fit(np.ones((4, 4)), np.ones((4, 1)), verbose=0)
    return model


def _age(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        optimizer = {"class_name": "Adam", "config": {"lr": 0.001, "decay": 0.0, "beta_1": 0.9, "beta_2": 0.999}}
        training = {"optimizer_config": optimizer, "loss": "binary_crossentropy", "metrics": ["accuracy"]}
        file.attrs["training_config"] = json.dumps(training)
        file.attrs["keras_version"] = "2.2.4"


def _inputs(model: Any) -> dict[str, Any]:
    arrays = {}
    for tensor in model.inputs:
        shape = [n or (3 if k == 0 else 6) for k, n in enumerate(tensor.shape)]
        whole = tensor.dtype.is_integer
        arrays[tensor.name] = RNG.integers(0, 20, shape).astype("int32") if whole else RNG.normal(0, 1, shape).astype("float32")
    return arrays


def main(folder: Path) -> None:
    for build in (masked, hard_sigmoid, many_layers, operations, attention, nested, states, trained):
        model = build()
        model.set_weights([np.abs(RNG.normal(0, 0.5, w.shape)).astype(w.dtype) for w in model.get_weights()])
        path = folder / f"{build.__name__}.h5"
        model.save(path)
        if build is trained:
            _age(path)
        inputs = _inputs(model)
        answer = model(list(inputs.values()) if len(inputs) > 1 else next(iter(inputs.values())), training=False)
        np.savez(folder / f"{build.__name__}.npz", **inputs, answer=answer.numpy())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
