"""A live local server is cured when a model's process dies, and takes up what changes in the repository."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from portinf.core.errors import ServingError
from portinf.serving.engines import EngineRequest
from portinf.serving.engines.pytriton.canary import prepare
from portinf.serving.engines.pytriton.command import command_for
from portinf.serving.reload.stub_supervisor import read_stubs
from portinf.serving.server.launcher import Server
from tests.serving.live import FREE, Traces, ask, serving, traces, until
from tests.serving.tiny_models import ADD_CONFIG, add

__all__ = ["traces"]

CURE_SECONDS = 5.0  # the promise
ONES = np.ones((1, 4), dtype=np.float32)


def answers(server: Server, model: str = "add") -> bool:
    """Say whether a model answers one request rightly."""
    try:
        total = ask(server, model, {"a": ONES, "b": ONES}, ["sum"], "grpc")["sum"]
    except InferenceServerException:
        return False
    return bool((total == 2).all())


@contextmanager
def requests(server: Server) -> Iterator[list[tuple[float, bool]]]:
    """Send requests from two threads all the time; gives the list of (time, answered)."""
    results: list[tuple[float, bool]] = []
    over = threading.Event()

    def flow() -> None:
        while not over.wait(0.01):
            good = answers(server)
            results.append((time.monotonic(), good))

    threads = [threading.Thread(target=flow) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield results
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_a_dead_process_is_noticed_and_its_model_answers_again(tmp_path: Path, traces: Traces) -> None:
    add(tmp_path / "models", config=ADD_CONFIG.replace("count: 1", "count: 2"))
    lines: list[str] = []
    with serving(tmp_path / "models", lines) as server, requests(server) as results:
        until(lambda: len(results) > 10)
        for _ in range(2):
            pid = next(iter(read_stubs(server.pid)))
            killed = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            until(lambda: any("answers again" in line for line in lines))
            lines.clear()
            assert time.monotonic() - killed < CURE_SECONDS
            # From now on both instances answer: not one failure in twenty requests.
            assert all(answers(server) for _ in range(20))
    assert any(good for _, good in results)


def test_new_versions_and_models_are_loaded_and_gone_ones_unloaded(tmp_path: Path, traces: Traces) -> None:
    models = tmp_path / "models"
    add(models)
    lines: list[str] = []
    with serving(models, lines) as server, requests(server) as results:
        shutil.copytree(models / "add" / "1", models / "add" / ".next")
        (models / "add" / ".next").rename(models / "add" / "2")
        until(lambda: server.control.ready_versions("add") == [2])
        add(tmp_path / "new", "later")
        (tmp_path / "new" / "later").rename(models / "later")
        until(lambda: server.control.ready_versions("later") == [1])
        until(lambda: answers(server, "later"))
        shutil.rmtree(models / "later")
        until(lambda: server.control.ready_versions("later") == [])
        broken = models / "add" / ".broken"
        shutil.copytree(models / "add" / "2", broken)
        (broken / "model.onnx").write_bytes(b"not a model")
        broken.rename(models / "add" / "3")
        until(lambda: any("the loaded version stays in use" in line for line in lines))
        assert answers(server)
        # A new version takes over without one failed request; so does a damaged one, which is not taken.
        assert all(good for _, good in results)
    assert any("now serving version 2" in line for line in lines)


def test_a_gpu_configuration_runs_on_the_cpu_and_stays_as_it_is(tmp_path: Path, traces: Traces) -> None:
    config = ADD_CONFIG.replace("KIND_CPU", "KIND_GPU gpus: [0]")
    folder = add(tmp_path / "models", config=config)
    lines: list[str] = []
    with serving(tmp_path / "models", lines) as server:
        assert answers(server)
        shutil.copytree(folder / "1", folder / ".next")
        (folder / ".next").rename(folder / "2")
        until(lambda: server.control.ready_versions("add") == [2])
        assert answers(server)
    assert any("add will run on the CPU" in line for line in lines)
    assert (folder / "config.pbtxt").read_text() == config
    assert sorted(path.name for path in folder.iterdir()) == ["1", "2", "config.pbtxt"]


def test_the_end_of_the_server_is_an_error(tmp_path: Path, traces: Traces) -> None:
    add(tmp_path / "models")
    expected = pytest.raises(ServingError, match=r"was killed \(SIGKILL\) while serving")
    with expected, serving(tmp_path / "models") as server:
        os.kill(server.pid, signal.SIGKILL)
        server.wait()


def test_an_incomplete_model_is_refused_where_completion_is_off(tmp_path: Path, traces: Traces) -> None:
    add(tmp_path / "models")
    lines: list[str] = []
    with serving(tmp_path / "models", lines) as server:
        add(tmp_path / "new", "bare", None)
        (tmp_path / "new" / "bare").rename(tmp_path / "models" / "bare")
        until(lambda: any("its config.pbtxt is incomplete" in line for line in lines))
        assert answers(server)


def test_python_that_appears_needs_permission(tmp_path: Path, traces: Traces) -> None:
    models = tmp_path / "models"
    add(models)
    lines: list[str] = []
    code = tmp_path / "code"
    (code / "1").mkdir(parents=True)
    (code / "1" / "model.py").write_text(f"open({str(tmp_path / 'EXECUTED')!r}, 'w')\n")
    (code / "config.pbtxt").write_text(ADD_CONFIG.replace('platform: "onnxruntime_onnx"', 'backend: "python"'))
    with serving(models, lines) as server:
        shutil.copytree(code, models / "code")
        (models / "code" / "config.pbtxt").write_text((code / "config.pbtxt").read_text().replace('"add"', '"code"'))
        shutil.copy(code / "config.pbtxt", models / "add" / "config.pbtxt")
        shutil.copy(code / "1" / "model.py", models / "add" / "1" / "model.py")
        until(lambda: len([line for line in lines if "--allow-code allows it" in line]) == 2)
        os.kill(next(iter(read_stubs(server.pid))), signal.SIGKILL)
        until(lambda: any("answers again" in line for line in lines))
        assert answers(server)
        assert server.control.ready_versions("code") == []
    assert any(line.startswith("model code: not loaded; the loaded version stays in use: runs Python code") for line in lines)
    assert not (tmp_path / "EXECUTED").exists()


def test_a_server_on_path_is_used_as_it_is(tmp_path: Path, traces: Traces, monkeypatch: pytest.MonkeyPatch) -> None:
    models = tmp_path / "models"
    add(models)
    (tmp_path / "scratch").mkdir()
    request = EngineRequest(
        repository=models,
        models=("add",),
        scratch=tmp_path / "scratch",
        ports=FREE,
        prefix="portinf_unused_",
        complete=True,
        image=None,
        serving_env=None,
        report=lambda line: None,
    )
    made = command_for(prepare(None, request.report), request)
    # What is on PATH is the server of the serving environment, wrapped so that it finds its libraries and backends by itself.
    path = json.loads((tmp_path / "scratch" / "programs" / "starter.json").read_text())["path"]
    exports = [f"export LD_LIBRARY_PATH='{made.environment['LD_LIBRARY_PATH']}'", f"export PATH='{path}'"]
    backends = f"--backend-directory={tmp_path / 'scratch' / 'backends'}"
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "tritonserver"
    script.write_text("\n".join(["#!/bin/sh", *exports, f'exec {made.command[0]} "$@" {backends}']) + "\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    with serving(models) as server:
        assert server.engine == "path"
        assert answers(server)
