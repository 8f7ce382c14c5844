"""What every test may use: a command-line runner, folders of models, small samples."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from portinf.core.batch import save_npz

ROOT = Path(__file__).parent.parent
TORCH_MODELS = Path(__file__).parent / "models" / "torch_models.py"
PYG_MODELS = Path(__file__).parent / "models" / "pyg_models.py"
KERAS_MODELS = Path(__file__).parent / "models" / "keras_models.py"
# Folders and files with tests that start frameworks, servers or compilers: left out by `make quick`.
SLOW = (
    "benchmarks", "bisection", "commands", "conversion", "converters", "e2e", "examples", "fixedpoint", "matrix", "ort", "packaging",
    "probing", "sources", "targets", "mixed_precision/test_lower.py", "samples/test_edge_cases.py", "validation/reports/test_browser.py",
    "validation/test_batch_independence.py", "validation/test_gallery.py", "validation/rounding", "validation/checks/test_invariances.py",
    "validation/checks/test_regression.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow tests."""
    for item in items:
        if item.path.relative_to(ROOT / "tests").as_posix().startswith(SLOW):
            item.add_marker(pytest.mark.slow)


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> Any:
        """The JSON on stdout."""
        return json.loads(self.out)

    @property
    def message(self) -> str:
        """The one line that says what was wrong."""
        lines = [line for line in self.err.splitlines() if line.startswith("portinf: error:")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err, self.err
        return lines[0]


Cli = Callable[..., Outcome]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Run ``portinf`` in a process of its own, in the test's folder."""

    def run(*arguments: object, cwd: Path = tmp_path, timeout: float = 240) -> Outcome:
        done = subprocess.run(
            [sys.executable, "-m", "portinf", *map(str, arguments)],
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**os.environ, "COLUMNS": "80"},
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def npz(tmp_path: Path) -> Callable[..., Path]:
    """Write arrays to a file of the test's folder and return its path."""

    def write(file_name: str, arrays: Mapping[str, np.ndarray[Any, Any]]) -> Path:
        save_npz(tmp_path / file_name, arrays)
        return tmp_path / file_name

    return write


@pytest.fixture(scope="session")
def keras_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the Keras models of `tests/models/keras_models.py` as files, and a SavedModel."""
    folder = tmp_path_factory.mktemp("keras")
    subprocess.run(
        [sys.executable, str(KERAS_MODELS), str(folder)],
        check=True,
        capture_output=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
    )
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded generator."""
    return np.random.default_rng(20)
