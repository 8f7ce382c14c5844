"""Keras models of the tests, with fixed weights; run as a script it writes them as files."""

import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf


def _seeded(model: keras.Model) -> keras.Model:
    rng = np.random.default_rng(7)
    model.set_weights([np.abs(rng.normal(0, 0.5, w.shape)).astype(w.dtype) for w in model.get_weights()])
    return model


def sequential() -> keras.Model:
    layers = [keras.Input((4,), name="hits"), keras.layers.Dense(8, "relu"), keras.layers.Dense(1, "sigmoid", name="score")]
    return _seeded(keras.Sequential(layers))


def two_and_two() -> keras.Model:
    """Two inputs, one of dynamic length, and two outputs; gelu, batch normalisation."""
    tracks = keras.Input((None, 3), name="tracks")
    event = keras.Input((2,), name="event")
    pooled = keras.layers.GlobalMaxPooling1D()(keras.layers.Dense(4, "gelu")(tracks))
    both = keras.layers.BatchNormalization()(keras.layers.Concatenate()([pooled, event]))
    return _seeded(
        keras.Model(
            [tracks, event], [keras.layers.Dense(2, "softmax", name="flavour")(both), keras.layers.Dense(1, name="pt")(both)]
        )
    )


def convolution() -> keras.Model:
    image = keras.Input((8, 8, 2), name="image")
    x = keras.layers.Conv2D(3, 3, activation="relu")(image)
    return _seeded(keras.Model(image, keras.layers.Dense(2, name="classes")(keras.layers.Flatten()(x))))


def with_lambda() -> keras.Model:
    x = keras.Input((4,), name="x")
    return keras.Model(x, keras.layers.Lambda(lambda t: t * 2.0, output_shape=(4,))(x))


class Module(tf.Module):
    @tf.function(
        input_signature=[tf.TensorSpec([None, 3], tf.float64, name="momenta"), tf.TensorSpec([None], tf.int64, name="charge")]
    )
    def __call__(self, momenta: tf.Tensor, charge: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"z_sum": tf.reduce_sum(momenta, 1) * tf.cast(charge, tf.float64), "a_positive": charge > 0}


def main(folder: Path) -> None:
    for model in (sequential, two_and_two, convolution, with_lambda):
        model().save(folder / f"{model.__name__}.keras")
    module = Module()
    tf.saved_model.save(module, str(folder / "saved"), signatures=module.__call__)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
