"""Every format gives the same columns, parts and messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot

from portinf.core.errors import MissingPackageError, UnreadableError, UsageError
from portinf.core.signature import Axis
from portinf.samples import InputRequest, StreamOptions, open_stream
from tests.samples.files import FORMATS, write

ROWS = 23
X = np.random.default_rng(0).normal(size=(ROWS, 4)).astype(np.float32)
Y = np.arange(ROWS, dtype=np.int32)
HITS = [[float(10 * row + k) for k in range(row % 4)] for row in range(ROWS)]
BATCH = Axis(label="batch")
JAGGED = [kind for kind in FORMATS if kind != "npy"]


def requested(name: str = "x", *axes: Axis, dtype: str = "float32") -> InputRequest:
    return InputRequest(name=name, dtype=dtype, shape=(BATCH, *axes) if axes else (BATCH, Axis(size=4)))


def rows_of(name: str, options: StreamOptions, *inputs: InputRequest) -> dict[str, np.ndarray[Any, Any]]:
    batches = list(open_stream(name, options).bound(inputs))
    return {key: np.concatenate([batch.inputs[key] for batch in batches]) for key in batches[0].inputs}


@pytest.mark.parametrize("batch_rows", [1, 5, 7, 23, 100])
@pytest.mark.parametrize("kind", FORMATS)
def test_parts_are_all_rows_in_order(tmp_path: Path, kind: str, batch_rows: int) -> None:
    name = write(tmp_path, kind, {"x": X, "y": Y})
    stream = open_stream(name, StreamOptions(batch_rows=batch_rows, beside={"label": "y"})).bound([requested()])
    for _ in range(2):  # as often as requested
        batches = list(stream)
        assert [batch.first_row for batch in batches] == list(range(0, ROWS, batch_rows))
        assert [batch.rows for batch in batches] == [min(batch_rows, ROWS - n) for n in range(0, ROWS, batch_rows)]
        np.testing.assert_array_equal(np.concatenate([batch.inputs["x"] for batch in batches]), X)
        np.testing.assert_array_equal(np.concatenate([batch.columns["label"] for batch in batches]), Y)
        assert {batch.stream for batch in batches} == {stream.name} and stream.notes == []


@pytest.mark.parametrize("kind", FORMATS)
def test_a_range_of_rows(tmp_path: Path, kind: str) -> None:
    name = write(tmp_path, kind, {"x": X})
    for first, count, at_once in ((0, 6, 4), (8, 9, 5), (13, 99, 7), (22, 1, 3)):
        found = rows_of(name, StreamOptions(first_row=first, max_rows=count, batch_rows=at_once), requested())
        np.testing.assert_array_equal(found["x"], X[first : first + count])
    with pytest.raises(UsageError, match=r"--first-row 23: .* has 23 rows"):
        rows_of(name, StreamOptions(first_row=23), requested())


@pytest.mark.parametrize("kind", FORMATS)
def test_scalar_columns_are_stacked_in_the_users_order(tmp_path: Path, kind: str) -> None:
    name = write(tmp_path, kind, {f"f{k}": X[:, k] for k in range(4)})
    options = StreamOptions(columns={"x": ["f3", "f0", "f1"]}, batch_rows=6)
    np.testing.assert_array_equal(rows_of(name, options, requested("x", Axis(size=3)))["x"], X[:, [3, 0, 1]])


@pytest.mark.parametrize("kind", JAGGED)
def test_jagged_columns_are_padded(tmp_path: Path, kind: str) -> None:
    name = write(tmp_path, kind, {"hits": HITS, "y": Y})
    options = StreamOptions(columns={"x": ["hits"]}, batch_rows=9)
    found = rows_of(name, options, requested("x", Axis(size=3)))["x"]
    np.testing.assert_array_equal(found, [[*row, 0, 0, 0][:3] for row in HITS])


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_missing_is_listed(tmp_path: Path, kind: str) -> None:
    name = write(tmp_path, kind, {"a": X, "b": Y})
    with pytest.raises(
        UsageError, match=r"no column 'x' for the input of that name; .* --input-columns x=COL,COL,\.\.\.; there are: a, b"
    ):
        open_stream(name).bound([requested()]).heads()
    with pytest.raises(UsageError, match="no column 'c'; there are: a, b"):
        open_stream(name, StreamOptions(columns={"x": ["c"]})).bound([requested()]).heads()
    with pytest.raises(UsageError, match="no column 'c'; there are: a, b"):
        open_stream(name, StreamOptions(columns={"x": ["a"]}, beside={"label": "c"})).bound([requested()]).heads()
    with pytest.raises(UsageError, match=r"--input-columns z=.*: no such input; the model has: x"):
        open_stream(name, StreamOptions(columns={"z": ["a"]})).bound([requested()]).heads()


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9, 0.98])
def test_a_damaged_file_is_one_line(tmp_path: Path, kind: str, share: float) -> None:
    name = write(tmp_path, kind, {"x": np.random.default_rng(1).normal(size=(4000, 4)).astype(np.float32)})
    path = Path(name.partition(":")[0])
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UnreadableError) as caught:
        list(open_stream(name if path.exists() else "").bound([requested()]))
    assert "\n" not in str(caught.value) and path.name in str(caught.value)


def test_what_is_no_file_of_samples(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_text("hello")
    (tmp_path / "b.parquet").write_bytes(b"")
    for name, message in (
        ("a.h5", "not a readable file"),
        ("b.parquet", "empty"),
        ("c.root", "no such file"),
        (".", "no such"),
    ):
        with pytest.raises(UnreadableError, match=message):
            open_stream(tmp_path / name)


def test_text_is_no_number(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["x"] = ["a", "b"]
    pq.write_table(pa.table({"x": ["a", "b"]}), tmp_path / "t.parquet")
    np.save(tmp_path / "t.npy", np.array([("a",)], [("x", "U3")]))
    with uproot.recreate(tmp_path / "t.root") as file:
        file["T"] = {"x": ["a", "b"]}
    for name in ("t.h5", "t.parquet", "t.npy", "t.root"):
        with pytest.raises(UsageError, match=f"{name}: column 'x' holds no numbers"):
            open_stream(tmp_path / name).bound([requested()]).heads()


def test_a_plain_array_is_the_models_only_input(tmp_path: Path) -> None:
    for order in ("C", "F"):
        np.save(tmp_path / "x.npy", np.asarray(X, order=order))
        np.testing.assert_array_equal(rows_of(str(tmp_path / "x.npy"), StreamOptions(batch_rows=4), requested())["x"], X)
    with pytest.raises(UsageError, match="the model has 2 inputs: x, z"):
        open_stream(tmp_path / "x.npy").bound([requested(), requested("z")]).heads()
    np.save(tmp_path / "o.npy", np.array([{}], object))
    with pytest.raises(UnreadableError, match="Python objects"):
        open_stream(tmp_path / "o.npy")


def test_big_endian_numbers_arrive_as_numbers(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X.astype(">f4"))
    found = rows_of(str(tmp_path / "x.npy"), StreamOptions(), requested())["x"]
    assert found.dtype == np.dtype("float32") and found.dtype.isnative
    np.testing.assert_array_equal(found, X)


def test_places_inside_a_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "j.h5", "w") as file:
        file["jets"] = np.array([(1.0, 2), (3.0, 4)], [("pt", "f4"), ("n", "i4")])
        file["deep/tracks"] = np.zeros((2, 40), [("pt", "f4"), ("valid", "?")])
    two = requested("x", Axis(size=2))
    found = rows_of(f"{tmp_path}/j.h5:/jets", StreamOptions(columns={"x": ["n", "pt"]}), two)
    np.testing.assert_array_equal(found["x"], [[2, 1], [4, 3]])
    tracks = rows_of(f"{tmp_path}/j.h5", StreamOptions(columns={"x": ["deep/tracks/pt"]}), requested("x", Axis(size=40)))
    assert tracks["x"].shape == (2, 40)
    with pytest.raises(UsageError, match="no 'jet' in it; there are: deep, jets"):
        open_stream(f"{tmp_path}/j.h5:jet")
    with uproot.recreate(tmp_path / "r.root") as file:
        file["A"] = {"x": X}
        file["B"] = {"x": X}
    with pytest.raises(UsageError, match=r"name the tree, as r\.root:TREE; there are: A, B"):
        open_stream(tmp_path / "r.root")
    with pytest.raises(UsageError, match="no tree 'C' in it; there are: A, B"):
        open_stream(f"{tmp_path}/r.root:C")


def test_columns_of_different_lengths_are_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["x"], file["z"], file["other"] = X, X[:-1], np.ones(3)
    with pytest.raises(UsageError, match="columns of different lengths: 'x' 23, 'z' 22"):
        open_stream(tmp_path / "d.h5").bound([requested(), requested("z")]).heads()
    assert len(rows_of(str(tmp_path / "d.h5"), StreamOptions(), requested())["x"]) == ROWS


def test_missing_values_of_parquet(tmp_path: Path) -> None:
    pq.write_table(pa.table({"f": pa.array([1.0, None], pa.float32()), "i": pa.array([1, None])}), tmp_path / "n.parquet")
    one = requested("x", Axis(size=1))
    found = rows_of(f"{tmp_path}/n.parquet", StreamOptions(columns={"x": ["f"]}), one)["x"]
    np.testing.assert_array_equal(found, [[1], [np.nan]])
    with pytest.raises(UnreadableError, match="column 'i' of int64 has 1 missing values"):
        rows_of(f"{tmp_path}/n.parquet", StreamOptions(columns={"x": ["i"]}), one)


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    np.save(tmp_path / "e.npy", X[:0])
    with pytest.raises(UnreadableError, match="no rows"):
        open_stream(tmp_path / "e.npy").bound([requested()]).heads()


@pytest.mark.parametrize(("kind", "package"), [("hdf5", "h5py"), ("parquet", "pyarrow"), ("root", "uproot")])
def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, package: str) -> None:
    name = write(tmp_path, kind, {"x": X})
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(MissingPackageError, match=rf"'{package}' is not installed; .* 'portinf\[data\]'"):
        open_stream(name)
