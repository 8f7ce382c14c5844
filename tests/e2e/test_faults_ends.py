"""However a local server ends, by Ctrl-C, by a signal or by force, it leaves no process and no shared memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.serving.live import FREE_PORTS, LIMIT_SECONDS, Traces, start_cli, traces, until
from tests.serving.tiny_models import add

__all__ = ["traces"]


def ready(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Read the JSON object that is printed once the server is ready."""
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if line.rstrip() == "}":
            break
    described: dict[str, Any] = json.loads(text)
    return described


def error_of(process: subprocess.Popen[str]) -> str:
    """Wait for the end and return standard error."""
    _, error = process.communicate(timeout=LIMIT_SECONDS)
    assert "Traceback" not in error
    return error


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_serving_cleanly(tmp_path: Path, traces: Traces, number: signal.Signals) -> None:
    add(tmp_path)
    process = start_cli(str(tmp_path), *FREE_PORTS, "--json")
    described = ready(process)
    assert [model["name"] for model in described["models"]] == ["add"]
    assert described["models"][0]["versions"] == [1]
    assert {"http", "grpc", "metrics", "pid", "engine"} <= set(described)
    process.send_signal(number)
    error = error_of(process)
    assert process.returncode == 0, error
    assert error.rstrip().endswith("stopped")
    assert not traces.look()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_loading(tmp_path: Path, traces: Traces, number: signal.Signals) -> None:
    for name in ("one", "two", "three"):
        add(tmp_path, name)
    process = start_cli(str(tmp_path), *FREE_PORTS)
    until(lambda: any("region" in trace for trace in traces.look()))
    process.send_signal(number)
    error_of(process)
    assert process.returncode == 130
    assert not traces.look()


def test_portinf_is_killed(tmp_path: Path, traces: Traces, monkeypatch: pytest.MonkeyPatch) -> None:
    add(tmp_path / "models")
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    process = start_cli(str(tmp_path / "models"), *FREE_PORTS, "--json")
    ready(process)
    assert traces.look()
    process.kill()
    process.communicate(timeout=LIMIT_SECONDS)
    until(lambda: not traces.look(), 30)
    assert not any((tmp_path / "scratch").iterdir())


def test_the_reaper_is_killed(tmp_path: Path, traces: Traces) -> None:
    add(tmp_path)
    process = start_cli(str(tmp_path), *FREE_PORTS, "--json")
    server = int(ready(process)["pid"])
    reaper = int(Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(reaper, signal.SIGKILL)
    error = error_of(process)
    assert process.returncode == 6, error
    until(lambda: not traces.look(), 30)


def test_the_server_is_killed(tmp_path: Path, traces: Traces) -> None:
    add(tmp_path)
    process = start_cli(str(tmp_path), *FREE_PORTS, "--json")
    os.kill(int(ready(process)["pid"]), signal.SIGKILL)
    error = error_of(process)
    assert process.returncode == 6
    assert "the server was killed (SIGKILL) while serving" in error
    assert not traces.look()
