"""`portinf optimize --target tensorrt` from the command line: the folder, what is refused, and what the other commands make of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from portinf.cli.main import run
from portinf.core.batch import save_npz
from portinf.onnx_graph.model_file import read_onnx
from portinf.serving.repository import read_repository
from portinf.triton.config import from_text
from portinf.triton.manifest import read_manifest, verify
from tests.targets.tensorrt.site import environment, machine
from tests.triton.models import honest, minus_mean, save, tensor

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """A model with a sample of nine rows."""
    save_npz(tmp_path / "x.npz", {"x": np.linspace(-1, 1, 36, dtype=np.float32).reshape(9, 4)})
    return honest(tmp_path / "net.onnx")


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run the command on ``net.onnx`` into ``trt``; return exit code, stdout and the last line of stderr."""

    def command(*options: str) -> tuple[int, str, str]:
        code = run(["optimize", str(tmp_path / "net.onnx"), "--target", "tensorrt", "-o", str(tmp_path / "trt"), *options])
        done = capsys.readouterr()
        return code, done.out, (done.err.strip().splitlines() or [""])[-1]

    return command


def test_the_folder_and_what_it_says(net: Path, call: Call) -> None:
    folder = net.parent / "trt"
    code, out, _ = call("--triton-release", "24.08", "--inputs", str(net.parent / "x.npz"), "--json")
    assert code == 0
    report = json.loads(out)
    assert report["engine"] == "not built" and report["tensorrt"] == "10.3" and report["max_batch_size"] == 64
    assert report["shapes"] == {"min": "x:1x4", "opt": "x:9x4", "max": "x:64x4"} and report["recorded"] == 4
    assert sorted(path.name for path in folder.iterdir()) == [
        *("build_engine.sh", "files.sha256", "goldens", "model.onnx", "replay.py", "repository", "repository-onnxruntime"),
        *("settings.sh", "tensorrt.json"),
    ]
    assert os.access(folder / "build_engine.sh", os.X_OK) and not list(folder.rglob("model.plan"))
    plan = from_text((folder / "repository/net/config.pbtxt").read_text())
    assert (plan.platform, plan.max_batch_size, plan.dynamic_batching, plan.accelerator) == ("tensorrt_plan", 64, True, None)
    assert json.loads((folder / "repository/net/1/engine.json").read_text())["state"] == "not built"
    accelerated = from_text((folder / "repository-onnxruntime/net/config.pbtxt").read_text())
    assert accelerated.platform == "onnxruntime_onnx" and accelerated.accelerator is not None
    assert verify(folder / "repository-onnxruntime/net") == []
    assert "not built" in json.loads((folder / "tensorrt.json").read_text())["engine"]


def test_text_says_that_nothing_was_run(net: Path, call: Call) -> None:
    code, out, note = call("--tensorrt", "8.6", "--max-batch-size", "0", "--axis-range", "batch=1:2:16")
    assert code == 0 and "not built. Run" in out and "release/8.6-GA" in out and "x:16x4" in out
    assert "no Triton release given" in note and not (net.parent / "trt/repository-onnxruntime").exists()


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ([], 2, "--triton-release YY.MM"),
        (["--tensorrt", "8"], 2, "expected a version such as"),
        (["--tensorrt", "8.5"], 2, "from 8.6 on"),
        (["--triton-release", "24.8"], 2, "expected YY.MM"),
        (["--triton-release", "24.05"], 4, "add --tensorrt VERSION"),
        (["--triton-release", "24.08", "--tensorrt", "8.6"], 2, "holds TensorRT 10.3.0.26"),
        (["--tensorrt", "10.3", "--threads", "1"], 2, "--threads"),
        (["--tensorrt", "10.3", "--axis-range", "batch=1:2:64", "--axis-range", "batch=1:3:64"], 2, "given twice"),
        (["--tensorrt", "10.3", "--name", "a b"], 2, "model name"),
        (["--tensorrt", "10.3", "--inputs", "missing.npz"], 2, "missing.npz"),
    ],
)
def test_a_wrong_call_is_one_line_and_writes_nothing(options: list[str], code: int, said: str, net: Path, call: Call) -> None:
    found, out, line = call(*options)
    assert (found, out) == (code, "") and line.startswith("portinf: error:") and said in line
    assert sorted(path.name for path in net.parent.iterdir()) == ["net.onnx", "x.npz"]


