"""`portinf validate` and `convert` on files of samples: all rows compared, a few describe the model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from portinf.cli.main import run
from portinf.commands.validate import ValidateOptions, validate
from portinf.conversion.options import SourcingOptions
from portinf.core.errors import UsageError
from portinf.core.signature import Axis, Role, Signature, TensorSpec
from portinf.locate.sides import OnnxOptions
from portinf.onnx_graph.model_file import write_onnx
from portinf.samples import StreamOptions
from tests.conftest import TORCH_MODELS, Cli
from tests.samples.files import FORMATS, write

X = np.random.default_rng(3).normal(size=(300, 4)).astype(np.float32)
BATCH, N = Axis(label="batch"), Axis(label="n")


def _write(path: Path, graph: Any, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> str:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, path.with_suffix(".raw"))
    write_onnx(model, path.with_suffix(".raw"), path, Signature(inputs=inputs, outputs=outputs), {"source": "test"})
    return str(path)


def scaled(path: Path, factor: float = 2.0, limit: float = 1e9) -> str:
    """Write y = factor * x, where x is below ``limit``."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Min", ["x", "limit"], ["low"]), helper.make_node("Mul", ["low", "factor"], ["y"])],
        "scaled",
        [value("x", TensorProto.FLOAT, ["batch", 4])],
        [value("y", TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(np.float32(number), name) for name, number in (("factor", factor), ("limit", limit))],
    )
    specs = [TensorSpec(name=name, dtype="float32", shape=(BATCH, Axis(size=4))) for name in ("x", "y")]
    return _write(path, graph, (specs[0],), (specs[1],))


