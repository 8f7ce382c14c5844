"""Runs one server as its only child and leaves nothing behind: a small process between portinf and the server.

It is run as a script by a bare interpreter (standard library only). Closing its standard input, which also happens when
portinf is killed, ends the server, every process the server has started, and its shared-memory regions.

Standard input: one line of JSON with ``command``, ``environment``, ``log``, ``prefix``, ``scratch`` and ``after``; later
``stop SECONDS`` ends the server with that grace. Standard output: ``pid N``, later ``exit CODE``.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_GRACE_SECONDS = 5.0
_TICK_SECONDS = 0.1


class Reaper:
    """The state of one watch: the server's pid, its exit code once known, and the time at which it is killed."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.deadline: float | None = None
        self.code: int | None = None
        self.pid = 0
        self.abandoned = False

    def run(self) -> int:
        """Start the server, wait for its end or the order to end it, and clean up."""
        self.pid = self._start()
        print(f"pid {self.pid}", flush=True)
        while self.code is None:
            self._listen()
            self._reap()
            if self.deadline is not None and time.monotonic() > self.deadline:
                _kill(self.pid, signal.SIGKILL)
        self._clean()
        return self.code

    def stop(self, grace: float) -> None:
        """Ask the server to end; a shorter grace than one given before counts."""
        deadline = time.monotonic() + grace
        if self.deadline is None:
            _kill(self.pid, signal.SIGTERM)
        self.deadline = deadline if self.deadline is None else min(self.deadline, deadline)

    def _start(self) -> int:
        command = self.settings["command"]
        pid = os.fork()
        if pid:
            return pid
        try:
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            log = os.open(self.settings["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            null = os.open(os.devnull, os.O_RDONLY)
            for source, target in ((null, 0), (log, 1), (log, 2)):
                os.dup2(source, target)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL)
            os.execve(command[0], command, self.settings["environment"])
        except OSError as error:
            os.write(2, f"E cannot start {command[0]}: {error}\n".encode())
        os._exit(127)

    def _listen(self) -> None:
        if not select.select([] if self.abandoned else [0], [], [], _TICK_SECONDS)[0]:
            return
        words = os.read(0, 4096).decode().split()
        if not words:
            self.abandoned = True
            self.stop(_GRACE_SECONDS)
        elif words[0] == "stop":
            self.stop(float(words[1]))

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.pid:
                self.code = os.waitstatus_to_exitcode(status)

    def _clean(self) -> None:
        _end_children()
        for path in Path("/dev/shm").glob(self.settings["prefix"] + "*"):
            path.unlink(missing_ok=True)
        if self.settings["after"]:
            subprocess.run(self.settings["after"], stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
        if self.abandoned:
            shutil.rmtree(self.settings["scratch"], ignore_errors=True)


def _end_children() -> None:
    # Orphans of the server have become children of this process (subreaper): end them by pid until none is left.
    for _ in range(100):
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        for pid in _children():
            _kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def _children() -> list[int]:
    own = str(os.getpid())
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[1] == own:
                found.append(int(folder.name))
    return found


def _kill(pid: int, number: int) -> None:
    if pid > 0:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _read_settings() -> dict[str, Any]:
    # Unbuffered: what follows the first line is read by the watch itself.
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            sys.exit(2)
        line += byte
    settings: dict[str, Any] = json.loads(line)
    return settings


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def main() -> int:
    """Run the watch that the command line describes."""
    reaper = Reaper(_read_settings())

    def ordered(number: int, frame: FrameType | None) -> None:
        reaper.stop(_GRACE_SECONDS)

    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGTERM, ordered)
    signal.signal(signal.SIGINT, ordered)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    code = reaper.run()
    try:
        print(f"exit {code}", flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
