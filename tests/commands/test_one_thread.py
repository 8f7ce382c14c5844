"""A file with ScatterND and a reduction is right on one thread only: every way to run or to package it sees to that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from portinf.cli.main import run
from portinf.commands.package import package
from portinf.conversion.convert import ConvertOptions
from portinf.core.errors import CannotError
from portinf.onnx_graph.model_file import read_onnx
from portinf.packaging.options import PackageOptions
from portinf.runners.onnx import OnnxRuntimeRunner
from portinf.triton.config import from_text
from tests.triton.models import honest, save, tensor


def sums(path: Path) -> Path:
    """y[group] += u, four groups."""
    zeros = helper.make_tensor("zeros", TensorProto.FLOAT, [4, 8], [0.0] * 32)
    node = helper.make_node("ScatterND", ["zeros", "group", "u"], ["y"], reduction="add")
    return save(
        path, [node], [tensor("u", ["n", 8]), tensor("group", ["n", 1], TensorProto.INT64)], [tensor("y", [4, 8])], [zeros]
    )


def test_the_runner_takes_one_thread(tmp_path: Path) -> None:
    model = sums(tmp_path / "sums.onnx")
    assert read_onnx(model).one_thread and not read_onnx(honest(tmp_path / "dense.onnx")).one_thread
    group = np.random.default_rng(1).integers(0, 4, (200_000, 1))
    with OnnxRuntimeRunner(model, threads=4) as runner:
        for _ in range(5):
            y = runner.infer({"u": np.ones((200_000, 8), np.float32), "group": group})["y"]
            np.testing.assert_array_equal(y[:, 0], np.bincount(group[:, 0], minlength=4))


def test_the_package_tells_the_server(tmp_path: Path) -> None:
    options = PackageOptions(repository=tmp_path / "models", name="m")
    package(str(sums(tmp_path / "sums.onnx")), options, ConvertOptions())
    config = tmp_path / "models" / "m" / "config.pbtxt"
    assert from_text(config.read_text()).one_thread and "intra_op_thread_count" in config.read_text()
    config.write_text(config.read_text().partition("parameters")[0])
    with pytest.raises(CannotError, match=r"correct on one thread only, which config\.pbtxt does not declare"):
        package(str(tmp_path / "sums.onnx"), options, ConvertOptions())


def test_validate_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = sums(tmp_path / "sums.onnx")
    assert run(["validate", str(model), str(model), "--json"]) == 0
    assert "loses updates in ONNX Runtime on several threads" in capsys.readouterr().out


def test_conversion_writes_a_safe_file(tmp_path: Path) -> None:
    assert run(["convert", str(sums(tmp_path / "sums.onnx")), "-o", str(tmp_path / "safe.onnx")]) == 0
    assert not read_onnx(tmp_path / "safe.onnx").one_thread
