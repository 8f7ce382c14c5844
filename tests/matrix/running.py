"""Runs one cell through the command line and returns what the table of the documentation says of it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from portinf.samples import save_npz
from tests.conftest import Cli
from tests.matrix.cells import Cell

__all__ = ["convert_cell", "keep"]

MODELS = Path(__file__).parent.parent / "models"
SECONDS = 600


def convert_cell(cell: Cell, cli: Cli, folder: Path, files: Path) -> dict[str, Any]:
    """Convert the model of a cell, hold the outcome against what is expected, and return the row of the table.

    Args:
        cell: what to convert.
        cli: runs portinf.
        folder: where to write.
        files: where model files are that are not kept among the tests.
    """
    given = _samples(cell, folder)
    options = [str(files / option) if (files / option).is_file() else option for option in cell.options]
    arguments = [_source(cell, files), *(a for path in given for a in ("--inputs", path)), *options]
    done = cli("convert", *arguments, "-o", "model.onnx", "--json", timeout=SECONDS)
    assert done.code == cell.code, done.err
    row: dict[str, Any] = {"cell": cell.name, "source": cell.source, "cure": cell.cure}
    if cell.code:
        assert cell.expect in done.message, done.message
        assert not (folder / "model.onnx").exists()
        return {**row, "status": "refused", "reason": done.message.removeprefix("portinf: error: ")}
    report = done.report
    if cell.outputs:
        assert [spec["name"] for spec in report["signature"]["outputs"]] == list(cell.outputs)
    if cell.golden:
        _check_golden(MODELS / cell.golden, folder / "model.onnx")
    return {**row, "status": "equal", **_figures(report)}


def _source(cell: Cell, files: Path) -> str:
    inside = MODELS / cell.source.rpartition(":")[0] if ":" in cell.source else MODELS / cell.source
    return str(MODELS / cell.source) if inside.is_file() else str(files / cell.source)


def _samples(cell: Cell, folder: Path) -> list[Path]:
    events = list(cell.inputs(np.random.default_rng(20))) if cell.inputs else []
    if cell.golden:
        events = [{name: array for name, array in np.load(MODELS / cell.golden).items() if name != "answer"}]
    paths = [folder / f"sample_{number}.npz" for number in range(len(events))]
    for path, event in zip(paths, events, strict=True):
        save_npz(path, event)
    return paths


def _check_golden(golden: Path, model: Path) -> None:
    """The tolerance is that of fp32 through twenty layers."""
    arrays = dict(np.load(golden))
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    wanted = arrays.pop("answer")
    np.testing.assert_allclose(session.run(None, arrays)[0], wanted, rtol=1e-4, atol=1e-5)


def _figures(report: Mapping[str, Any]) -> dict[str, Any]:
    cases = report["validation"]["cases"]
    errors = [output["max_abs"] for case in cases for output in case["outputs"] if output.get("max_abs") is not None]
    return {
        "route": report["route"],
        "sizes": [case["sizes"] for case in cases if case["status"] == "equal"],
        "outside": [case["sizes"] for case in cases if case["status"] == "outside domain"],
        "largest_error": max(errors, default=0.0),
        "notes": report["notes"],
    }


def keep(row: Mapping[str, Any]) -> None:
    """Add a row to the file that PORTINF_MATRIX names, from which the documentation's table is made."""
    path = os.environ.get("PORTINF_MATRIX")
    if path:
        with Path(path).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")
