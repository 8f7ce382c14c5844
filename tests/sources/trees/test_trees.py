"""Files of tree models: told gap by content, pickles never loaded without permission."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import pickle
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from portinf.sources.detect import detect


class Hostile:
    """Its pickle makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self._path),)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_pickle_is_told_and_not_loaded(tmp_path: Path, protocol: int) -> None:
    file, trap = tmp_path / "model.txt", tmp_path / "trap"
    file.write_bytes(pickle.dumps(Hostile(trap), protocol=protocol))
    assert detect(str(file)).format == "pickle"
    assert not trap.exists()


@pytest.mark.parametrize("pack", [zlib.compress, gzip.compress, bz2.compress, lzma.compress])
def test_a_compressed_pickle_is_told(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    (tmp_path / "model.bin").write_bytes(pack(pickle.dumps({"a": 1})))
    assert detect(str(tmp_path / "model.bin")).format == "pickle"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b'{"learner":{"attributes":{}}}', "xgboost"),
        (b'{ "learner" : {}}', "xgboost"),
        (b"{L\0\0\0\0\0\0\0\x07learner{L", "xgboost"),
        (b"tree\nversion=v4\n", "lightgbm"),
    ],
)
def test_native_formats_are_told_by_content(tmp_path: Path, content: bytes, kind: str) -> None:
    (tmp_path / "model.keras").write_bytes(content)
    assert detect(str(tmp_path / "model.keras")).format == kind
