"""TensorRT-RTX as a proxy: what it says of good and bad files, what it cannot say, and how its child's end is told."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from portinf.cli.main import run
from portinf.core.batch import save_npz
from portinf.core.errors import CannotError, MissingPackageError
from portinf.core.optional import available
from portinf.onnx_graph.model_file import read_onnx
from portinf.targets.tensorrt.optimize import TensorrtOptions, _blind, optimize_tensorrt
from portinf.targets.tensorrt.profiles import Profile, profile_of
from portinf.targets.tensorrt.rtx_check import MODULE, ask_proxy
from portinf.validation import Tolerance
from tests.triton.models import honest, save, tensor

needs_extra = pytest.mark.skipif(
    not available(MODULE), reason="the extra trt-check (tensorrt-rtx-cu12, 221 MB) is not installed"
)


def shapes(path: Path, size: int = 0) -> Profile:
    return profile_of(read_onnx(path).signature, [], size, {})


def python(path: Path, *lines: str) -> str:
    """Write a program that stands in for the child's interpreter."""
    path.write_text("\n".join([f"#!{sys.executable}", "import os, sys, time", "sys.stdin.read()", *lines]))
    path.chmod(0o755)
    return str(path)


def top_k(path: Path, count: int) -> Path:
    nodes = [helper.make_node("TopK", ["x", "k"], ["y", "places"])]
    outputs = [tensor("y", ["b", count]), tensor("places", ["b", count], TensorProto.INT64)]
    return save(path, nodes, [tensor("x", ["b", 5000])], outputs, [numpy_helper.from_array(np.array([count]), "k")])


def scatter(path: Path) -> Path:
    nodes = [helper.make_node("ScatterElements", ["x", "i", "u"], ["y"], axis=0, reduction="add")]
    inputs = [tensor("x", ["n"]), tensor("i", ["e"], TensorProto.INT64), tensor("u", ["e"])]
    return save(path, nodes, inputs, [tensor("y", ["n"])])


def non_zero(path: Path) -> Path:
    return save(
        path, [helper.make_node("NonZero", ["x"], ["y"])], [tensor("x", ["n"])], [tensor("y", [1, "k"], TensorProto.INT64)]
    )


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["os.kill(os.getpid(), 11)"], "its process died (signal 11"),
        (["sys.exit(3)"], "its process died (exit code 3"),
        (["time.sleep(60)"], "no answer within 1 s"),
    ],
)
def test_a_child_that_ends_is_one_line(lines: list[str], said: str, tmp_path: Path) -> None:
    model = honest(tmp_path / "m.onnx")
    with pytest.raises(CannotError) as caught:
        ask_proxy(
            model, shapes(model), False, python=python(tmp_path / "python", *lines), seconds=1 if "sleep" in lines[0] else 60
        )
    assert said in str(caught.value) and "remove --check-with rtx" in str(caught.value)


def test_a_missing_package_in_the_child(tmp_path: Path) -> None:
    model = honest(tmp_path / "m.onnx")
    child = python(tmp_path / "python", 'print(\'{"missing": "no such thing"}\')')
    with pytest.raises(MissingPackageError, match=r"portinf\[trt-check\]"):
        ask_proxy(model, shapes(model), False, python=child)


@pytest.mark.parametrize(
    ("blind", "operators", "verdict"),
    [
        (True, ["ScatterElements"], "cannot say"),
        (True, ["NonZero", "Unique"], "refuses"),
        (True, [], "refuses"),
        (False, ["ScatterElements"], "refuses"),
    ],
)
def test_what_it_lacks_is_no_failure(blind: bool, operators: list[str], verdict: str, tmp_path: Path) -> None:
    model = honest(tmp_path / "m.onnx")
    answer = {"version": "1", "reason": "no", "operators": operators, "size": 0, "seconds": 0.1}
    report = ask_proxy(model, shapes(model), blind, python=python(tmp_path / "python", f"print({json.dumps(answer)!r})"))
    assert report.verdict == verdict and "a proxy" in report.text() and report.to_json()["proxy"] is True


@needs_extra
def test_a_good_file_builds(tmp_path: Path) -> None:
    model = honest(tmp_path / "m.onnx")
    report = ask_proxy(model, shapes(model, 64), False)
    assert report.verdict == "builds" and report.size > 0


@needs_extra
@pytest.mark.parametrize(("count", "verdict"), [(3840, "builds"), (3841, "refuses")])
def test_parsing_alone_would_not_find_it(count: int, verdict: str, tmp_path: Path) -> None:
    model = top_k(tmp_path / "m.onnx", count)
    report = ask_proxy(model, shapes(model), False)
    assert report.verdict == verdict and (verdict == "builds" or report.reason.startswith("building: "))


@needs_extra
@pytest.mark.parametrize("write", [scatter, non_zero])
def test_false_negatives_are_told_as_such(write: Any, tmp_path: Path) -> None:
    model = write(tmp_path / "m.onnx")
    assert _blind(read_onnx(model))
    report = ask_proxy(model, shapes(model), True)
    assert report.verdict == "cannot say", report.reason


@needs_extra
def test_the_command_asks_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    honest(tmp_path / "m.onnx")
    common = ["--target", "tensorrt", "--tensorrt", "11.1", "--check-with", "rtx"]
    assert run(["optimize", str(tmp_path / "m.onnx"), *common, "-o", str(tmp_path / "good")]) == 0
    assert "a proxy (1.7" in capsys.readouterr().out
    scatter(tmp_path / "s.onnx")
    assert run(["optimize", str(tmp_path / "s.onnx"), *common, "-o", str(tmp_path / "scatter")]) == 0
    assert "cannot say" in capsys.readouterr().out


@needs_extra
@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8"])
def test_lowered_files_build(precision: str, tmp_path: Path) -> None:
    save_npz(tmp_path / "x.npz", {"x": np.linspace(-1, 1, 36, dtype=np.float32).reshape(9, 4)})
    options = TensorrtOptions(tensorrt="11.1", precision=precision, check=True)  # type: ignore[arg-type]
    model, inputs = honest(tmp_path / "m.onnx"), [tmp_path / "x.npz"]
    result = optimize_tensorrt(model, tmp_path / "trt", options, inputs=inputs, tolerance=Tolerance.of(0.1, 0.1))
    assert result.proxy is not None and result.proxy.verdict == "builds"
