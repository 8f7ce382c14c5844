"""Files that an earlier portinf wrote are still read: ``older/DATE.tar.xz``, made by the version of that day from its own net.py."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from tests.conftest import Cli

ARCHIVES = sorted((Path(__file__).parent / "older").glob("*.tar.xz"))


@pytest.fixture(params=ARCHIVES, ids=lambda path: path.name.partition(".")[0])
def older(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Unpack what one version wrote: net.onnx, models/plain/1, fpga, models/emulated/1, trt."""
    with tarfile.open(request.param) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def test_older_files_are_described(older: Path, cli: Cli) -> None:
    for name in ("net.onnx", "models/plain", "models/plain/1", "fpga", "models/emulated", "trt"):
        done = cli("inspect", name, "--json")
        assert done.code == 0, done.err
        said = json.loads(done.out)
        assert said["signature"]["inputs"][0]["name"] == "x"
        if said["package"] is not None:
            assert said["package"]["problems"] == []


def test_older_files_compute_what_their_source_does(older: Path, cli: Cli) -> None:
    for sides in (("net.py:build", "net.onnx", "models/plain", "fpga", "models/emulated"), ("models/emulated", "fpga")):
        done = cli("validate", *sides, *(("--inputs", "rows.npz") if "net.py:build" in sides else ()), "--no-probes")
        assert done.code == 0, done.err


def test_an_older_package_gets_a_next_version(older: Path, cli: Cli) -> None:
    for model, name in (("net.onnx", "plain"), ("fpga", "emulated")):
        done = cli("package", model, "--inputs", "rows.npz", "--repository", "models", "--name", name)
        assert done.code == 0, done.err
        assert (older / "models" / name / "2" / "portinf.json").is_file()


def test_an_older_file_is_optimised(older: Path, cli: Cli) -> None:
    done = cli("optimize", "net.onnx", "--target", "onnxruntime", "--inputs", "rows.npz", "-o", "fast.onnx")
    assert done.code == 0, done.err
