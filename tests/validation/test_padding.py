"""Made rows that are all padding: found by any mask, whichever of its values means padding."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from portinf.core.batch import Array, Arrays, Batch
from portinf.core.signature import Axis, Role, Signature, TensorSpec
from portinf.validation.padding import undefined_places
from portinf.validation.tolerance import Bound
from tests.validation.sides import Side

N, L = Axis(label="n"), Axis(label="L")
X = np.random.default_rng(3).normal(size=(5, 4, 2)).astype(np.float32)


def reference(mask: TensorSpec, padding: float) -> Side:
    """Return the mean of the valid entries; of rows without one that of their padding."""

    def infer(inputs: Mapping[str, Array]) -> Arrays:
        valid = (inputs["m"] != padding).reshape(len(inputs["m"]), -1)
        weights = np.where(valid.any(1, keepdims=True), valid, True).astype(np.float32)
        return {"y": (inputs["x"] * weights[:, :, None]).sum(1) / weights.sum(1, keepdims=True)}

    side = Side(infer)
    x = TensorSpec(name="x", dtype="float32", shape=(N, L, Axis(size=2)))
    side.signature = Signature(inputs=(x, mask), outputs=(TensorSpec(name="y", dtype="float32", shape=(N, Axis(size=2))),))
    return side


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize(
    ("dtype", "shape", "role"),
    [
        ("float32", (N, L), Role(kind="mask", of="L")),
        ("bool", (N, L), Role()),
        ("int64", (N, Axis(size=1), L), Role()),
    ],
)
def test_rows_of_padding_alone_are_undefined(dtype: str, shape: tuple[Axis, ...], role: Role, padding: int) -> None:
    valid = np.ones((5, 4), bool)
    valid[1:, 3] = False
    lengths = [len(X) if axis is N else 4 if axis is L else 1 for axis in shape]
    given = np.where(valid, 1 - padding, padding).astype(dtype).reshape(lengths)
    valid[2] = False
    made = np.where(valid, 1 - padding, padding).astype(dtype).reshape(lengths)
    side = reference(TensorSpec(name="m", dtype=dtype, shape=shape, role=role), padding)
    batch = Batch(name="made", inputs={"x": X, "m": made}, origin="generated")
    answer = side.infer(batch.inputs)["y"]
    sample = Batch(name="given", inputs={"x": X, "m": given})
    places = undefined_places(side, batch, "y", answer, Bound(rtol=1e-4, atol=1e-5), [sample])
    assert places.any(axis=1).tolist() == [False, False, True, False, False]
    whole = Batch(name="given again", inputs={"x": X, "m": given}, origin="generated")
    assert not undefined_places(side, whole, "y", answer, Bound(rtol=1e-4, atol=1e-5), [sample]).any()


def test_an_input_that_is_no_mask_changes_nothing() -> None:
    side = reference(TensorSpec(name="m", dtype="float32", shape=(N, L)), 0)
    batch = Batch(name="made", inputs={"x": X, "m": X[:, :, 0]}, origin="generated")
    answer = side.infer(batch.inputs)["y"]
    assert not undefined_places(side, batch, "y", answer, Bound(rtol=1e-4, atol=1e-5), []).any()
    assert not undefined_places(None, batch, "y", answer, Bound(rtol=1e-4, atol=1e-5), []).any()