def jets(path: Path) -> str:
    """Write y = sum over entries of x * mask, x in weaver's layout (batch, features, entries)."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "mask"], ["kept"]), helper.make_node("ReduceSum", ["kept", "two"], ["y"], keepdims=0)],
        "jets",
        [value("x", TensorProto.FLOAT, ["batch", 2, "n"]), value("mask", TensorProto.FLOAT, ["batch", 1, "n"])],
        [value("y", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(np.array([2]), "two")],
    )
    inputs = (
        TensorSpec(name="x", dtype="float32", shape=(BATCH, Axis(size=2), N)),
        TensorSpec(name="mask", dtype="float32", shape=(BATCH, Axis(size=1), N), role=Role(kind="mask", of="n")),
    )
    return _write(path, graph, inputs, (TensorSpec(name="y", dtype="float32", shape=(BATCH, Axis(size=2))),))


def options(*files: str, **streams: Any) -> ValidateOptions:
    return ValidateOptions(
        sourcing=SourcingOptions(inputs=[Path(file) for file in files], streams=StreamOptions(**streams)),
        onnx=OnnxOptions(threads=1),
    )


@pytest.mark.parametrize("kind", FORMATS)
def test_every_row_of_every_format_is_compared(tmp_path: Path, kind: str) -> None:
    a, b, c = scaled(tmp_path / "a.onnx"), scaled(tmp_path / "b.onnx"), scaled(tmp_path / "c.onnx", limit=X.max() * 0.999)
    name = write(tmp_path, kind, {"x": X, "label": np.arange(300)})
    report = validate(a, [b, c], options(name, batch_rows=64, beside={"y": "label"}))
    assert [comparison.verdict for comparison in report.comparisons] == ["equal", "disagrees", "disagrees"]
    case = report.comparisons[0].cases[0]
    assert case.sizes == {"rows": 300} and case.outputs[0].tally.count == 1200
    assert {"generated, equal rows"} < {case.name for case in report.comparisons[0].cases if case.origin == "generated"}
    row = int(np.argmax(X.max(axis=1)))
    assert f"rows {row // 64 * 64} to {min(row // 64 * 64 + 63, 299)}" in report.comparisons[1].cases[0].reason


@pytest.mark.parametrize("kind", ["hdf5", "parquet", "root"])
def test_jagged_jets_get_their_mask(tmp_path: Path, kind: str) -> None:
    a, b = jets(tmp_path / "a.onnx"), jets(tmp_path / "b.onnx")
    pt = [[float(10 * k + row % 5 + 1) for k in range(row % 6)] for row in range(40)]
    name = write(tmp_path, kind, {"pt": pt, "eta": [[-v for v in row] for row in pt]})
    report = validate(a, [b], options(name, columns={"x": ["pt", "eta"]}, batch_rows=16))
    assert report.equal and report.comparisons[0].cases[0].sizes == {"rows": 40}
    assert any("column 'pt': float64 cast to float32" in note for note in report.notes)


def test_a_request_file_and_a_stream_beside_each_other(tmp_path: Path) -> None:
    a, b = scaled(tmp_path / "a.onnx"), scaled(tmp_path / "b.onnx")
    np.savez(tmp_path / "one.npz", x=X[:3], label=np.arange(3))
    report = validate(
        a, [b], options(f"{tmp_path}/one.npz", write(tmp_path, "npy", {"x": X, "label": X[:, 0]}), beside={"label": "label"})
    )
    given = [(case.name, dict(case.sizes)) for case in report.comparisons[0].cases if case.origin == "given"]
    assert given == [("one.npz", {"batch": 3}), ("npy.data", {"rows": 300})]


def test_ranges_of_generated_values(tmp_path: Path) -> None:
    a, b = scaled(tmp_path / "a.onnx"), scaled(tmp_path / "b.onnx", limit=50)
    name = write(tmp_path, "npy", {"x": X})
    plain = options(name)
    assert validate(a, [b], plain).equal
    ranged = ValidateOptions(sourcing=SourcingOptions(inputs=plain.sourcing.inputs, ranges={"x": (90, 100)}))
    reason = validate(a, [b], ranged).comparisons[0].reason
    assert reason.startswith("generated, values from the ranges given")
    bare = ValidateOptions(sourcing=SourcingOptions(ranges={"x": (90, 100)}))
    assert not validate(a, [b], bare).equal and validate(a, [b], ValidateOptions()).equal
    with pytest.raises(UsageError, match=r"--value-range z=.*: no such input; the model has: x"):
        validate(a, [b], ValidateOptions(sourcing=SourcingOptions(ranges={"z": (0, 1)})))


def test_a_source_is_described_by_the_head_and_answers_every_part(tmp_path: Path, cli: Cli) -> None:
    name = write(tmp_path, "parquet", {f"f{k}": X[:, k].astype(np.float64) for k in range(4)})
    told = ["--inputs", name, "--input-columns", "x=f0,f1,f2,f3"]
    done = cli("convert", f"{TORCH_MODELS}:mlp", "-o", "m.onnx", *told)
    assert done.code == 0, done.err
    assert "parquet.data: the first 64 of 300 rows describe the model" in done.err
    assert "column 'f0': float64 cast to float32" in done.err
    assert "input  x  float32 [x_0, 4]" in done.out
    report = cli("validate", f"{TORCH_MODELS}:mlp", "m.onnx", *told, "--batch-rows", "100", "--json").report
    case = report["hops"][0]["cases"][0]
    assert report["hops"][0]["verdict"] == "equal" and case["sizes"] == {"rows": 300}
    assert case["outputs"][0]["count"] == 600 and case["outputs"][0]["max_abs"] < 1e-4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input-columns", "x"], "--input-columns x: expected INPUT=COL,COL,..."),
        (["--input-columns", "x=a,,b"], "a name is empty"),
        (["--layout", "x=rows,columns"], "--layout x=rows,columns: expected each of rows, entries, features once at most"),
        (["--value-range", "x=1"], "expected two numbers"),
        (["--value-range", "x=2:1"], "with LOW no larger than HIGH"),
        (["--extra-column", "=a"], "--extra-column =a: expected NAME or NAME=COL"),
        (["--extra-column", "w=weight"], "no column 'weight'; there are: x"),
        (["--role", "x=index:nodes"], "--role x=index:nodes: no axis 'nodes'; there are: batch"),
        (["--input-columns", "x=pt"], "no column 'pt'; there are: x"),
    ],
)
def test_wrong_options_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    side, name = scaled(tmp_path / "a.onnx"), write(tmp_path, "npy", {"x": X})
    assert run(["validate", side, side, "--inputs", name, *arguments]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("portinf: error:")]
    assert len(errors) == 1 and message in errors[0]


def test_two_hundred_thousand_rows_in_bounded_memory(tmp_path: Path) -> None:
    """Ten times the rows take no more memory: 38 MB of rows are read in parts of 1 MB."""
    sides = [scaled(tmp_path / "a.onnx"), scaled(tmp_path / "b.onnx")]
    code = (
        "import sys; from portinf.cli.main import run; code = run(sys.argv[1:]); "
        "print(code, next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    peaks = []
    for rows in (20_000, 200_000):
        x = np.random.default_rng(rows).normal(size=(rows, 48)).astype(np.float32)
        np.save(tmp_path / f"{rows}.npy", x.view([("x", np.float32, 4), ("rest", np.float32, 44)]).ravel())
        told = ["--inputs", f"{tmp_path}/{rows}.npy", "--batch-rows", "5000"]
        done = subprocess.run(
            [sys.executable, "-c", code, "validate", *sides, *told], capture_output=True, text=True, timeout=200, check=True
        )
        assert f"rows={rows}" in done.stdout
        status, peak = done.stdout.splitlines()[-1].split()
        assert status == "0"
        peaks.append(int(peak) >> 10)
    assert peaks[1] < peaks[0] + 16, f"MB: {peaks}"


JET = """
import torch
from torch import nn