def test_a_folder_that_holds_something_is_left_alone(net: Path, call: Call) -> None:
    (net.parent / "trt").mkdir()
    assert call("--tensorrt", "10.3")[0] == 0
    before = sorted((net.parent / "trt").rglob("*"))
    assert "exists" in call("--tensorrt", "10.3")[2] and sorted((net.parent / "trt").rglob("*")) == before


def test_rows_that_depend_on_each_other_are_not_batched(net: Path, call: Call) -> None:
    minus_mean(net)
    assert call("--tensorrt", "10.3", "--max-batch-size", "8")[0] == 4
    code, out, _ = call("--tensorrt", "10.3")
    assert code == 0 and "max_batch_size 0" in out


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (TensorProto.DOUBLE, "tensor 'x' is float64"),
        (TensorProto.STRING, "tensor 'x' is object"),
        (TensorProto.UINT64, "tensor 'x' is uint64"),
    ],
)
def test_types_that_an_engine_would_change_are_refused(kind: int, said: str, net: Path, call: Call) -> None:
    save(net, [helper.make_node("Identity", ["x"], ["y"])], [tensor("x", ["b"], kind)], [tensor("y", ["b"], kind)])
    code, _, line = call("--tensorrt", "10.3", "--max-batch-size", "0")
    assert code == 4 and said in line


