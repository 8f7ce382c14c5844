"""Files and folders appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from portinf.core.errors import UnreadableError
from portinf.core.files import whole_file, whole_folder, write_text


def test_a_file_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), whole_file(path) as stream:
        stream.write(b"half")
        raise RuntimeError
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    write_text(path, "new")
    assert path.read_text() == "new" and path.stat().st_mode & 0o777 == 0o644


def test_a_folder_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    with whole_folder(out) as folder:
        (folder / "a").write_text("1")
        assert not out.exists()
    with pytest.raises(KeyboardInterrupt), whole_folder(out) as folder:
        (folder / "b").write_text("2")
        raise KeyboardInterrupt
    assert [p.name for p in out.iterdir()] == ["a"] and [p.name for p in out.parent.iterdir()] == ["out"]
    with whole_folder(out) as folder:
        (folder / "c").write_text("3")
    assert [p.name for p in out.iterdir()] == ["c"] and [p.name for p in out.parent.iterdir()] == ["out"]


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnreadableError, match="file/x: cannot be written: Not a directory"):
        write_text(tmp_path / "file" / "x", "")
    with pytest.raises(UnreadableError, match="file/x: cannot be written: "), whole_folder(tmp_path / "file" / "x"):
        pass
