"""portinf convert on TensorFlow's own files and functions; all kinds of models are in tests/matrix."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from tests.conftest import ROOT, Cli

FUNCTIONS = ROOT / "tests" / "models" / "tensorflow_models.py"
KERAS2 = ROOT / "tests" / "models" / "keras2"


@pytest.fixture(autouse=True)
def _models_find_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frozen")
    subprocess.run(
        [sys.executable, str(ROOT / "tests" / "models" / "tensorflow_files.py"), str(folder), "frozen", "not_frozen"],
        check=True,
        capture_output=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": str(ROOT)},
    )
    return folder


def test_a_frozen_graph_keeps_its_names(cli: Cli, frozen: Path) -> None:
    done = cli("convert", frozen / "frozen.pb", "-o", "m.onnx", "--json")
    assert done.code == 0, done.err
    signature = done.report["signature"]
    assert [s["name"] for s in signature["inputs"]] == ["main_input"]
    assert signature["inputs"][0]["shape"][0]["label"] == "main_input_0"
    assert [s["name"] for s in signature["outputs"]] == ["output/BiasAdd", "em_trk_none_netout/Softmax"]
    assert any("labels" in note for note in done.report["notes"])


def test_outputs_select_nodes_or_rename(cli: Cli, frozen: Path) -> None:
    mixed = cli("convert", frozen / "frozen.pb", "--outputs", "output/BiasAdd,score", "-o", "m.onnx")
    assert mixed.code == 2
    assert "score is not" in mixed.message
    chosen = cli("convert", frozen / "frozen.pb", "--outputs", "hidden/Relu", "-o", "m.onnx", "--json")
    assert [s["name"] for s in chosen.report["signature"]["outputs"]] == ["hidden/Relu"]


def test_a_graph_with_variables_is_not_frozen(cli: Cli, frozen: Path) -> None:
    done = cli("convert", frozen / "not_frozen.pb", "-o", "m.onnx")
    assert done.code == 4
    assert "not frozen" in done.message


def test_operators_without_a_conversion_are_named(cli: Cli, tmp_path: Path) -> None:
    done = cli("convert", f"{FUNCTIONS}:matrix_inverse", "-o", "m.onnx")
    assert done.code == 4
    assert "could not convert MatrixInverse" in done.message
    assert not (tmp_path / "m.onnx").exists()


def test_an_if_on_data_names_the_line(cli: Cli, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.ones((3, 4), "float32"))
    done = cli("convert", f"{FUNCTIONS}:branching", "--inputs", "a.npz", "-o", "m.onnx")
    assert done.code == 4
    assert "keras_layers.py, line" in done.message
    assert "keras.ops.cond" in done.message


def test_an_old_keras_file_gives_the_answers_of_old_keras(cli: Cli, tmp_path: Path) -> None:
    arrays = dict(np.load(KERAS2 / "hard_sigmoid.npz"))
    answer = arrays.pop("answer")
    np.savez(tmp_path / "a.npz", **arrays)
    done = cli("convert", KERAS2 / "hard_sigmoid.h5", "--inputs", "a.npz", "-o", "m.onnx", "--json")
    assert done.code == 0, done.err
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(["score"], arrays)[0], answer, rtol=1e-5)
