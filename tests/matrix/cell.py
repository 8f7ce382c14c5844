"""One cell of the table of sources and architectures: a model, samples, and what must come out of converting it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from portinf.core.batch import save_npz
from tests.conftest import Cli, Outcome

__all__ = ["MODELS", "Arrays", "Cell", "Rng", "Samples", "check", "parameters", "two"]

MODELS = Path(__file__).parent.parent / "models"
SECONDS = 600

Rng = np.random.Generator
Arrays = Mapping[str, Any]
Samples = Callable[[Rng], Sequence[Arrays]]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One model of the table in the documentation.

    Attributes:
        name: row of the table.
        source: ``FILE.py:factory`` below tests/models, a file below the folder of made files, an absolute path, or a callable
            that writes a file into a folder and returns what to give to ``portinf convert``.
        inputs: makes samples, each an event; None for none.
        expect: ``equal``, or a part of the message that refuses it.
        code: the exit code.
        cure: of a refused cell: what the user can do, or why there is nothing.
        names: the inputs in the order in which the source declares them; empty for the order in which ``inputs`` makes them.
        outputs: names of the outputs as the user knows them, in order; a number for so many without names: ``output_0``, ...
        labels: names of the dynamic axes that must come out, where the cell pins them.
        options: more arguments of ``portinf convert``.
        reversed: the sample files hold the inputs in the other order: the source alone says which is first.
        golden: an npz below tests/models with inputs and, as ``answer``, what another program computed from them.
        everyday: belongs to the everyday suite.
    """

    name: str
    source: str | Callable[[Path], str]
    inputs: Samples | None = None
    expect: str = "equal"
    code: int = 0
    cure: str = ""
    names: Sequence[str] = ()
    outputs: Sequence[str] | int = 1
    labels: Sequence[str] | None = None
    options: Sequence[str] = ()
    reversed: bool = True
    golden: str = ""
    everyday: bool = False


def two(make: Callable[[Rng, int], Arrays]) -> Samples:
    """Return samples of two sizes from a function that makes number 0 and number 1."""
    return lambda _: [make(np.random.default_rng([5, number]), number) for number in (0, 1)]


def parameters(cells: Sequence[Cell], *, everyday: bool) -> list[Any]:
    """Return the cells as pytest parameters: the everyday ones, or the others marked long."""
    marks = () if everyday else (pytest.mark.long,)
    chosen = [cell for cell in cells if cell.everyday == everyday]
    return [pytest.param(cell, id=cell.name.replace(" ", "_"), marks=marks) for cell in chosen]


def check(cell: Cell, cli: Cli, folder: Path, *, table: str, made: Path | None = None) -> None:
    """Convert and hold the outcome against the cell; its row goes to the file that PORTINF_MATRIX names.

    Args:
        cell: what to convert.
        cli: runs portinf.
        folder: where to write.
        table: which table the row belongs to; empty for none.
        made: where model files are that are not kept among the tests.
    """
    events = _events(cell)
    paths = [folder / f"sample_{number}.npz" for number in range(len(events))]
    for path, event in zip(paths, events, strict=True):
        given = {name: np.asarray(array) for name, array in event.items()}
        save_npz(path, dict(reversed(given.items())) if cell.reversed else given)
    options = [str(made / option) if made and (made / option).is_file() else option for option in cell.options]
    samples = [word for path in paths for word in ("--inputs", str(path))]
    done = cli("convert", _source(cell, folder, made), *samples, *options, "-o", "cell.onnx", "--json", timeout=SECONDS)
    if table:
        _record(table, cell, done)
    assert done.code == cell.code, done.err
    if cell.code:
        assert cell.expect in done.message
        assert not (folder / "cell.onnx").exists()
        return
    _check_names(cell, done.report["signature"], events, folder / "cell.onnx")
    _check_signature(cell, done.report, events)
    if cell.golden:
        _check_golden(MODELS / cell.golden, folder / "cell.onnx")


def _source(cell: Cell, folder: Path, made: Path | None) -> str:
    if not isinstance(cell.source, str):
        return cell.source(folder)
    file = MODELS / (cell.source.rpartition(":")[0] or cell.source)
    return str(MODELS / cell.source) if file.exists() or made is None else str(made / cell.source)


def _events(cell: Cell) -> list[Arrays]:
    if cell.golden:
        return [{name: array for name, array in np.load(MODELS / cell.golden).items() if name != "answer"}]
    return list(cell.inputs(np.random.default_rng(20))) if cell.inputs else []


def _check_names(cell: Cell, signature: Any, events: Sequence[Arrays], path: Path) -> None:
    """Names and order are the user's, in the report and in the file."""
    requested = {
        "inputs": list(cell.names or (events[0] if events else ())),
        "outputs": [f"output_{k}" for k in range(cell.outputs)] if isinstance(cell.outputs, int) else list(cell.outputs),
    }
    assert requested["inputs"], "the cell does not say the names of its inputs"
    graph = onnx.load(path, load_external_data=False).graph
    assert {side: [spec["name"] for spec in signature[side]] for side in requested} == requested
    assert {"inputs": [value.name for value in graph.input], "outputs": [value.name for value in graph.output]} == requested


def _check_signature(cell: Cell, report: Any, events: Sequence[Arrays]) -> None:
    signature, cases = report["signature"], report["validation"]["cases"]
    labels = {axis["label"] for spec in signature["inputs"] for axis in spec["shape"] if isinstance(axis, dict)}
    if cell.labels is not None:
        assert labels == set(cell.labels)
    if len(events) > 1:
        differ = any(np.shape(events[0][name]) != np.shape(events[1][name]) for name in events[0])
        assert bool(labels) >= differ
        assert sum(case["status"] == "equal" for case in cases) >= (4 if differ else 2)
    assert all(case["status"] == "equal" for case in cases if case["origin"] == "given")


def _check_golden(golden: Path, model: Path) -> None:
    """The tolerance is that of fp32 through twenty layers."""
    arrays = dict(np.load(golden))
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    requested = arrays.pop("answer")
    np.testing.assert_allclose(session.run(None, arrays)[0], requested, rtol=1e-4, atol=1e-5)


def _record(table: str, cell: Cell, done: Outcome) -> None:
    target = os.environ.get("PORTINF_MATRIX")
    if target is None:
        return
    row: dict[str, Any] = {"table": table, "cell": cell.name, "code": done.code, "cure": cell.cure}
    if done.code == 0:
        report = done.report
        cases = report["validation"]["cases"]
        row |= {
            "route": report["route"],
            "sizes": [case["sizes"] for case in cases if case["status"] == "equal"],
            "outside": [case["sizes"] for case in cases if case["status"] != "equal"],
            "largest_error": max((out["max_abs"] or 0.0 for out in report["validation"]["outputs"]), default=0.0),
            "notes": report["notes"],
        }
    else:
        row["reason"] = done.message.removeprefix("portinf: error: ")
    with Path(target).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(row) + "\n")
