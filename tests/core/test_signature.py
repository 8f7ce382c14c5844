"""The signature record: JSON round trip, sizes read off shapes, the dtype table."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portinf.core.errors import CannotError, UsageError
from portinf.core.signature import (
    DTYPES,
    Axis,
    Role,
    Signature,
    TensorSpec,
    dtype_by_kserve,
    dtype_by_numpy,
    dtype_by_onnx,
    dtype_by_triton,
    maximums_from,
    maximums_told,
)

labels = st.text(min_size=1, max_size=8)
axes = st.one_of(
    st.builds(Axis, size=st.integers(0, 100)),
    st.builds(
        Axis, label=labels, minimum=st.integers(0, 20), multiple=st.integers(1, 8), maximum=st.none() | st.integers(30, 10**9)
    ),
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


def test_a_largest_length_is_shown_kept_and_enforced() -> None:
    graph = _graph().with_limits("nodes", maximum=200)
    assert graph.input("x").shape_text() == "[1<=nodes<=200, 3]"
    assert graph.axes["nodes"].maximum == 200
    assert graph.axes["edges"].maximum is None
    assert Signature.from_json(json.loads(json.dumps(graph.to_json()))) == graph
    assert graph.sizes({"x": (200, 3)}) == {"nodes": 200}
    with pytest.raises(UsageError, match="axis 'nodes' has length 201, and this model is valid up to 200 only"):
        graph.sizes({"x": (201, 3)})
    with pytest.raises(UsageError, match="the largest length is 4, and the model needs at least 5"):
        _graph().with_limits("nodes", minimum=5, maximum=4)
    with pytest.raises(UsageError, match="this model takes multiples of 8 only"):
        _graph().with_limits("edges", multiple=8).sizes({"edge_index": (2, 12)})


def test_files_without_a_largest_length_are_read_and_written_as_before() -> None:
    written = _graph().to_json()
    assert written["inputs"][0]["shape"] == [{"label": "nodes", "minimum": 1, "multiple": 1}, 3]
    assert Signature.from_json(written) == _graph()


def test_the_strictest_largest_length_counts() -> None:
    axes = [Axis(label="n", maximum=9, multiple=2), Axis(label="n"), Axis(label="n", maximum=7)]
    specs = tuple(TensorSpec(name=str(k), dtype="float32", shape=(axis,)) for k, axis in enumerate(axes))
    strictest = Signature(inputs=specs, outputs=()).axes["n"]
    assert (strictest.maximum, strictest.multiple) == (7, 2)
    assert [strictest.fit(n) for n in (0, 3, 6, 7, 50)] == [0, 4, 6, 6, 6]


def test_largest_lengths_travel_as_parameters_of_a_served_model() -> None:
    odd = TensorSpec(name="a.1:b", dtype="float32", shape=(Axis(label="n"), Axis(label="m", maximum=50), Axis(size=2)))
    signature = Signature(inputs=(odd,), outputs=())
    assert maximums_told(signature) == {"portinf_maximum.a.1:b.1": "50"}
    assert maximums_from({**maximums_told(signature), "portinf_maximum.x": "1", "other": "2"}) == {("a.1:b", 1): 50}


def test_minimums_reach_every_tensor_with_the_label() -> None:
    changed = _graph().with_minimum("nodes", 4)
    assert [a.minimum for s in changed.inputs for a in s.shape or () if a.label == "nodes"] == [4, 4]
