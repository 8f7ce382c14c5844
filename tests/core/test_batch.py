"""npz files: any name, strings, goldens; damaged and foreign files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portinf.core.batch import Batch, load_goldens, load_npz, save_goldens, save_npz
from portinf.core.errors import UnreadableError, UsageError

names = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters="\\"), min_size=1, max_size=8)


@settings(deadline=None, max_examples=40)
@given(
    st.dictionaries(
        names | st.sampled_from(["file", "allow_pickle", "output/BiasAdd:0", "a.npy"]), st.integers(0, 3), max_size=4
    )
)
def test_any_name_survives(tmp_path_factory: pytest.TempPathFactory, sizes: dict[str, int]) -> None:
    folder = tmp_path_factory.mktemp("npz")
    arrays = {name: np.arange(n * 2.0).reshape(n, 2) for name, n in sizes.items()}
    save_npz(folder / "a.npz", arrays)
    found = load_npz(folder / "a.npz").inputs
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
    batches = [Batch(name="x", inputs=arrays, expected=arrays)]
    save_goldens(folder / "g.npz", batches)
    again = load_goldens(folder / "g.npz") if arrays else []
    assert [list(b.inputs) for b in again] == ([list(arrays)] if arrays else [])


def test_strings_become_objects(tmp_path: Path) -> None:
    save_npz(tmp_path / "s.npz", {"s": np.array(["a", "muon"], dtype=object)})
    assert load_npz(tmp_path / "s.npz").inputs["s"].tolist() == ["a", "muon"]
    assert load_npz(tmp_path / "s.npz").inputs["s"].dtype == object


def test_what_is_no_npz_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("hello")
    np.save(tmp_path / "single.npy", np.ones(3))
    np.savez(tmp_path / "pickled.npz", a=np.array([{}], dtype=object))
    whole = tmp_path / "whole.npz"
    np.savez(whole, a=np.ones(300))
    (tmp_path / "cut.npz").write_bytes(whole.read_bytes()[:-200])
    for name in ("text.npz", "single.npy", "pickled.npz", "cut.npz", "missing.npz"):
        with pytest.raises(UnreadableError, match=name):
            load_npz(tmp_path / name)
    with pytest.raises(UnreadableError, match="goldens"):
        load_goldens(whole)


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    save_npz(tmp_path / "a.npz", {"a": np.ones(2)})
    with pytest.raises(UsageError, match="Python objects"):
        save_npz(tmp_path / "a.npz", {"a": np.zeros(2), "b": np.array([{}], dtype=object)})
    assert list(load_npz(tmp_path / "a.npz").inputs) == ["a"]
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
