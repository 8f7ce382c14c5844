"""The kit of a written folder against stand-ins for trtexec: the recipe of each release, what is refused, what is left behind."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from portinf.core.signature import Axis, TensorSpec
from portinf.targets.tensorrt.kit.replay import absolute, differs, outputs
from portinf.targets.tensorrt.kit_folder import _absolute, write_site
from portinf.targets.tensorrt.optimize import TensorrtOptions, optimize_tensorrt
from portinf.targets.tensorrt.profiles import Profile
from portinf.targets.tensorrt.versions import parse_version
from portinf.validation import Tolerance
from portinf.validation.scale import scale_of
from tests.targets.tensorrt.site import environment, machine, run_kit
from tests.triton.models import honest, save, tensor

VERSIONS = {"8.6": "8.6.1", "10.3": "10.3.0", "10.16": "10.16", "11.1": "11.1"}  # chosen -> row of the table of flags
Kit = Callable[..., Path]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the stand-ins."""
    return machine(tmp_path_factory.mktemp("machine") / "bin")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder written for TensorRT 10.3, of a model of fixed shapes: one recorded request."""
    folder = tmp_path_factory.mktemp("written")
    model = honest(folder / "net.onnx", batch=1)
    optimize_tensorrt(model, folder / "trt", TensorrtOptions(tensorrt="10.3"), tolerance=Tolerance())
    return folder / "trt"


@pytest.fixture
def site(written: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(written, tmp_path / "site with space"))


def engine(site: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((site / "repository/net/1/engine.json").read_text())
    return record


def plan(site: Path) -> Path:
    return site / "repository/net/1/model.plan"


def unfinished(site: Path) -> list[str]:
    """Return what a run left that looks like its work."""
    return [path.name for path in site.iterdir() if path.name.startswith(".build")]


def log(site: Path) -> str:
    return (site / "build.log").read_text()


@pytest.mark.parametrize("chosen", ["8.6", "11.1"])
def test_each_release_builds_checks_and_records(chosen: str, programs: Path, tmp_path: Path) -> None:
    model = honest(tmp_path / "net.onnx")
    optimize_tensorrt(model, tmp_path / "trt", TensorrtOptions(tensorrt=chosen), tolerance=Tolerance())
    done = run_kit(tmp_path / "trt", environment(programs, VERSIONS[chosen]))
    assert done.returncode == 0, done.stderr
    record = engine(tmp_path / "trt")
    assert record["state"] == "built" and record["tensorrt"].startswith(chosen)
    assert (record["gpu"], record["driver"], record["compute_capability"]) == ("Stand-In GPU", "550.54.15", "8.6")
    assert "--noTF32" in record["flags"] and len(record["checked"]) == 3 and all(one["equal"] for one in record["checked"])
    assert plan(tmp_path / "trt").stat().st_size > 0 and not unfinished(tmp_path / "trt")
    assert ("--includeDataTransfers" in log(tmp_path / "trt")) == (chosen == "11.1")


def test_a_second_run_does_nothing_until_something_changes(site: Path, programs: Path) -> None:
    env = environment(programs, "10.3.0")
    assert run_kit(site, env).returncode == 0
    first = engine(site)
    assert "up to date" in run_kit(site, env).stderr and engine(site) == first
    other = run_kit(site, {**env, "STAND_IN_GPU": "Another GPU"}, "--tf32").stderr
    assert "up to date" not in other and "nvidia-smi names Another GPU, trtexec ran on Stand-In GPU" in other
    assert "--noTF32" not in engine(site)["flags"]
    assert "up to date" not in run_kit(site, env, "--tf32").stderr  # another GPU again
    plan(site).write_bytes(b"something else")
    assert "up to date" not in run_kit(site, env, "--tf32").stderr
    assert "up to date" not in run_kit(site, env, "--tf32", "--rebuild").stderr


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        ("wrong", 5, "times the tolerance"),
        pytest.param("shape", 5, "expected [1, 2]", marks=pytest.mark.long),
        ("parse", 6, "ERROR: no importer for something"),
        ("empty", 6, "the build failed"),
        pytest.param("crash", 6, "the build failed", marks=pytest.mark.long),
        ("no_gpu", 4, "no GPU"),
    ],
)
def test_a_failure_leaves_no_plan(fault: str, code: int, said: str, site: Path, programs: Path) -> None:
    plan(site).write_bytes(b"an earlier one")
    done = run_kit(site, environment(programs, "10.3.0", STAND_IN_FAULT=fault))
    assert done.returncode == code, done.stderr
    assert said in done.stderr and "Traceback" not in done.stderr
    assert not plan(site).exists() and engine(site)["state"] == "not built" and not unfinished(site)


def test_no_gpu_on_a_release_before_10(site: Path, programs: Path) -> None:
    env = environment(programs, "8.6.1", STAND_IN_FAULT="no_gpu")
    done = run_kit(site, env, "--accept-version")
    assert done.returncode == 4 and not plan(site).exists()


def test_another_major_version_is_refused_and_a_minor_one_said(site: Path, programs: Path) -> None:
    done = run_kit(site, environment(programs, "11.1"))
    assert done.returncode == 7 and "this is TensorRT 11.1.0, and the folder was made for 10.3" in done.stderr
    accepted = run_kit(site, environment(programs, "11.1"), "--accept-version")
    assert accepted.returncode == 0 and "made for TensorRT 10.3, built with 11.1.0" in accepted.stderr
    minor = run_kit(site, environment(programs, "10.16"))
    assert minor.returncode == 0 and "made for TensorRT 10.3, this is 10.16.0" in minor.stderr


def test_what_is_missing_is_one_line(site: Path, programs: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("python3", "bash", "dirname", "sha256sum", "grep", "sed", "head", "cut", "rm", "mkdir", "tr", "sh"):
        found = shutil.which(name)
        assert found is not None
        (bare / name).symlink_to(found)
    env = {**environment(None, "10.3.0"), "PATH": str(bare)}
    done = run_kit(site, env)
    assert done.returncode == 3 and done.stderr.startswith("build_engine: error: no trtexec on PATH")
    done = run_kit(site, env, "--trtexec", str(programs / "trtexec"))
    assert done.returncode == 4 and "no nvidia-smi on PATH" in done.stderr
    done = run_kit(site, environment(programs, "10.3.0", STAND_IN_NO_SMI="1"))
    assert done.returncode == 4 and "could not communicate" in done.stderr
    (bare / "python3").unlink()
    assert run_kit(site, env).returncode == 3
    for options in (["--devise"], ["--device"], ["--device", "one"]):
        assert run_kit(site, env, *options).returncode == 2
    assert not plan(site).exists() and engine(site)["state"] == "not built"


def test_a_changed_file_is_refused(site: Path, programs: Path) -> None:
    with (site / "model.onnx").open("ab") as stream:
        stream.write(b"\n")
    done = run_kit(site, environment(programs, "10.3.0"))
    assert done.returncode == 2 and "model.onnx: FAILED" in done.stderr and not plan(site).exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long), signal.SIGKILL])
def test_an_interrupted_build_leaves_nothing_that_looks_finished(number: signal.Signals, site: Path, programs: Path) -> None:
    env = environment(programs, "10.3.0", STAND_IN_FAULT="hang")
    process = subprocess.Popen(
        ["bash", str(site / "build_engine.sh")], env=env, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not list(site.glob(".build-*/model.plan")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(30) == (-9 if number == signal.SIGKILL else 130)
    assert not plan(site).exists() and engine(site)["state"] == "not built"
    if number == signal.SIGKILL:
        os.killpg(process.pid, signal.SIGKILL)  # trtexec of the killed script
        assert unfinished(site)
    else:
        assert not unfinished(site)
    assert run_kit(site, environment(programs, "10.3.0")).returncode == 0
    assert plan(site).exists() and not unfinished(site)


def test_one_at_a_time_and_what_killed_runs_left_goes(site: Path, programs: Path) -> None:
    """In a container every run has the process number 1, and so has what a killed one left."""
    env = environment(programs, "10.3.0")
    for number in (1, os.getpid()):
        (site / f".build-{number}").mkdir()
    if shutil.which("flock"):
        with (site / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            done = run_kit(site, env)
            assert done.returncode == 6 and "another build_engine.sh is at work" in done.stderr and unfinished(site)
    assert run_kit(site, env).returncode == 0 and not unfinished(site)


def test_the_kit_works_on_any_length_and_type(programs: Path, tmp_path: Path) -> None:
    """A graph network: two dynamic axes, an int64 input that TensorRT before 10 has as int32, an int64 output, no batching."""
    nodes = [
        helper.make_node("Gather", ["x", "index"], ["taken"]),
        helper.make_node("Shape", ["taken"], ["shape"]),
        helper.make_node("Tanh", ["taken"], ["y"]),
    ]
    inputs = [tensor("x", ["nodes", 3]), tensor("index", ["edges"], TensorProto.INT64)]
    results = [tensor("y", ["edges", 3]), tensor("shape", [2], TensorProto.INT64)]
    model = save(tmp_path / "net.onnx", nodes, inputs, results)
    for chosen in ("8.6", "10.3"):
        folder = tmp_path / chosen
        result = optimize_tensorrt(model, folder, TensorrtOptions(tensorrt=chosen), tolerance=Tolerance())
        assert result.max_batch_size == 0 and list(result.profile.spans) == ["nodes", "edges"]
        done = run_kit(folder, environment(programs, VERSIONS[chosen]))
        assert done.returncode == 0, done.stderr
        config = (folder / "repository/net/config.pbtxt").read_text()
        assert ("TYPE_INT32" in config) == (chosen == "8.6") and ("TYPE_INT64" in config) == (chosen == "10.3")
        assert any("int64 becomes int32" in note for note in result.notes) == (chosen == "8.6")


@pytest.mark.parametrize("precision", ["fp16", "bf16", pytest.param("int8", marks=pytest.mark.long)])
def test_precision_is_a_flag_before_11_and_a_type_from_then_on(precision: str, site: Path, programs: Path) -> None:
    def flags(version: str) -> list[str]:
        done = run_kit(site, environment(programs, version), "--accept-version", "--rebuild")
        assert done.returncode == (7 if (precision, version) == ("bf16", "8.6.1") else 0), done.stderr
        return [flag for flag in engine(site).get("flags", []) if "Shapes" not in flag]

    text = (site / "settings.sh").read_text().replace("PRECISION=fp32", f"PRECISION={precision}")
    (site / "settings.sh").write_text(text)
    known = [line for line in (site / "files.sha256").read_text().splitlines() if not line.endswith("settings.sh")]
    (site / "files.sha256").write_text("\n".join(known) + "\n")
    assert flags("8.6.1") == ([] if precision == "bf16" else ["--noTF32", f"--{precision}"])
    assert flags("10.3.0") == ["--noTF32", "--stronglyTyped"]
    assert flags("11.1") == ["--noTF32"]


def test_the_stand_in_refuses_what_the_real_one_does(programs: Path, tmp_path: Path) -> None:
    honest(tmp_path / "m.onnx")

    def trtexec(version: str, *options: str) -> str:
        env = environment(programs, version)
        done = subprocess.run(
            [str(programs / "trtexec"), *options],
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout if done.returncode else ""

    assert "Unknown option: --fp16" in trtexec("11.1", "--onnx=m.onnx", "--fp16")
    assert "Unknown option: --stronglyTyped" in trtexec("8.6.1", "--onnx=m.onnx", "--stronglyTyped")
    common = ("--onnx=m.onnx", "--saveEngine=p", "--skipInference")
    assert "no optimization profile" in trtexec("10.3.0", *common)
    bad = {"x:4x4": "x:2x4", "x:1x5": "x:2x5", "x:1by4": "x:2x4", "z:1x4": "z:2x4"}
    for least, most in bad.items():
        assert "[E]" in trtexec("10.3.0", *common, f"--minShapes={least}", f"--optShapes={least}", f"--maxShapes={most}")


def test_every_row_of_flags_names_its_source() -> None:
    path = Path(__file__).parent / "stand_ins" / "trtexec_flags.json"
    tables = json.loads(path.read_text())["tables"]
    assert {table["tensorrt"] for table in tables} == set(VERSIONS.values())
    for table in tables:
        assert table["source"].startswith("https://github.com/NVIDIA/TensorRT/blob/") and "--onnx" in table["flags"]


def test_names_of_the_settings_are_texts(tmp_path: Path) -> None:
    evil = "x'\"$(touch EXECUTED)`touch EXECUTED`;touch EXECUTED\n\\"
    profile = Profile(spans={}, inputs=(TensorSpec(name=evil, dtype="float32", shape=(Axis(size=2),)),))
    (tmp_path / "goldens").mkdir()
    write_site(tmp_path, name="m", version=parse_version("10.3"), precision="fp32", profile=profile, recorded=[])
    script = 'set -eu; . ./settings.sh; printf "%s" "$MIN_SHAPES"'
    said = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert said == profile.text("min")
    assert evil in said
    assert not (tmp_path / "EXECUTED").exists()


def test_the_script_passes_shellcheck() -> None:
    program = shutil.which("shellcheck")
    if program is None:
        pytest.skip("shellcheck is not on PATH (Debian package shellcheck)")
    script = Path(__file__).parents[3] / "portinf/targets/tensorrt/kit/build_engine.sh"
    done = subprocess.run([program, str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


def test_answers_are_read_as_trtexec_prints_them(tmp_path: Path) -> None:
    text = '[\n  { "name" : "a:0"\n  , "dimensions" : "1x2"\n  , "values" : [ nan, -inf ]\n  }\n'
    text += ', { "name" : "b"\n  , "dimensions" : "(2)"\n  , "values" : [ 9007199254740993, 1e-05 ]\n  }\n]\n'
    (tmp_path / "answer.json").write_text(text)
    found = outputs(tmp_path / "answer.json")
    assert found["b"] == ([2], [9007199254740993, 1e-05])
    assert found["a:0"][0] == [1, 2] and np.isnan(found["a:0"][1][0]) and found["a:0"][1][1] == -np.inf


def test_differences_are_judged_as_everywhere_in_portinf() -> None:
    inf, nan = float("inf"), float("nan")
    exact, one = {"atol": [0.0], "columns": []}, {"atol": [1.0], "columns": []}
    assert differs([1.0, nan, inf], [1.0, nan, inf], 0, exact) == (0.0, 0)
    assert differs([1.0, 2.0], [1.0, 2.1], 0.1, exact)[0] == pytest.approx(0.5)
    assert differs([1, 2], [1, 3], 0, exact) == (inf, 1)
    for want, got in ((nan, 1.0), (1.0, nan), (inf, 1.0), (inf, -inf)):
        assert differs([want], [got], 1.0, one)[0] == inf


def test_each_column_has_its_own_absolute_part_on_the_site() -> None:
    array = np.zeros((2, 3, 2), np.float32)
    atol = np.array([[[1.0], [1e-3], [1e-6]]])  # as a scale along axis 1 gives it
    rule = {"name": "y", **_absolute(atol, array)}
    assert rule["columns"] == [[2, 3]]
    for position, index in enumerate(np.ndindex(array.shape)):
        assert absolute(rule, position) == np.broadcast_to(atol, array.shape)[index]
    off = array + np.float32(1e-5)
    assert differs(array.ravel().tolist(), off.ravel().tolist(), 0.0, rule) == (pytest.approx(10), 4)


def test_the_recorded_rule_is_that_of_a_comparison(written: Path) -> None:
    for case in json.loads((written / "goldens" / "goldens.json").read_text()):
        for output in case["outputs"]:
            recorded = np.fromfile(written / output["file"], output["dtype"]).reshape(output["shape"])
            scale = scale_of([recorded], (1,)) if recorded.ndim == 2 else scale_of([recorded], ())
            assert output["rtol"] == 1e-4 and len(output["atol"]) == len(scale.values)
            assert all(atol >= 1e-5 * one * 0.999 for atol, one in zip(output["atol"], scale.values, strict=True))


def test_the_model_that_was_written_is_the_one_that_was_given(written: Path, tmp_path: Path) -> None:
    original = onnx.load(honest(tmp_path / "net.onnx", batch=1))
    assert onnx.load(written / "model.onnx").graph == original.graph
