"""A temporary folder has a path that needs no quotes, wherever TMPDIR points to."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from portinf.core import scratch
from portinf.core.errors import UnreadableError
from portinf.core.scratch import scratch_folder


def test_tmpdir_is_used_where_its_path_is_plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, used in (("plain", True), ("a b", False), ("a$(x)", False), ("zürich", False), ("a:b", False), ("a'b", False)):
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        with scratch_folder("portinf-x-") as made:
            assert made.is_dir()
            assert (made.parent == folder) is used
        assert not made.exists()


def test_nowhere_to_write_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    monkeypatch.setattr(scratch, "_USUAL", ())
    expected = pytest.raises(
        UnreadableError, match=r"cannot make a temporary folder: .*; set TMPDIR to a folder that can be written"
    )
    with expected, scratch_folder("portinf-x-"):
        pass
