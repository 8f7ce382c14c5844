"""Builds the network of the FACILE example: a small batch-normalised perceptron in Keras."""

from __future__ import annotations

from typing import Any

import keras

from examples.facile.sample import INPUT_NAMES

__all__ = ["HIDDEN", "build"]

HIDDEN = (36, 24, 12)  # 2053 parameters with their normalisations: the "about 2000" of FACILE
AVERAGING = 0.95  # of the normalisations' running means: about 20 batches


def build() -> Any:
    """Return the untrained ``keras.Model``: ``channels`` [channel, 15] to ``energy`` [channel, 1] in GeV.

    The first layer normalises the inputs, so that a user sends charges and indices as they are; no scaling is left to
    the client. Shape and size follow the network of arXiv 2007.10359 and its FPGA variant in arXiv 2010.08556.
    """
    inputs = keras.Input((len(INPUT_NAMES),), name="channels")
    hidden = keras.layers.BatchNormalization(momentum=AVERAGING, name="scale")(inputs)
    for index, width in enumerate(HIDDEN, start=1):
        hidden = keras.layers.Dense(width, use_bias=False, name=f"dense_{index}")(hidden)
        hidden = keras.layers.BatchNormalization(momentum=AVERAGING, name=f"norm_{index}")(hidden)
        hidden = keras.layers.ReLU(name=f"relu_{index}")(hidden)
    return keras.Model(inputs, keras.layers.Dense(1, name="energy")(hidden), name="facile")
