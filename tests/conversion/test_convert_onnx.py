"""ONNX itself as a source: upgraded or kept, with its axes, roles, strings, optional inputs and data files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from tests.conftest import TORCH_MODELS, Cli


def _save(path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: list[Any], opset: int = 13) -> None:
    def values(specs: list[Any]) -> list[Any]:
        return [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in specs]

    graph = helper.make_graph(nodes, "g", values(inputs), values(outputs), weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7), path)


def _linear(path: Path, opset: int = 13) -> None:
    weights = [numpy_helper.from_array(np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3), "w")]
    nodes = [helper.make_node("MatMul", ["my x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["out/y"])]
    _save(path, nodes, [("my x", TensorProto.FLOAT, ["rows", 4])], [("out/y", TensorProto.FLOAT, ["rows", 3])], weights, opset)


@pytest.mark.parametrize(("opset", "written"), [(9, 18), (13, 18), (20, 20)])
def test_older_opsets_are_upgraded_and_newer_ones_kept(cli: Cli, tmp_path: Path, opset: int, written: int) -> None:
    _linear(tmp_path / "m.onnx", opset)
    done = cli("convert", "m.onnx", "-o", "o.onnx", "--json")
    assert done.code == 0, done.err
    assert done.report["opset"] == written
    assert [spec["name"] for spec in done.report["signature"]["inputs"]] == ["my x"]
    assert [spec["name"] for spec in done.report["signature"]["outputs"]] == ["out/y"]
    assert done.report["signature"]["inputs"][0]["shape"][0]["label"] == "rows"


def test_roles_and_minimums_of_a_file_that_portinf_wrote_stay(cli: Cli, npz: Any, rng: np.random.Generator) -> None:
    events = [
        {"x": rng.normal(size=(n, 3)).astype(np.float32), "edge_index": rng.integers(0, n, (2, e))}
        for n, e in ((6, 14), (9, 25))
    ]
    inputs = [word for k, event in enumerate(events) for word in ("--inputs", npz(f"{k}.npz", event))]
    first = cli(
        "convert",
        f"{TORCH_MODELS}:edge_net",
        *inputs,
        "--dynamic",
        "x:0=nodes",
        "--minimum",
        "nodes=2",
        "-o",
        "a.onnx",
        "--json",
    )
    assert first.code == 0, first.err
    again = cli("convert", "a.onnx", "-o", "b.onnx", "--json")
    assert again.code == 0, again.err
    for one, other in zip(first.report["signature"]["inputs"], again.report["signature"]["inputs"], strict=True):
        assert (one["shape"], one["role"]) == (other["shape"], other["role"])


def test_a_recurrent_graph_without_rows_does_not_end_anything(cli: Cli, tmp_path: Path) -> None:
    weights = [numpy_helper.from_array(np.full((1, 16, size), 0.1, np.float32), name) for name, size in (("w", 3), ("r", 4))]
    nodes = [helper.make_node("LSTM", ["x", "w", "r"], ["all", "y"], hidden_size=4)]
    ends = [("x", TensorProto.FLOAT, ["steps", "rows", 3])], [("y", TensorProto.FLOAT, [1, "rows", 4])]
    _save(tmp_path / "m.onnx", nodes, *ends, weights, 14)
    done = cli("convert", "m.onnx", "-o", "o.onnx", "--json")
    assert done.code == 0, done.err
    assert {axis["label"]: axis["minimum"] for axis in done.report["signature"]["inputs"][0]["shape"][:2]}["rows"] == 1


def test_strings_and_optional_inputs(cli: Cli, tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "bias"], ["y"]), helper.make_node("Identity", ["tag"], ["tags"])]
    inputs = [("x", TensorProto.FLOAT, ["n"]), ("tag", TensorProto.STRING, ["n"]), ("bias", TensorProto.FLOAT, [1])]
    outputs = [("y", TensorProto.FLOAT, ["n"]), ("tags", TensorProto.STRING, ["n"])]
    _save(tmp_path / "m.onnx", nodes, inputs, outputs, [numpy_helper.from_array(np.float32([2]), "bias")])
    done = cli("convert", "m.onnx", "-o", "o.onnx", "--json")
    assert done.code == 0, done.err
    found = {spec["name"]: (spec["dtype"], spec["optional"]) for spec in done.report["signature"]["inputs"]}
    assert found == {"x": ("float32", False), "tag": ("object", False), "bias": ("float32", True)}
    session = onnxruntime.InferenceSession(str(tmp_path / "o.onnx"), providers=["CPUExecutionProvider"])
    given = {"x": np.float32([1, 3]), "tag": np.array(["a", "b"], dtype=object)}
    assert session.run(["y"], given)[0].tolist() == [3, 5]
    assert session.run(["y"], {**given, "bias": np.float32([10])})[0].tolist() == [11, 13]


def test_external_data_comes_along(cli: Cli, tmp_path: Path) -> None:
    _linear(tmp_path / "m.onnx")
    model = onnx.load(tmp_path / "m.onnx")
    external_data_helper.convert_model_to_external_data(model, location="w.bin", size_threshold=0)
    (tmp_path / "in").mkdir()
    onnx.save(model, tmp_path / "in" / "m.onnx")
    done = cli("convert", "in/m.onnx", "--opset", "13", "-o", "out/o.onnx", "--json")
    assert done.code == 0, done.err
    assert len(done.report["files"]) == 2
    assert cli("validate", "in/m.onnx", "out/o.onnx").code == 0


def test_weights_for_a_file_that_holds_its_own_are_refused(cli: Cli, tmp_path: Path) -> None:
    _linear(tmp_path / "m.onnx")
    (tmp_path / "w.pt").write_bytes(b"")
    done = cli("convert", "m.onnx", "--weights", "w.pt", "-o", "o.onnx")
    assert done.code == 2, done.err
    assert "holds its own weights" in done.message
