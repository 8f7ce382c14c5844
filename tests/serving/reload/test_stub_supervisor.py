"""Dead processes are told from unloaded models, and changes of a repository from half-written ones."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from portinf.core.errors import ServingError
from portinf.serving.client.control import Control, IndexEntry
from portinf.serving.reload import stub_supervisor as supervise
from portinf.serving.reload.stub_supervisor import Stub, Supervisor, read_stubs
from portinf.serving.reload.watcher import Watcher, snapshot
from tests.serving.tiny_models import add


class FakeControl(Control):
    """A server that records what it is told, and has some versions ready."""

    def __init__(self) -> None:
        super().__init__(1, 1)
        self.calls: list[str] = []
        self.ready: dict[str, list[int]] = {}
        self.refuses = False

    def ready_versions(self, model: str) -> list[int]:
        return self.ready.get(model, [])

    def index(self) -> list[IndexEntry]:
        return [
            IndexEntry(name=name, version=str(version), state="READY", reason="")
            for name, versions in self.ready.items()
            for version in versions
        ]

    def config(self, model: str) -> dict[str, Any]:
        return {"platform": "ensemble" if model == "chain" else "onnxruntime_onnx"}

    def load(self, model: str, timeout: float) -> None:
        if self.refuses:
            raise ServingError("Invalid argument: damaged")
        self.calls.append(f"load {model}")

    def unload(self, model: str) -> None:
        self.calls.append(f"unload {model}")


def stub(pid: int, instance: str = "add_0") -> Stub:
    """A process of version 1 of the model ``add``."""
    return Stub(pid=pid, model="add", version=1, instance=instance)


def supervised(monkeypatch: pytest.MonkeyPatch, looks: list[list[Stub]], ready: list[int]) -> FakeControl:
    """Let a supervisor look several times."""
    control = FakeControl()
    control.ready["add"] = ready
    watcher = Supervisor(1, control, lambda line: None, threading.Lock())
    for look in looks:
        monkeypatch.setattr(supervise, "read_stubs", lambda server, look=look: {found.pid: found for found in look})
        watcher.step()
    return control


def test_a_process_missed_twice_is_cured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert supervised(monkeypatch, [[stub(1)], []], [1]).calls == []
    assert supervised(monkeypatch, [[stub(1)], [], []], [1]).calls == ["unload add", "load add"]
    assert supervised(monkeypatch, [[stub(1)], [], [], [], [], []], [1]).calls == ["unload add", "load add"]
    looks = [[stub(1), stub(2, "add_1")], [stub(2, "add_1")], [stub(2, "add_1")], [stub(3), stub(4, "add_1")]]
    assert supervised(monkeypatch, looks, [1]).calls == ["unload add", "load add"]


def test_a_process_that_died_before_the_first_look_is_missed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "_SILENT_LOOKS", 1)
    assert supervised(monkeypatch, [[], []], [1]).calls == ["unload add", "load add"]
    assert supervised(monkeypatch, [[], [stub(1)]], [1]).calls == []
    assert supervised(monkeypatch, [[], [], []], []).calls == []


def test_an_ensemble_needs_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "_SILENT_LOOKS", 1)
    monkeypatch.setattr(supervise, "read_stubs", lambda server: {})
    control = FakeControl()
    control.ready["chain"] = [1]
    supervisor = Supervisor(1, control, lambda line: None, threading.Lock())
    supervisor.step()
    supervisor.step()
    assert control.calls == []


def test_a_process_that_dies_right_after_the_start_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    control = FakeControl()
    control.ready["add"] = [1]
    monkeypatch.setattr(supervise, "read_stubs", lambda server: {1: stub(1)})
    supervisor = Supervisor(1, control, lambda line: None, threading.Lock())
    monkeypatch.setattr(supervise, "read_stubs", lambda server: {})
    supervisor.step()
    supervisor.step()
    assert control.calls == ["unload add", "load add"]


def test_an_unloaded_or_replaced_instance_is_no_death(monkeypatch: pytest.MonkeyPatch) -> None:
    assert supervised(monkeypatch, [[stub(1)], [], [], []], []).calls == []
    assert supervised(monkeypatch, [[stub(1)], [stub(1), stub(2)], [stub(2)], [stub(2)]], [1]).calls == []


def test_stubs_are_read_from_command_lines(tmp_path: Path) -> None:
    words = ["/b/python/triton_python_backend_stub", "/models/m0/3/model", "r", "1", "1", "9", "/b/python", "336"]
    last = ["/b/onnxruntime", "a dd\n"]
    lines = {11: [*words, "add_0", *last], 12: [*words, "a dd\n", *last], 13: [""], 14: ["/bin/sh", "-c"]}
    (tmp_path / "9" / "task" / "9").mkdir(parents=True)
    (tmp_path / "9" / "task" / "9" / "children").write_text("11 12 13 14 15")
    for pid, arguments in lines.items():
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "cmdline").write_bytes("\0".join(arguments).encode())
    assert read_stubs(9, tmp_path) == {11: Stub(pid=11, model="a dd\n", version=3, instance="add_0")}
    assert read_stubs(10, tmp_path) == {}


def test_what_python_compiles_is_no_change(tmp_path: Path) -> None:
    folder = add(tmp_path)
    before = snapshot(tmp_path)
    (folder / "1" / "__pycache__").mkdir()
    (folder / "1" / "__pycache__" / "model.cpython-311.pyc").write_bytes(b"x")
    assert snapshot(tmp_path) == before
    (folder / "1" / "weights.bin").write_bytes(b"x")
    assert snapshot(tmp_path) != before


def test_changes_are_loaded_when_they_stand_still(tmp_path: Path) -> None:
    folder = add(tmp_path)
    control, lines = FakeControl(), list[str]()
    watcher = Watcher(
        tmp_path, snapshot(tmp_path), control, lines.append, threading.Lock(), lambda model: None, lambda name: None
    )
    watcher.step()
    assert control.calls == []
    shutil.copytree(folder / "1", folder / "2")
    watcher.step()
    assert control.calls == []
    watcher.step()
    watcher.step()
    assert control.calls == ["load add"]
    add(tmp_path, "late")
    (tmp_path / ".temporary").mkdir()
    watcher.step()
    watcher.step()
    assert control.calls == ["load add", "load late"]
    shutil.rmtree(tmp_path / "late")
    watcher.step()
    watcher.step()
    assert control.calls == ["load add", "load late", "unload late"]


def test_a_change_that_cannot_be_loaded_is_told_once(tmp_path: Path) -> None:
    folder = add(tmp_path)
    control, lines = FakeControl(), list[str]()
    watcher = Watcher(
        tmp_path, snapshot(tmp_path), control, lines.append, threading.Lock(), lambda model: None, lambda name: None
    )
    (folder / "2").mkdir()
    for _ in range(4):
        watcher.step()
    assert [line for line in lines if "2/model.onnx is missing" in line] == lines
    assert len(lines) == 1
    control.refuses = True
    shutil.copy(folder / "1" / "model.onnx", folder / "2")
    for _ in range(4):
        watcher.step()
    assert lines[1:] == ["model add: the change was not loaded; the loaded version stays in use: damaged"]
