"""A new target is one module and one line of the registry: every command knows it then."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from portinf.cli.main import run
from portinf.targets import TARGETS
from tests.triton.models import honest


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with net.onnx, and the registry with one more line."""
    page = importlib.import_module("portinf.cli.optimize")
    with monkeypatch.context() as patched:
        patched.setitem(TARGETS, "stand_in", "tests.targets.stand_in:TARGET")
        patched.chdir(tmp_path)
        importlib.reload(page)  # its options are listed when it is imported
        honest(tmp_path / "net.onnx")
        yield tmp_path
    importlib.reload(page)


def test_a_target_of_one_module_works_in_every_command(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def told(*words: str) -> str:
        assert run(list(words)) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    assert "--colour" in told("optimize", "--help")
    assert told("optimize", "net.onnx", "--target", "stand-in", "--colour", "red", "-o", "out") == "out: red\n"
    assert json.loads(told("optimize", "net.onnx", "--target", "stand-in", "-o", "two", "--json"))["colour"] == "grey"

    report = json.loads(told("validate", "net.onnx", "out@quickly", "--json"))
    checks = {check["name"]: check["text"] for check in report["hops"][0]["checks"]}
    assert checks["colour"] == "1 batches"
    assert report["sides"][1]["facts"]["kind"] == "stand-in quickly"

    assert json.loads(told("inspect", "out", "--json"))["colour"] == "red"
    assert "  colour  red\n" in told("inspect", "out")
    told("sample", "out", "-o", "s.npz")
    assert json.loads(told("package", "out", "--repository", "models", "--json"))["name"] == "stood_in"
    assert "always stands in" in told("doctor")


def test_another_name_of_a_target_is_taken_too_and_unknown_ones_are_refused(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["optimize", "net.onnx", "--target", "fpga", "-o", "no"]) == 2
    assert "--target hls4ml: formats are chosen and judged on samples" in capsys.readouterr().err
    assert run(["optimize", "net.onnx", "--target", "nowhere", "-o", "no"]) == 2
    known = "no such target; there are: onnxruntime, tensorrt, hls4ml, stand-in"
    assert f"--target nowhere: {known}" in capsys.readouterr().err
