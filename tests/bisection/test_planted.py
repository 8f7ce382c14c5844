"""One wrong node planted at a random depth is named, alone in its reproducer, and the reproducer shows the difference."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from portinf.cli.main import run
from portinf.core.batch import save_npz
from tests.bisection.graphs import attention, graph_network, perceptron
from tests.bisection.planting import plant
from tests.conftest import Cli
from tests.matrix import graph_cells, pytorch_cells, tensorflow_cells
from tests.matrix.cell import MODELS

MADE: list[tuple[Callable[[Path], tuple[Path, Any]], int]] = [(perceptron, 1), (graph_network, 2), (attention, 5)]

CELLS = {cell.name: cell for cell in (*pytorch_cells.CELLS, *graph_cells.CELLS, *tensorflow_cells.CELLS)}
CONVERTED = [
    ("CNN left in training mode", 1),
    ("residual block", 2),
    ("LSTM, dynamic length", 3),
    ("GRU, dynamic length", 4),
    ("TransformerEncoder, padding mask", 5),
    ("EdgeConv", 6),
    ("GIN", 7),
    ("GAT, self loops", 8),
    ("MetaLayer, interaction network", 9),
    ("Keras functional, residual CNN with batch normalisation", 10),
    ("Keras functional, transformer", 11),
]
SECONDS = 60


def bisection(report: Any) -> Any:
    [check] = [check for check in report["hops"][0]["checks"] if check["name"] == "bisection"]
    return check


def check_reproducer(folder: Path, operator: str) -> None:
    """The files hold the one node, and comparing them fails."""
    nodes = [node.op_type for node in onnx.load(str(folder / "candidate.onnx")).graph.node]
    assert nodes.count(operator) >= 1 and len(nodes) <= 3  # two nodes that make its constants at most
    assert (folder / "inputs.npz").stat().st_size < 20_000
    command = ["validate", *(str(folder / name) for name in ("reference.onnx", "candidate.onnx")), "--inputs"]
    assert run([*command, str(folder / "inputs.npz")]) == 5


@pytest.mark.parametrize(("make", "seed"), MADE)
def test_planted_into_a_graph_made_by_hand(
    make: Callable[[Path], tuple[Path, Any]], seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right, inputs = make(tmp_path / "right.onnx")
    wrong, folder = tmp_path / "wrong.onnx", tmp_path / "small"
    node, what = plant(right, wrong, inputs, seed)
    save_npz(tmp_path / "sample.npz", inputs)
    command = ["validate", str(right), str(wrong), "--inputs", str(tmp_path / "sample.npz"), "--json", "--bisect"]
    assert run([*command, "--reproducer", str(folder)]) == 5
    check = bisection(json.loads(capsys.readouterr().out))
    assert check["figures"]["node"] == node, (what, check["text"])
    assert check["figures"]["kind"] == "node" and check["figures"]["error before"] < 1e-5
    check_reproducer(folder, check["figures"]["operator"])


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "seed"), CONVERTED)
def test_planted_into_a_converted_model(name: str, seed: int, cli: Cli, tmp_path: Path) -> None:
    """Found against the right file, and against the source, which is converted afresh."""
    cell = CELLS[name]
    assert isinstance(cell.source, str)
    source = str(MODELS / cell.source)
    events = list(cell.inputs(np.random.default_rng(20))) if cell.inputs else []
    samples: list[str] = []
    for number, event in enumerate(events):
        save_npz(tmp_path / f"s{number}.npz", {key: np.asarray(array) for key, array in event.items()})
        samples += ["--inputs", str(tmp_path / f"s{number}.npz")]
    assert cli("convert", source, *samples, "-o", "right.onnx", timeout=300).code == 0
    if not events:
        assert cli("sample", "right.onnx", "-o", "s0.npz").code == 0
        samples = ["--inputs", str(tmp_path / "s0.npz")]
    inputs = dict(np.load(tmp_path / "s0.npz"))
    node, what = plant(tmp_path / "right.onnx", tmp_path / "wrong.onnx", inputs, seed)
    for reference in (str(tmp_path / "right.onnx"), source):
        start = time.monotonic()
        done = cli("validate", reference, "wrong.onnx", *samples, "--bisect", "--reproducer", "small", "--json", timeout=300)
        seconds = time.monotonic() - start
        assert done.code == 5, done.err
        check = bisection(done.report)
        print(f"{name}: {what} at {node}: {seconds:.1f} s: {check['text']}")
        assert check["status"] == "reported", check["text"]
        assert check["figures"].get("node") == node, (what, check["text"])
        check_reproducer(tmp_path / "small", check["figures"]["operator"])
        for command in [part for part in check["text"].split("; ") if part.startswith("reproduce with: ")]:
            assert cli(*shlex.split(command.removeprefix("reproduce with: portinf "))).code == 5
