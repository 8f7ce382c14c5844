"""Start-up stays light: no framework, not even numpy, is imported for any help text; the core needs the base install only."""

from __future__ import annotations

import subprocess
import sys

import pytest

from portinf.cli.main import COMMANDS

HEAVY = [
    *("numpy", "onnx", "onnxruntime", "onnxscript", "tensorflow", "keras", "tf2onnx", "torch", "torch_geometric"),
    *("tritonclient", "grpc", "jinja2", "rich", "google.protobuf"),
    *("sklearn", "skl2onnx", "xgboost", "lightgbm", "pandas", "joblib", "scipy"),
    *("h5py", "pyarrow", "uproot", "awkward"),
]
FRAMEWORKS = ["tensorflow", "keras", "tf2onnx", "torch", "torch_geometric", "onnxscript", "h5py"]
FRAMEWORKS += ["sklearn", "skl2onnx", "xgboost", "lightgbm", "pandas", "joblib", "scipy"]
FRAMEWORKS += ["pyarrow", "uproot", "awkward"]


def _modules_after(arguments: list[str]) -> set[str]:
    code = (
        "import sys\nfrom portinf.cli.main import run\n"
        f"code = run({arguments!r})\nassert code == 0, code\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stderr.split())


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)], ids=" ".join)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    assert _modules_after(arguments).isdisjoint(HEAVY)


def test_every_module_of_the_core_imports_without_frameworks() -> None:
    code = f"""
import importlib, pkgutil, sys
for name in {FRAMEWORKS!r}:
    sys.modules[name] = None
import portinf
for found in pkgutil.walk_packages(portinf.__path__, "portinf."):
    if ".backends" not in found.name and not found.name.endswith("__main__"):
        importlib.import_module(found.name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
