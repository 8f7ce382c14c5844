"""Every jet tagger of the matrix: right at every size, or refused with its cure."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.matrix.cell import Cell, check, parameters
from tests.matrix.jet_cells import CELLS


@pytest.mark.parametrize("cell", parameters(CELLS, everyday=False))
def test_cell(cell: Cell, cli: Cli, tmp_path: Path) -> None:
    check(cell, cli, tmp_path, table="Jet taggers")


def test_nothing_is_refused_without_a_cure() -> None:
    assert all(cell.cure for cell in CELLS if cell.code)
