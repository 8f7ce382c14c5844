"""Notices that the process behind a model instance has died, and loads that model again.

The server itself never starts a dead stub again and goes on calling the model ready; requests to it fail after a second.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from portinf.core.errors import ServingError, printable
from portinf.serving.client.control import Control

__all__ = ["Stub", "Supervisor", "read_stubs"]

_STUB = "triton_python_backend_stub"
_WORDS = 11
_PROC = Path("/proc")
_LOAD_SECONDS = 120.0
_SILENT_LOOKS = 6  # every so many looks the processes are compared with what the server calls ready


@dataclass(frozen=True, kw_only=True)
class Stub:
    """The process of one model instance: which model, version and instance it runs."""

    pid: int
    model: str
    version: int
    instance: str


def read_stubs(server: int, proc: Path = _PROC) -> dict[int, Stub]:
    """Return the living stubs of a server by process id; those that only complete a configuration are left out."""
    found = {}
    for pid in _children(server, proc):
        stub = _read_stub(pid, proc)
        if stub is not None:
            found[pid] = stub
    return found


class Supervisor:
    """Tracks the stubs of one server and reloads the models whose stubs have died; ``step`` is called again and again."""

    def __init__(self, server: int, control: Control, report: Callable[[str], None], lock: threading.Lock) -> None:
        self.cures = 0
        self._server = server
        self._control = control
        self._report = report
        self._lock = lock
        self._known: dict[int, Stub] = read_stubs(server)  # now: a stub may die before the first look
        self._suspects: set[Stub] = set()
        self._looks = 0
        self._silent: set[tuple[str, int]] = set()

    def step(self) -> None:
        """Look once. A model is reloaded when a stub was missing in two looks and the server still calls it ready."""
        alive = read_stubs(self._server)
        running = {(stub.model, stub.version, stub.instance) for stub in alive.values()}
        gone = {
            stub
            for pid, stub in self._known.items()
            if pid not in alive and (stub.model, stub.version, stub.instance) not in running
        }
        confirmed = gone & self._suspects
        self._suspects = gone
        self._known = {**{stub.pid: stub for stub in gone - confirmed}, **alive}
        if confirmed:
            self._judge(confirmed)
        self._looks += 1
        if self._looks % _SILENT_LOOKS == 0:
            self._look_for_silent(running)

    def _look_for_silent(self, running: set[tuple[str, int, str]]) -> None:
        """Find versions that the server calls ready and that have no process: it died before it was ever seen."""
        with self._lock:
            ready = {(entry.name, int(entry.version)) for entry in self._control.index() if entry.state == "READY"}
            silent = ready - {(model, version) for model, version, _ in running}
            confirmed, self._silent = silent & self._silent, silent
            for model in sorted({model for model, _ in confirmed}):
                if self._control.config(model).get("platform") != "ensemble":
                    self._cure(model, [])

    def _judge(self, dead: set[Stub]) -> None:
        # While the watcher loads a model its old stubs go: that is no death.
        with self._lock:
            for model in sorted({stub.model for stub in dead}):
                ready = self._control.ready_versions(model)
                lost = [stub for stub in dead if stub.model == model and stub.version in ready]
                if lost:
                    self._cure(model, lost)

    def _cure(self, model: str, lost: list[Stub]) -> None:
        pids = "".join(f" {stub.pid}" for stub in lost)
        name = printable(model)
        self._report(f"model {name}: its process{pids} has died; loading the model again")
        self.cures += 1
        old = [stub for stub in read_stubs(self._server).values() if stub.model == model]
        try:
            self._control.unload(model)
            self._control.load(model, timeout=_LOAD_SECONDS)
        except ServingError as error:
            self._report(f"model {name}: it could not be loaded again: {error}")
            return
        self._end(old)
        self._report(f"model {name}: it answers again")

    def _end(self, stubs: list[Stub]) -> None:
        # The server waits for the dead one, and so would block the instances beside it forever.
        alive = read_stubs(self._server)
        for stub in stubs:
            if alive.get(stub.pid) == stub:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(stub.pid, signal.SIGKILL)


def _children(pid: int, proc: Path) -> list[int]:
    found: list[int] = []
    try:
        for task in (proc / str(pid) / "task").iterdir():
            found.extend(int(word) for word in (task / "children").read_text().split())
    except OSError:
        return found
    return found


def _read_stub(pid: int, proc: Path) -> Stub | None:
    # The command line of a process that has ended and was not waited for is empty.
    try:
        words = (proc / str(pid) / "cmdline").read_bytes().decode(errors="surrogateescape").split("\0")
    except OSError:
        return None
    if not words[0].endswith(_STUB) or len(words) < _WORDS:
        return None
    version, instance, model = Path(words[1]).parent.name, words[8], words[10]  # as `portinf.serving.server.starter` puts them
    if instance == model or not version.isdigit():
        return None
    return Stub(pid=pid, model=model, version=int(version), instance=instance)
