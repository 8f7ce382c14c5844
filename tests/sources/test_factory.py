"""Factories: found, called, and what is wrong with them said in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from portinf.core.errors import CannotError, MissingPackageError, UnreadableError, UsageError
from portinf.sources.detect import Factory, detect
from portinf.sources.factory import build


def _file(folder: Path, text: str) -> Path:
    (folder / "my_net.py").write_text(text)
    return folder / "my_net.py"


def test_a_factory_of_a_file_may_import_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "portinf_test_neighbour.py").write_text("VALUE = 7\n")
    file = _file(
        tmp_path,
        "import portinf_test_neighbour\nclass A:\n    @staticmethod\n    def make():\n        return portinf_test_neighbour.VALUE\n",
    )
    assert build(Factory(file=file, name="A.make")) == 7


def test_a_factory_of_a_module() -> None:
    assert build(Factory(module="collections", name="OrderedDict")) == {}


@pytest.mark.parametrize(
    ("text", "error", "told"),
    [
        ("def build(:\n", UnreadableError, "SyntaxError"),
        ("import no_such_package_here\n", MissingPackageError, "pip install no_such_package_here"),
        ("def build():\n    import no_such_package_here\n", MissingPackageError, "line 2"),
        ("x = 1\n\n1 / 0\n", UnreadableError, "line 3"),
        ("def build():\n    y = {}\n    return y['a']\n", CannotError, "line 3"),
        ("build = 3\ndef other(): ...\n", UsageError, "it defines: other"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        build(Factory(file=_file(tmp_path, text), name="build"))


def test_a_module_that_is_not_there() -> None:
    with pytest.raises(UnreadableError, match="no such module"):
        build(Factory(module="no_such_package_here.nets", name="build"))


@pytest.mark.parametrize(
    ("source", "error", "told"),
    [
        ("nothing.onnx", UnreadableError, "no such file"),
        ("nothing.py:build", UnreadableError, "no such file"),
        ("nothing.py", UsageError, "nothing.py:build"),
        ("a b:c", UnreadableError, "no such file"),
    ],
)
def test_names_that_lead_nowhere(source: str, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        detect(source)


def test_formats_are_told_by_content(tmp_path: Path) -> None:
    import zipfile

    cases = {"empty": b"", "text": b"hello", "zip": b"PK\x03\x04broken"}
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises((UnreadableError, CannotError)):
            detect(str(tmp_path / name))
    with zipfile.ZipFile(tmp_path / "looks.onnx", "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("metadata.json", "{}")
    assert detect(str(tmp_path / "looks.onnx")).format == "keras"
    (tmp_path / "h5.keras").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    assert detect(str(tmp_path / "h5.keras")).format == "keras-h5"
    with pytest.raises(UnreadableError, match="unknown kind of folder"):
        detect(str(tmp_path))