class Jet(nn.Module):
    def __init__(self):
        super().__init__()
        self.each, self.all = nn.Conv1d(2, 8, 1), nn.Linear(8, 3)

    def forward(self, features, mask):
        hidden = torch.relu(self.each(features)) * mask
        return self.all(hidden.sum(2) / mask.sum(2).clamp(min=1))

def build():
    torch.manual_seed(0)
    return Jet()
"""


@pytest.mark.long
def test_jagged_jets_of_a_source_that_says_no_shapes(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "jet.py").write_text(JET)
    rng = np.random.default_rng(0)
    pt = [rng.normal(size=n).tolist() for n in rng.poisson(8, 200)]
    name = write(tmp_path, "root", {"pt": pt, "eta": [[2 * v for v in row] for row in pt], "label": np.arange(200)})
    told = ["--inputs", name, "--input-columns", "features=pt,eta"]
    assert "--layout features=rows,entries,features" in cli("convert", "jet.py:build", "-o", "jet.onnx", *told).message
    axes = ["--layout", "features=rows,features,entries", "--layout", "mask=rows,features,entries", "--mask", "mask=pt"]
    done = cli("convert", "jet.py:build", "-o", "jet.onnx", *told, *axes)
    assert done.code == 0 and "(mask:features_2)" in done.out, done.err
    report = cli("validate", "jet.py:build", "jet.onnx", *told, "--extra-column", "label", "--json").report
    assert report["hops"][0]["verdict"] == "equal" and report["hops"][0]["cases"][0]["sizes"] == {"rows": 200}


@pytest.mark.long
def test_jagged_graphs_are_one_request_each(tmp_path: Path, cli: Cli) -> None:
    rng = np.random.default_rng(0)
    nodes = rng.integers(3, 9, 30)
    columns = {name: [rng.normal(size=n).tolist() for n in nodes] for name in "abc"}
    columns |= {name: [rng.integers(0, n, 2 * n).astype(float).tolist() for n in nodes] for name in ("src", "dst")}
    told = [
        "--inputs",
        write(tmp_path, "parquet", columns),
        "--input-columns",
        "x=a,b,c",
        "--input-columns",
        "edge_index=src,dst",
    ]
    axes = ["--layout", "x=entries,features", "--layout", "edge_index=features,entries"]
    np.savez(tmp_path / "one.npz", x=np.ones((3, 3), np.float32), edge_index=np.array([[0, 1], [1, 2]]))
    np.savez(tmp_path / "two.npz", x=np.ones((5, 3), np.float32), edge_index=np.array([[0, 1, 4], [1, 2, 0]]))
    given = ["--inputs", "one.npz", "--inputs", "two.npz"]
    done = cli("convert", f"{TORCH_MODELS}:edge_net", "-o", "g.onnx", *given)
    assert done.code == 0, done.err
    report = cli("validate", f"{TORCH_MODELS}:edge_net", "g.onnx", *told, *axes, "--json").report
    assert report["hops"][0]["verdict"] == "equal" and report["hops"][0]["cases"][0]["sizes"] == {"rows": 30}
    assert any("each row is one request" in note for note in report["notes"])
