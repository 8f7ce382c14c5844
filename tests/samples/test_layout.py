"""Columns into the shapes that models have: weaver's two padded ones, and ragged ones with segments or row splits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portinf.core.errors import UsageError
from portinf.core.signature import Axis, Role
from portinf.samples import InputRequest, StreamOptions, open_stream
from portinf.samples.stream import FileStream
from tests.samples.files import memory, write

BATCH, N = Axis(label="batch"), Axis(label="n")
COUNTS = st.lists(st.integers(0, 6), min_size=1, max_size=9)


def events(counts: list[int], columns: int = 2) -> dict[str, Any]:
    """Columns ``c0``, ``c1``, ...: entry k of row r of column c is 100 r + 10 k + c + 1."""
    return {f"c{c}": [[100.0 * r + 10 * k + c + 1 for k in range(n)] for r, n in enumerate(counts)] for c in range(columns)}


def stream(columns: dict[str, Any], /, *requested: InputRequest, **options: Any) -> FileStream:
    return FileStream(memory(columns), StreamOptions(**options), requested)


def single(columns: dict[str, Any], /, *requested: InputRequest, **options: Any) -> dict[str, np.ndarray[Any, Any]]:
    batches = list(stream(columns, *requested, **options))
    assert len(batches) == 1
    return batches[0].inputs


def x(*axes: Axis, role: Role | None = None, name: str = "x", dtype: str = "float32") -> InputRequest:
    return InputRequest(name=name, dtype=dtype, shape=axes, role=role or Role())


@settings(deadline=None, max_examples=40)
@given(counts=COUNTS, features_last=st.booleans(), length=st.integers(1, 8), fixed=st.booleans())
def test_padding_with_a_mask(counts: list[int], features_last: bool, length: int, fixed: bool) -> None:
    entries = Axis(size=length) if fixed else N
    if fixed and length == 2:
        return  # ambiguous: see below
    shape = (BATCH, entries, Axis(size=2)) if features_last else (BATCH, Axis(size=2), entries)
    mask = x(BATCH, Axis(size=1), entries, role=Role(kind="mask", of="n"), name="m", dtype="bool")
    one = {"masks": {"m": "c0"}} if fixed else {}
    if fixed and length == 1:
        mask = x(BATCH, entries, role=mask.role, name="m", dtype="bool")
    file = stream(events(counts), x(*shape), mask, columns={"x": ["c0", "c1"]}, batch_rows=100, **one)
    inputs = next(iter(file)).inputs
    longest = length if fixed else max(counts)
    found = inputs["x"] if features_last else np.moveaxis(inputs["x"], 1, 2)
    assert found.shape == (len(counts), longest, 2)
    valid = inputs["m"].reshape(len(counts), longest)
    for r, n in enumerate(counts):
        kept = min(n, longest)
        assert valid[r].tolist() == [True] * kept + [False] * (longest - kept)
        assert found[r, :kept].tolist() == [[100 * r + 10 * k + c + 1 for c in range(2)] for k in range(kept)]
        assert not found[r, kept:].any()
    list(file)
    cut = sum(max(0, n - longest) for n in counts)
    assert any(f"{cut} entries after the first {longest}" in note for note in file.notes) == bool(cut)


@settings(deadline=None, max_examples=40)
@given(counts=COUNTS, splits=st.booleans(), batch_rows=st.integers(1, 10))
def test_ragged_with_segments_or_splits(counts: list[int], splits: bool, batch_rows: int) -> None:
    kind = "row_splits" if splits else "segment"
    made = x(Axis(label="s"), role=Role(kind=kind, of="n"), name="s", dtype="int32")  # type: ignore[arg-type]
    file = stream(events(counts), x(N, Axis(size=2)), made, columns={"x": ["c0", "c1"]}, batch_rows=batch_rows)
    seen = 0
    for batch in file:
        part = counts[seen : seen + batch_rows]
        values, s = batch.inputs["x"], batch.inputs["s"]
        assert values.shape == (sum(part), 2) and s.dtype == np.dtype("int32") and batch.rows == len(part)
        expected = np.concatenate([[0], np.cumsum(part)]) if splits else np.repeat(np.arange(len(part)), part)
        assert s.tolist() == expected.tolist()
        starts = [100 * (seen + r) + 10 * k + 1 for r, n in enumerate(part) for k in range(n)]
        assert values[:, 0].tolist() == starts
        seen += len(part)
    assert seen == len(counts)


def graphs() -> dict[str, Any]:
    return {"h": [[1.0, 2.0, 3.0], [], [4.0, 5.0]], "src": [[0.0, 2.0], [], [1.0]], "dst": [[1.0, 1.0], [], [0.0]]}


def test_indices_count_from_their_own_row() -> None:
    edges = x(Axis(size=2), Axis(label="e"), role=Role(kind="index", of="n"), name="edges", dtype="int64")
    segment = x(N, role=Role(kind="segment", of="n"), name="s", dtype="int64")
    found = single(graphs(), x(N, Axis(size=1)), edges, segment, columns={"x": ["h"], "edges": ["src", "dst"]})
    assert found["edges"].tolist() == [[0, 2, 4], [1, 1, 3]] and found["s"].tolist() == [0, 0, 0, 2, 2]
    wrong = {**graphs(), "src": [[0.0, 3.0], [], [1.0]]}
    with pytest.raises(UsageError, match=r"index 3\S* into 3 entries of its row"):
        single(wrong, x(N, Axis(size=1)), edges, segment, columns={"x": ["h"], "edges": ["src", "dst"]})


def test_plain_integers_that_may_be_indices_are_said() -> None:
    edges = x(Axis(size=2), Axis(label="e"), name="edges", dtype="int64")
    segment = x(N, role=Role(kind="segment", of="n"), name="s", dtype="int64")
    file = stream(graphs(), x(N, Axis(size=1)), edges, segment, columns={"x": ["h"], "edges": ["src", "dst"]})
    list(file)
    assert any("--role edges=index:AXIS" in note for note in file.notes)


def test_without_segments_each_row_is_one_request() -> None:
    edges = x(Axis(size=2), Axis(label="e"), role=Role(kind="index", of="n"), name="edges", dtype="int64")
    nodes = x(Axis(label="n", minimum=1), Axis(size=1))
    options = {"columns": {"x": ["h"], "edges": ["src", "dst"]}, "layouts": {"x": ("entries", "features")}}
    file = stream(graphs(), nodes, edges, **options)
    assert [(b.first_row, b.inputs["x"].shape, b.inputs["edges"].tolist()) for b in file] == [
        (0, (3, 1), [[0, 2], [1, 1]]),
        (2, (2, 1), [[1], [0]]),
    ]
    assert any("each row is one request" in note for note in file.notes)
    assert any("1 requests were left out" in note for note in file.notes)
    assert [batch.inputs["x"].shape for batch in file.heads()] == [(3, 1)]  # the other has a single edge
    fewer = [[1.0]] * 70 + graphs()["h"][:1]
    with pytest.raises(UsageError, match="first rows have fewer entries"):
        stream(
            {"h": fewer}, x(Axis(label="n", minimum=2), Axis(size=1)), columns={"x": ["h"]}, layouts=options["layouts"]
        ).heads()


def test_requests_with_more_entries_than_the_model_is_right_for_are_left_out() -> None:
    nodes = x(Axis(label="n", maximum=3), Axis(size=1))
    options = {"columns": {"x": ["h"]}, "layouts": {"x": ("entries", "features")}}
    file = stream({"h": [[1.0] * n for n in (2, 4, 3, 9)]}, nodes, **options)
    assert [(b.first_row, b.inputs["x"].shape) for b in file] == [(0, (2, 1)), (2, (3, 1))]
    assert any("2 requests were left out: fewer entries than the model takes, or more" in note for note in file.notes)


def test_no_part_has_more_rows_than_the_model_is_right_for() -> None:
    file = stream({"c": np.arange(50.0)}, x(Axis(label="batch", maximum=8)), columns={"x": ["c"]})
    assert [len(batch.inputs["x"]) for batch in file] == [8] * 6 + [2]
    assert max(len(batch.inputs["x"]) for batch in file.heads()) == 8


def test_dynamic_lengths_respect_minimum_and_multiple() -> None:
    entries = Axis(label="n", minimum=9, multiple=4)
    assert single(events([2, 5]), x(BATCH, entries), columns={"x": ["c0"]})["x"].shape == (2, 12)


@pytest.mark.parametrize(
    ("shape", "columns", "layouts"),
    [
        ((BATCH, Axis(size=2), Axis(size=2)), ["c0", "c1"], "rows,entries,features or rows,features,entries"),
        ((BATCH, Axis(size=1)), ["c0"], "rows,entries or entries,features"),
    ],
)
def test_an_ambiguous_shape_asks_for_the_layout(shape: tuple[Axis, ...], columns: list[str], layouts: str) -> None:
    with pytest.raises(UsageError, match=f"more than one way: .* --layout INPUT={layouts}"):
        single(events([1, 2]), x(*shape), columns={"x": columns})


def test_the_users_layout_decides() -> None:
    axes = (BATCH, Axis(size=2), Axis(size=2))
    first = single(events([1, 3]), x(*axes), columns={"x": ["c0", "c1"]}, layouts={"x": ("rows", "entries", "features")})["x"]
    second = single(events([1, 3]), x(*axes), columns={"x": ["c0", "c1"]}, layouts={"x": ("rows", "features", "entries")})["x"]
    assert first.tolist() == [[[1, 2], [0, 0]], [[101, 102], [111, 112]]]
    assert second.tolist() == np.swapaxes(first, 1, 2).tolist()


def test_flat_columns_side_by_side_and_one_after_the_other() -> None:
    a, b = np.arange(6.0).reshape(2, 3), np.array([10.0, 20.0])
    joined = single({"a": a, "b": b}, x(BATCH, Axis(size=4)), columns={"x": ["b", "a"]})["x"]
    assert joined.tolist() == [[10, 0, 1, 2], [20, 3, 4, 5]]
    both = {"a": a, "c": a + 50}
    assert single(both, x(BATCH, Axis(size=3), Axis(size=2)), columns={"x": ["a", "c"]})["x"][1].tolist()[0] == [3, 53]
    assert single(both, x(BATCH, Axis(size=2), Axis(size=3)), columns={"x": ["a", "c"]})["x"][1].tolist()[1] == [53, 54, 55]
    with pytest.raises(UsageError, match=r"2 columns .* do not fill an input of shape \[batch, 5\]"):
        single(both, x(BATCH, Axis(size=5)), columns={"x": ["a", "c"]})
    with pytest.raises(UsageError, match="'j' has rows of varying length and others do not"):
        single({"a": a, "j": [[1.0], [2.0]]}, x(BATCH, N), columns={"x": ["a", "j"]})


def test_counts_must_agree() -> None:
    uneven = {"a": [[1.0], [2.0, 3.0]], "b": [[1.0], [2.0]]}
    with pytest.raises(UsageError, match="columns 'a' and 'b' have 2 and 1 entries in one row"):
        single(uneven, x(BATCH, N, Axis(size=2)), columns={"x": ["a", "b"]})
    with pytest.raises(UsageError, match="columns 'a' and 'b' have 2 and 1 entries"):
        single(uneven, x(BATCH, N), x(BATCH, N, name="y"), columns={"x": ["a"], "y": ["b"]})


def test_cut_indices_and_rows_of_parts_are_refused() -> None:
    index = x(BATCH, Axis(size=3), role=Role(kind="index", of="n"), name="i", dtype="int64")
    with pytest.raises(UsageError, match="cutting them would"):
        single({"i": [[0.0, 1.0, 2.0, 3.0]]}, index)
    neighbours = x(BATCH, Axis(size=2), role=Role(kind="index", of="batch"), name="i", dtype="int64")
    with pytest.raises(UsageError, match="points into the rows of the file"):
        single({"i": np.zeros((4, 2))}, neighbours)
    with pytest.raises(UsageError, match="made from the counts of jagged columns"):
        single({"s": np.zeros(4)}, x(N, role=Role(kind="segment", of="n"), name="s", dtype="int64"))


def test_a_fixed_batch_takes_whole_parts() -> None:
    rows = np.arange(20.0).reshape(10, 2)
    file = stream({"x": rows}, x(Axis(size=4), Axis(size=2)))
    assert [batch.inputs["x"].shape for batch in file] == [(4, 2), (4, 2)]
    assert "memory: the last 2 rows were left out: the model takes 4 at a time" in file.notes
    assert [batch.inputs["x"].shape for batch in file.heads()] == [(4, 2)]
    with pytest.raises(UsageError, match="10 rows, and the model takes 16 at a time"):
        stream({"x": rows}, x(Axis(size=16), Axis(size=2))).heads()


def test_heads_are_small_and_differ() -> None:
    first, second = stream(events([k % 7 for k in range(500)]), x(BATCH, N), columns={"x": ["c0"]}).heads()
    assert (first.rows, first.inputs["x"].shape) == (64, (64, 6))
    assert second.rows < 10 and second.inputs["x"].shape[1] < 6


def test_a_models_own_types_are_unknown() -> None:
    free = InputRequest(name="x")
    assert single({"a": np.ones(3), "b": np.ones(3)}, free, columns={"x": ["a", "b"]})["x"].dtype == np.float64
    with pytest.raises(UsageError, match=r"the model does not say its shape; .* --layout x=rows,entries,features"):
        single(events([1, 2]), free, columns={"x": ["c0", "c1"]})
    found = single(events([1, 2]), free, columns={"x": ["c0", "c1"]}, layouts={"x": ("rows", "features", "entries")})
    assert found["x"].shape == (2, 2, 2)


def test_cuts_are_counted_once() -> None:
    file = stream(events([5] * 100), x(BATCH, Axis(size=3)), columns={"x": ["c0"]})
    file.heads()
    for _ in range(2):
        list(file)
        assert file.notes[1:] == ["memory: 200 entries after the first 3 of their row were cut off for input 'x'"]


@pytest.mark.parametrize("kind", ["hdf5", "parquet", "root"])
def test_small_parts_are_read_together_and_cut(tmp_path: Path, kind: str) -> None:
    hits = [[100.0 * row + k for k in range(row % 4)] for row in range(50)]
    name = write(tmp_path, kind, {"hits": hits, "flat": np.arange(50.0)})
    requested = [x(Axis(size=3), Axis(label="n"), name="hits", dtype="float64"), x(Axis(size=3), name="flat", dtype="float64")]
    batches = list(open_stream(name).bound(requested))
    assert len(batches) == 16 and [batch.first_row for batch in batches] == list(range(0, 48, 3))
    assert [float(v) for batch in batches for v in batch.inputs["flat"]] == list(range(48))
    assert [[v for v in row if v] for batch in batches for row in batch.inputs["hits"].tolist()][1:] == [
        [v for v in row if v] for row in hits[1:48]
    ]
