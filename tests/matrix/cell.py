"""One cell of the matrix: a model, samples of two sizes, and what must come out."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from portinf.samples import save_npz
from tests.conftest import Cli, Outcome

Rng = np.random.Generator
Arrays = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One model of the table in the documentation.

    Attributes:
        name: row of the table.
        source: what is given to ``portinf convert``; a callable writes a file into a folder and returns its name.
        inputs: makes the sample number 0 or 1, of different sizes.
        expect: ``equal``, or ``refused``.
        cure: of a refused cell: what the user can do, or why nothing; these words must be in the message.
        options: more arguments.
        labels: names of the dynamic axes that must come out, where the cell pins them.
        everyday: belongs to the everyday suite.
    """

    name: str
    source: str | Callable[[Path], str]
    inputs: Callable[[Rng, int], Arrays]
    expect: Literal["equal", "refused"] = "equal"
    cure: str = ""
    options: Sequence[str] = ()
    labels: Sequence[str] | None = None
    everyday: bool = False


def parameters(cells: Sequence[Cell], *, everyday: bool) -> list[Any]:
    """Return the cells as pytest parameters: the everyday ones, or the others marked long."""
    marks = () if everyday else (pytest.mark.long,)
    return [pytest.param(cell, id=cell.name, marks=marks) for cell in cells if cell.everyday == everyday]


def check(cell: Cell, cli: Cli, folder: Path) -> None:
    """Convert and hold the outcome against the cell; the row of the table goes to $PORTINF_MATRIX where that is set."""
    arguments: list[object] = [cell.source if isinstance(cell.source, str) else cell.source(folder), *cell.options]
    samples = [cell.inputs(np.random.default_rng([5, number]), number) for number in (0, 1)]
    for number, arrays in enumerate(samples):
        save_npz(folder / f"sample_{number}.npz", {name: np.asarray(array) for name, array in arrays.items()})
        arguments += ["--inputs", f"sample_{number}.npz"]
    done = cli("convert", *arguments, "-o", "cell.onnx", "--json")
    _record(cell, done)
    if cell.expect == "refused":
        assert done.code == 4, done.err
        assert cell.cure in done.message
        assert not (folder / "cell.onnx").exists()
        return
    assert done.code == 0, done.err
    _check_signature(cell, done.report, samples)


def _check_signature(cell: Cell, report: Any, samples: Sequence[Arrays]) -> None:
    inputs = report["signature"]["inputs"]
    assert {spec["name"] for spec in inputs} == set(samples[0])
    labels = {axis["label"] for spec in inputs for axis in spec["shape"] if isinstance(axis, dict)}
    differ = any(np.shape(samples[0][name]) != np.shape(samples[1][name]) for name in samples[0])
    assert bool(labels) == differ
    if cell.labels is not None:
        assert labels == set(cell.labels)
    cases = report["validation"]["cases"]
    assert all(case["status"] == "equal" for case in cases if case["origin"] == "given")
    assert sum(case["status"] == "equal" for case in cases) >= (4 if differ else 2)


def _record(cell: Cell, done: Outcome) -> None:
    target = os.environ.get("PORTINF_MATRIX")
    if target is None:
        return
    row: dict[str, Any] = {"cell": cell.name, "expected": cell.expect, "code": done.code}
    if done.code == 0:
        report = done.report
        cases = report["validation"]["cases"]
        row |= {
            "route": report["route"],
            "tried": report["tried"],
            "sizes": [case["sizes"] for case in cases if case["status"] == "equal"],
            "outside": [case["sizes"] for case in cases if case["status"] != "equal"],
            "largest_error": max((out["max_abs"] or 0.0 for out in report["validation"]["outputs"]), default=0.0),
            "notes": report["notes"],
        }
    else:
        row["message"] = done.err.strip().splitlines()[-1]
    with Path(target).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(row) + "\n")
