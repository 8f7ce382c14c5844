"""`portinf inspect` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from portinf.cli.main import run
from tests.triton.models import honest


def test_text_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = honest(tmp_path / "net.onnx")
    assert run(["inspect", str(path)]) == 0
    text = capsys.readouterr()
    assert "opset 17" in text.out
    assert text.err == ""
    assert run(["inspect", str(path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["opset"] == 17
    assert report["axes"] == {"batch": ["x[0]", "y[0]"]}
    assert report["package"] is None


def test_a_package(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = honest(tmp_path / "net.onnx")
    assert run(["package", str(path), "--repository", str(tmp_path / "models")]) == 0
    capsys.readouterr()
    assert run(["inspect", str(tmp_path / "models" / "net"), "--json"]) == 0
    package = json.loads(capsys.readouterr().out)["package"]
    assert (package["name"], package["version"], package["problems"]) == ("net", 1, [])


@pytest.mark.parametrize("content", [b"", b"hello", b"\x08\x08", b"PK\x03\x04"])
def test_files_of_no_known_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert run(["inspect", str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert str(path) in captured.err


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", "--help"]) == 0
    assert "portinf inspect facile.onnx" in capsys.readouterr().out