def test_options_of_this_target_do_not_fit_another(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for option in (["--triton-release", "24.08"], ["--check-with", "rtx"], ["--build"], ["--axis-range", "a=1:2:3"]):
        assert run(["optimize", str(net), "--target", "onnxruntime", "-o", str(net.parent / "o.onnx"), *option]) == 2
        assert f"{option[0]}: only for --target tensorrt, not for" in capsys.readouterr().err


def test_a_missing_proxy_names_the_extra(net: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portinf.targets.tensorrt.rtx_check.available", lambda _: False)
    code, _, line = call("--tensorrt", "10.3", "--check-with", "rtx")
    assert code == 3 and "pip install 'portinf[trt-check]'" in line and not (net.parent / "trt").exists()


def test_the_other_commands_say_what_the_folder_is(net: Path, call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    folder = net.parent / "trt"
    assert call("--triton-release", "24.08")[0] == 0
    assert run(["inspect", str(folder)]) == 0
    assert "not built: run build_engine.sh" in " ".join(capsys.readouterr().out.split())
    assert run(["inspect", str(folder / "repository/net")]) == 4
    assert "not built" in capsys.readouterr().err
    assert run(["inspect", str(folder / "repository-onnxruntime/net")]) == 0
    capsys.readouterr()
    assert run(["package", str(folder), "--repository", str(net.parent / "models")]) == 4
    assert f"give its model.onnx: {folder / 'model.onnx'}" in capsys.readouterr().err
    assert run(["serve-local", str(folder)]) == 2
    assert "repository-onnxruntime" in capsys.readouterr().err
    _, problems = read_repository(folder / "repository")
    assert "is not built: run build_engine.sh" in problems[0].reason


def test_build_runs_the_kit_here(net: Path, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With stand-ins for trtexec and nvidia-smi: the way to the kit, not an engine."""
    programs = machine(tmp_path / "bin")
    for key, value in environment(programs, "10.3.0").items():
        monkeypatch.setenv(key, value)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    code, out, _ = call("--tensorrt", "10.3", "--build", "--json")
    assert code == 0 and json.loads(out)["engine"] == "built"
    assert (tmp_path / "trt/repository/net/1/model.plan").is_file()
    assert run(["inspect", str(tmp_path / "trt"), "--json"]) == 0


@pytest.mark.parametrize(("fault", "code"), [("wrong", 5), pytest.param("parse", 4, marks=pytest.mark.long)])
def test_a_build_that_fails_here_says_so(
    fault: str, code: int, net: Path, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = machine(tmp_path / "bin")
    for key, value in environment(programs, "10.3.0", STAND_IN_FAULT=fault).items():
        monkeypatch.setenv(key, value)
    found, _, line = call("--tensorrt", "10.3", "--build")
    assert found == code and "its engine is not built" in line and not list(tmp_path.rglob("model.plan"))


def test_no_trtexec_is_a_missing_package(net: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    if any(
        Path(folder, "trtexec").exists() for folder in ("/usr/src/tensorrt/bin", "/opt/tensorrt/bin", "/workspace/tensorrt/bin")
    ):
        pytest.skip("this machine has a trtexec")
    monkeypatch.delenv("TRTEXEC", raising=False)
    code, _, line = call("--tensorrt", "10.3", "--build")
    assert code == 3 and "no trtexec on PATH" in line and (net.parent / "trt/build_engine.sh").is_file()


@pytest.mark.parametrize(("precision", "flag"), [("fp16", "FLOAT16"), ("int8", "INT8")])
def test_a_lower_precision_is_in_the_graph_and_judged_on_the_samples(precision: str, flag: str, net: Path, call: Call) -> None:
    options = ["--triton-release", "24.08", "--precision", precision, "--atol", "0.05", "--inputs", str(net.parent / "x.npz")]
    code, out, _ = call(*options, "--json")
    assert code == 0
    report = json.loads(out)
    assert report["lowered"]["lowered"] > 0 and report["lowered"]["validation"]["verdict"] == "equal"
    folder = net.parent / "trt"
    kinds = {tensor.data_type for tensor in onnx.load(folder / "model.onnx").graph.initializer}
    assert getattr(TensorProto, flag) in kinds
    assert f"PRECISION={precision}" in (folder / "settings.sh").read_text()
    config = from_text((folder / "repository-onnxruntime/net/config.pbtxt").read_text())
    assert config.accelerator is not None and config.accelerator.parameters["precision_mode"] == precision.upper()
    assert read_manifest(folder / "repository-onnxruntime/net/1").tolerance == {"rtol": None, "atol": 0.05}
    assert {spec.dtype for spec in read_onnx(folder / "model.onnx").signature.inputs} == {"float32"}


def test_bfloat16_where_only_one_of_the_two_ways_has_it(net: Path, call: Call) -> None:
    assert call("--tensorrt", "8.6", "--precision", "bf16")[2].endswith("take fp16, or TensorRT 10 or newer")
    code, out, _ = call("--triton-release", "24.08", "--precision", "bf16", "--atol", "0.1", "--json")
    assert code == 0 and any("precision_mode BF16" in note for note in json.loads(out)["notes"])
    assert not (net.parent / "trt/repository-onnxruntime").exists() and (net.parent / "trt/repository").is_dir()


def test_int8_without_samples_is_refused(net: Path, call: Call) -> None:
    code, _, line = call("--tensorrt", "10.3", "--precision", "int8")
    assert code == 2 and "requires samples for calibration" in line and not (net.parent / "trt").exists()


def test_a_precision_that_does_not_hold_writes_nothing(net: Path, call: Call) -> None:
    tight = ["--inputs", str(net.parent / "x.npz"), "--rtol", "1e-9", "--atol", "1e-9"]
    code, _, _ = call("--tensorrt", "10.3", "--precision", "int8", *tight)
    assert code in (4, 5) and not (net.parent / "trt").exists()


def test_the_bound_of_a_lower_precision_does_not_hide_an_influence(net: Path, call: Call) -> None:
    """Rows that change each other by a hundredth are not independent, although --atol 0.05 allows the precision as much."""
    small = numpy_helper.from_array(np.array(0.01, dtype=np.float32), "small")
    weight = numpy_helper.from_array(np.linspace(-1, 1, 16, dtype=np.float32).reshape(4, 4), "weight")
    nodes = [
        helper.make_node("MatMul", ["x", "weight"], ["h"]),
        helper.make_node("ReduceMean", ["h"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Mul", ["mean", "small"], ["less"]),
        helper.make_node("Sub", ["h", "less"], ["y"]),
    ]
    save(net, nodes, [tensor("x", ["batch", 4])], [tensor("y", ["batch", 4])], [small, weight])
    code, out, _ = call(
        "--tensorrt", "10.3", "--precision", "fp16", "--atol", "0.05", "--inputs", str(net.parent / "x.npz"), "--json"
    )
    assert code == 0 and json.loads(out)["max_batch_size"] == 0
