"""TensorFlow and Keras: every source and architecture of the table is converted and equal, or refused with its reason."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Cli
from tests.matrix.cell import Cell, check
from tests.matrix.tensorflow_cells import CELLS, INCOMPLETE


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory, keras_files: Path) -> Path:
    """The model files of `tests/models/tensorflow_files.py` and of `tests/models/keras_models.py`."""
    subprocess.run(
        [sys.executable, str(ROOT / "tests" / "models" / "tensorflow_files.py"), str(keras_files)],
        check=True,
        capture_output=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": str(ROOT)},
    )
    return keras_files


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("cell", [*CELLS, *INCOMPLETE], ids=lambda cell: cell.name.replace(" ", "_"))
def test_cell(
    cell: Cell,
    cli: Cli,
    files: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    check(cell, cli, tmp_path, table="TensorFlow and Keras" if cell in CELLS else "", made=files)


def test_at_most_one_cell_in_eight_is_refused_and_each_has_a_cure() -> None:
    refused = [cell for cell in CELLS if cell.code]
    assert len(CELLS) - len(refused) >= 20
    assert len(refused) * 8 <= len(CELLS)
    assert all(cell.cure for cell in (*refused, *INCOMPLETE))
    assert len({cell.name for cell in (*CELLS, *INCOMPLETE)}) == len(CELLS) + len(INCOMPLETE)
