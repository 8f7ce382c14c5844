"""`portinf doctor`: says what works and why the rest does not, without importing a framework."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from portinf.cli.main import run
from portinf.commands import doctor
from portinf.commands.doctor import diagnose
from portinf.commands.doctor_text import WIDTH, render
from portinf.core.needs import EXTRAS, Check

HEAVY = ("numpy", "onnx", "onnxruntime", "tensorflow", "keras", "torch", "torch_geometric", "tf2onnx", "rich", "tritonclient")


def check(name: str, group: str) -> Check:
    (found,) = [c for c in diagnose().checks if c.name == name and c.group == group]
    return found


def without(monkeypatch: pytest.MonkeyPatch, **versions: str | None) -> None:
    """Let packages look as if they were installed in another version, or not at all (None)."""
    real = metadata.version

    def version(name: str) -> str:
        key = name.replace("-", "_")
        if key not in versions:
            return real(name)
        found = versions[key]
        if found is None:
            raise metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr("portinf.core.needs.metadata.version", version)


def test_text_fits_and_exits_zero(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor"]) == 0
    out = capsys.readouterr().out
    assert max(len(line) for line in out.splitlines()) <= WIDTH
    for part in ("packages", "routes to ONNX", "targets", "serving", "tritonserver"):
        assert part in out


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {check["group"] for check in report["checks"]} == {"package", "route", "target", "serving"}


def test_no_framework_is_imported() -> None:
    code = (
        "import sys; from portinf.cli.main import run; run(['doctor', '--json']); "
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert result.stderr.strip() == "[]"


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, torch=None)
    for name, extra in (("pytorch", "torch"), ("pyg", "pyg")):
        found = check(name, "route")
        assert not found.works
        assert "torch is not installed" in found.detail
        assert f"pip install 'portinf[{extra}]'" in found.detail


def test_too_old_and_too_new(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, tf2onnx="1.15.0rc1", torch="2.14.0+cpu", onnx="1.19.1", onnxscript="0.7", torch_geometric="2.8")
    assert "tf2onnx 1.15.0rc1 is too old (at least 1.16.1)" in check("keras", "route").detail
    assert "torch 2.14.0+cpu is too new (below 2.14)" in check("pytorch", "route").detail


def test_the_tensorrt_target_writes_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, tensorrt_rtx_cu12=None)
    found = check("tensorrt", "target")
    assert found.works and found.detail.startswith("writes the folder") and "pip install 'portinf[trt-check]'" in found.detail
    without(monkeypatch, tensorrt_rtx_cu12="1.7.1.116")
    assert "--check-with rtx works" in check("tensorrt", "target").detail


def test_another_build_of_tensorflow_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, tensorflow_cpu=None, tensorflow="2.20.0", keras="3.9", tf2onnx="1.17")
    assert check("tensorflow", "route").works
    assert check("tensorflow-cpu", "package").detail == "2.20.0"


def test_engines_are_looked_for_on_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not check("docker", "serving").works
    program = tmp_path / "docker"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    assert check("docker", "serving").works


def test_a_python_that_leads_nowhere_does_not_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(doctor.sys, "version_info", (3, 14, 0))
    for minor, line in ((10, "echo Python 3.10.9"), (11, "exit 127")):
        shim = tmp_path / f"python3.{minor}"
        shim.write_text(f"#!/bin/sh\n{line}\n")
        shim.chmod(0o755)
    assert check("python", "serving").detail == f"3.10 ({tmp_path / 'python3.10'})"
    (tmp_path / "python3.10").unlink()
    assert "none of 3.10, 3.11, 3.12 found" in check("python", "serving").detail


def test_the_bounds_are_those_of_the_project() -> None:
    tomllib = pytest.importorskip("tomllib", reason="tomllib is new in Python 3.11")
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    everything = {"": project["dependencies"], **project["optional-dependencies"]}
    elsewhere = "sys_platform == 'darwin'"  # the same package under another name
    groups = {extra: [line.split(";")[0] for line in lines if elsewhere not in line] for extra, lines in everything.items()}
    for extra, needs in EXTRAS.items():
        expected = {
            line.partition("[")[0] if "[" in line.partition(">")[0] else line.partition(">")[0] for line in groups[extra]
        }
        assert {need.distributions[0] for need in needs} == expected
        for need in needs:
            (line,) = [line for line in groups[extra] if line.replace("[", ">").startswith(need.distributions[0] + ">")]
            bounds = line[line.index(">=") :]
            assert bounds == f">={need.at_least}" + (f",<{need.below}" if need.below else "")


def test_long_reasons_are_wrapped() -> None:
    long = doctor.Diagnosis(
        portinf="0", python="3", system="s", checks=(Check(group="route", name="x", works=False, detail="word " * 60),)
    )
    assert max(len(line) for line in render(long).splitlines()) <= WIDTH
