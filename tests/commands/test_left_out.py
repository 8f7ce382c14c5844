"""Sizes that are too large to try are named wherever a judgement is shown or stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from portinf.cli.main import run
from portinf.core.batch import save_npz
from portinf.onnx_graph.model_file import read_onnx

NOTE = "not tried: rows=16000: up to about 1 GB, more than 0.27 GB"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, entered, with a model of one dynamic axis and a sample of 2000 rows."""
    value = helper.make_tensor_value_info
    nodes = [helper.make_node("Identity", ["x"], ["h"]), helper.make_node("Exp", ["h"], ["y"])]
    ends = [value("x", TensorProto.FLOAT, ["rows", 2])], [value("y", TensorProto.FLOAT, ["rows", 2])]
    graph = helper.make_graph(nodes, "g", *ends)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), tmp_path / "m.onnx")
    save_npz(tmp_path / "s.npz", {"x": np.linspace(-1, 1, 4000, dtype=np.float32).reshape(2000, 2)})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_in_text_json_and_provenance(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def told(*arguments: str) -> tuple[str, str]:
        assert run([*arguments, "--inputs", "s.npz"]) == 0
        output = capsys.readouterr()
        return output.out, output.err

    def report(*arguments: str) -> Any:
        return json.loads(told(*arguments, "--json")[0])

    assert NOTE in report("convert", "m.onnx", "-o", "c.onnx")["notes"]
    assert NOTE in read_onnx(folder / "c.onnx").provenance["notes"]
    assert f"note: {NOTE}" in told("convert", "m.onnx", "-o", "c.onnx")[1]
    assert NOTE in report("optimize", "m.onnx", "--target", "onnxruntime", "-o", "o.onnx")["notes"]
    assert NOTE in read_onnx(folder / "o.onnx").provenance["steps"][0]["notes"]
    assert f"note: {NOTE}" in told("optimize", "m.onnx", "--target", "onnxruntime", "-o", "o.onnx")[1]
    assert NOTE in report("package", "m.onnx", "--repository", "models")["notes"]
    manifest = json.loads((folder / "models" / "m" / "1" / "portinf.json").read_text())
    assert NOTE in manifest["validation"]["notes"]
    assert report("validate", "m.onnx", "c.onnx", "o.onnx")["notes"] == [NOTE]
    assert f"note: {NOTE}" in told("validate", "m.onnx", "c.onnx")[0]
