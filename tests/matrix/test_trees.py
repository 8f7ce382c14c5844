"""Every tree cell of the matrix: right at every size, or refused with its cure."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.matrix.cell import Cell, check, parameters
from tests.matrix.tree_cells import CELLS


@pytest.mark.parametrize("cell", [*parameters(CELLS, everyday=True), *parameters(CELLS, everyday=False)])
def test_cell(cell: Cell, cli: Cli, tmp_path: Path) -> None:
    check(cell, cli, tmp_path, table="Boosted trees and scikit-learn")


def test_there_are_enough_cells_and_few_refusals() -> None:
    refused = [cell for cell in CELLS if cell.code]
    assert len(CELLS) - len(refused) >= 12
    assert 8 * len(refused) <= len(CELLS)
    assert all(cell.cure for cell in refused)
