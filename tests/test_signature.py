"""The signature record: JSON round trip, sizes read off shapes, the dtype table."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portinf.errors import CannotError, UsageError
from portinf.signature import (
    DTYPES,
    Axis,
    Role,
    Signature,
    TensorSpec,
    dtype_by_kserve,
    dtype_by_numpy,
    dtype_by_onnx,
    dtype_by_triton,
)

labels = st.text(min_size=1, max_size=8)
axes = st.one_of(
    st.builds(Axis, size=st.integers(0, 100)),
    st.builds(Axis, label=labels, minimum=st.integers(0, 20), multiple=st.integers(1, 8)),
)
kinds = st.sampled_from(["value", "index", "segment", "mask", "row_splits"])
roles = st.builds(Role, kind=kinds, of=st.none() | labels, into=st.none() | labels)
specs = st.builds(
    TensorSpec,
    name=st.text(min_size=1, max_size=12),
    dtype=st.sampled_from([row.numpy for row in DTYPES]),
    shape=st.none() | st.lists(axes, max_size=4).map(tuple),
    role=roles,
    low=st.none() | st.floats(allow_nan=False),
    high=st.none() | st.floats(allow_nan=False),
    optional=st.booleans(),
)


@given(st.builds(Signature, inputs=st.lists(specs, max_size=3).map(tuple), outputs=st.lists(specs, max_size=3).map(tuple)))
def test_json_round_trip(signature: Signature) -> None:
    assert Signature.from_json(json.loads(json.dumps(signature.to_json()))) == signature


@pytest.mark.parametrize("row", DTYPES, ids=lambda row: row.numpy)
def test_the_four_names_of_a_type_agree(row: object) -> None:
    for find, column in (
        (dtype_by_numpy, "numpy"),
        (dtype_by_onnx, "onnx"),
        (dtype_by_triton, "triton"),
        (dtype_by_kserve, "kserve"),
    ):
        assert find(getattr(row, column)) is row


def test_the_table_agrees_with_onnx_and_triton() -> None:
    import numpy as np
    import onnx
    from tritonclient.grpc import model_config_pb2
    from tritonclient.utils import triton_to_np_dtype

    for row in DTYPES:
        assert row.triton in model_config_pb2.DataType.keys()  # noqa: SIM118 (a wrapper, not a dict)
        if row.numpy not in ("object", "bfloat16"):
            assert onnx.helper.np_dtype_to_tensor_dtype(np.dtype(row.numpy)) == row.onnx
            assert np.dtype(triton_to_np_dtype(row.kserve)) == np.dtype(row.numpy)
            assert np.dtype(row.numpy).itemsize == row.size


def test_unknown_types_are_named() -> None:
    with pytest.raises(CannotError, match="complex64"):
        dtype_by_numpy("complex64")


def _graph() -> Signature:
    nodes, edges = Axis(label="nodes", minimum=1), Axis(label="edges")
    return Signature(
        inputs=(
            TensorSpec(name="x", dtype="float32", shape=(nodes, Axis(size=3))),
            TensorSpec(name="edge_index", dtype="int64", shape=(Axis(size=2), edges), role=Role(kind="index", of="nodes")),
            TensorSpec(name="batch", dtype="int64", shape=(Axis(label="nodes"),)),
        ),
        outputs=(),
    )


def test_sizes_are_read_off_shapes() -> None:
    assert _graph().sizes({"x": (5, 3), "edge_index": (2, 7), "batch": (5,)}) == {"nodes": 5, "edges": 7}
    assert _graph().axes["nodes"].minimum == 1


@pytest.mark.parametrize(
    ("shapes", "text"),
    [
        ({"x": (5, 4)}, "expected shape"),
        ({"x": (5,)}, "expected shape"),
        ({"x": (0, 3)}, "at least 1"),
        ({"x": (5, 3), "batch": (6,)}, "must be equal"),
        ({"y": (5, 3)}, "no input 'y'"),
    ],
)
def test_shapes_that_do_not_fit_are_named(shapes: dict[str, tuple[int, ...]], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        _graph().sizes(shapes)


def test_an_axis_is_fixed_or_dynamic() -> None:
    with pytest.raises(UsageError):
        Axis()
    with pytest.raises(UsageError):
        Axis(size=1, label="n")


def test_minimums_reach_every_tensor_with_the_label() -> None:
    changed = _graph().with_minimum("nodes", 4)
    assert [a.minimum for s in changed.inputs for a in s.shape or () if a.label == "nodes"] == [4, 4]
