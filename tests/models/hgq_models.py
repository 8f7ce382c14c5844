"""Networks of HGQ2 with bits of their own for every number, written in a process of their own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np


def build(sizes: tuple[int, ...]) -> Any:
    """Return a model of dense layers, its ranges seen on drawn rows."""
    import keras
    from hgq.config import LayerConfigScope, QuantizerConfigScope
    from hgq.layers import QDense
    from hgq.utils import trace_minmax

    keras.utils.set_random_seed(1)
    weights = QuantizerConfigScope(place="all", default_q_type="kbi", overflow_mode="SAT_SYM")
    lanes = QuantizerConfigScope(place="datalane", default_q_type="kif", overflow_mode="WRAP")
    with weights, lanes, LayerConfigScope(enable_ebops=False, enable_iq=True):
        layers = [QDense(size, activation="relu") for size in sizes[1:-1]]
        model = keras.Sequential([keras.Input((sizes[0],), name="x"), *layers, QDense(sizes[-1], name="y")])
    trace_minmax(model, rows(sizes[0], 2000))
    return model


def rows(size: int, count: int, seed: int = 0) -> Any:
    """Return drawn rows."""
    return np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)


if __name__ == "__main__":
    build(tuple(int(size) for size in sys.argv[2].split("-"))).save(Path(sys.argv[1]))
