"""The built wheel in an empty environment, base install only, run from an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from onnx import TensorProto, helper, save

from tests.conftest import ROOT

EXPECTED = ["portinf/cli/main.py", "portinf/converters/pytorch/routes.py", "portinf/triton/releases.json", "portinf/py.typed"]


def _run(arguments: list[str | Path], cwd: Path, code: int = 0) -> str:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        list(map(str, arguments)), cwd=cwd, capture_output=True, text=True, timeout=280, check=False, env=clean
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    _run([sys.executable, "-m", "build", "--outdir", folder, ROOT], folder)
    return folder


@pytest.fixture(scope="module")
def portinf(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("environment")
    _run([sys.executable, "-m", "venv", folder / "venv"], folder)
    wheel = next(built.glob("*.whl"))
    _run([folder / "venv/bin/pip", "install", "--quiet", "-c", ROOT / "constraints.txt", wheel], folder)
    return folder / "venv/bin/portinf"


def test_wheel_and_sdist_hold_the_package_once(built: Path) -> None:
    names = zipfile.ZipFile(next(built.glob("*.whl"))).namelist()
    assert set(EXPECTED) <= set(names)
    assert "portinf/serving/engines/pytriton/requirements.txt" in names
    assert any(name.startswith("portinf/serving/backends/onnxruntime/") for name in names)
    assert any(name.startswith("portinf/validation/reports/templates/") for name in names)
    service = ("model.py", "portinf_answers.py", "portinf_library.py", "README.md", "build.sh", "driver/card.py")
    assert {f"portinf/targets/fpga/triton/service/{name}" for name in service} <= set(names)
    assert not [name for name in names if name.startswith(("cli/", "converters/", "tests/", "examples/"))]
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        inside = [name.partition("/")[2] for name in archive.getnames()]
    assert "cli/main.py" in inside
    assert not [name for name in inside if name.startswith(("portinf/cli", "portinf/converters"))]


def test_the_core_works_with_the_base_install_alone(portinf: Path, tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [value("x", TensorProto.FLOAT, ["n", 3])],
        [value("y", TensorProto.FLOAT, ["n", 3])],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "relu.onnx")
    assert "convert" in _run([portinf, "--help"], tmp_path)
    assert "tensorflow" in _run([portinf, "doctor"], tmp_path)
    assert "Relu" in _run([portinf, "inspect", "relu.onnx"], tmp_path)
    _run([portinf, "package", "relu.onnx", "--repository", "models"], tmp_path)
    assert (tmp_path / "models/relu/1/model.onnx").is_file()
    _run([portinf, "validate", "relu.onnx", "models/relu", "--report", "report.html"], tmp_path)
    _run([portinf, "optimize", "relu.onnx", "--target", "onnxruntime", "-o", "fast.onnx"], tmp_path)


def test_a_missing_framework_is_named_with_its_install_line(portinf: Path, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("def build():\n    import torch\n    return torch.nn.ReLU()\n")
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("metadata.json", "{}")
    assert "pip install 'portinf[tensorflow]'" in _run([portinf, "convert", "m.keras", "-o", "m.onnx"], tmp_path, code=3)
    assert "pip install 'portinf[torch]'" in _run([portinf, "convert", "net.py:build", "-o", "m.onnx"], tmp_path, code=3)
