"""Shapes on the wire: what the configuration calls [1] is sent as one element."""

from __future__ import annotations

import numpy as np
import pytest

from portinf.core.batch import Batch, shapes_of
from portinf.core.signature import Axis, Signature, TensorSpec
from portinf.triton.config import config_of
from tests.serving.shapes import as_served

BATCH, FOUR = Axis(label="batch"), Axis(size=4)


def spec(name: str, *shape: Axis) -> TensorSpec:
    return TensorSpec(name=name, dtype="float32", shape=shape)


@pytest.mark.parametrize("size", [0, 8])
def test_the_wire_has_the_ranks_of_the_configuration(size: int) -> None:
    inputs = (spec("x", BATCH, FOUR), spec("w", BATCH)) + (() if size else (spec("k"),))
    signature = Signature(inputs=inputs, outputs=(spec("y", BATCH),))
    shapes = {"x": (3, 4), "w": (3,), "k": ()}
    batch = Batch(
        name="b",
        inputs={s.name: np.ones(shapes[s.name], dtype=np.float32) for s in inputs},
        expected={"y": np.ones(3, dtype=np.float32)},
    )
    served = as_served(batch, signature, size)
    config = config_of("m", signature, size)
    for tensors, arrays in ((config.inputs, served.inputs), (config.outputs, served.expected or {})):
        for tensor in tensors:
            assert arrays[tensor.name].ndim == len(tensor.dims) + (size > 0)
    assert shapes_of(served.inputs)["x"] == (3, 4)
    assert shapes_of(served.inputs)["w"] == ((3, 1) if size else (3,))


def test_without_recorded_outputs_there_are_none() -> None:
    signature = Signature(inputs=(spec("x"),), outputs=(spec("y"),))
    served = as_served(Batch(name="b", inputs={"x": np.array(2.0)}), signature, 0)
    assert (served.inputs["x"].shape, served.expected) == ((1,), None)
