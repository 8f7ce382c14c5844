"""Starts a server under its reaper and stops both; the server's process id, exit code and log are read here."""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from portinf.core.errors import ServingError
from portinf.serving.server.shared_memory import remove_regions

__all__ = ["ServerCommand", "ServerProcess"]

_WARDEN = Path(__file__).with_name("reaper.py")
_START_SECONDS = 30.0
_CLEANING_SECONDS = 40.0


@dataclass(frozen=True, kw_only=True)
class ServerCommand:
    """How one engine starts a server.

    ``command[0]`` is an absolute path, ``environment`` the whole environment, ``after`` a command that is run when the
    server has ended (to remove a container, say), ``stubs`` whether the models run in stub processes of ours.
    """

    engine: str
    command: tuple[str, ...]
    environment: dict[str, str]
    after: tuple[str, ...] = ()
    stubs: bool = False


class ServerProcess:
    """One running server and the reaper that watches it."""

    def __init__(self, command: ServerCommand, prefix: str, scratch: Path) -> None:
        self.log_path = scratch / "server.log"
        self.exit_code: int | None = None
        self._prefix = prefix
        self._reaper = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_WARDEN)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Its own session: Ctrl-C in the terminal reaches portinf only, which then stops the server in good order.
            start_new_session=True,
            cwd=scratch,
        )
        try:
            self._send(json.dumps(self._settings(command, scratch)))
            self.pid = self._read_pid()
        except BaseException:
            self.stop(0)
            raise

    def log(self) -> str:
        """Return what the server has written so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def poll(self) -> int | None:
        """Return the exit code once the server has ended, else None; a negative code is the signal that ended it."""
        if self.exit_code is None and self._reaper.poll() is not None:
            words = self._output().read().decode().split()
            self.exit_code = int(words[-1]) if "exit" in words else -9
        return self.exit_code

    def stop(self, grace: float) -> None:
        """End the server, killing it after ``grace`` seconds, and all that belongs to it; nothing is left when this returns."""
        try:
            with contextlib.suppress(OSError):
                self._send(f"stop {grace}")
            self._reaper.wait(timeout=grace + _CLEANING_SECONDS)
        except subprocess.TimeoutExpired:
            self._reaper.kill()
            self._reaper.wait()
        finally:
            if self._reaper.poll() is not None:
                self.poll()
            for pipe in (self._reaper.stdin, self._reaper.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
        remove_regions(self._prefix)

    def _settings(self, command: ServerCommand, scratch: Path) -> dict[str, object]:
        return {
            "command": command.command,
            "environment": command.environment,
            "log": str(self.log_path),
            "prefix": self._prefix,
            "scratch": str(scratch),
            "after": command.after,
        }

    def _send(self, line: str) -> None:
        if self._reaper.stdin is None:
            raise ServingError("the reaper of the server has no standard input")
        self._reaper.stdin.write(line.encode() + b"\n")
        self._reaper.stdin.flush()

    def _read_pid(self) -> int:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if select.select([self._output()], [], [], 0.1)[0]:
                words = self._output().readline().decode().split()
                if words[:1] == ["pid"]:
                    return int(words[1])
                break
        raise ServingError("the process that watches the server did not start; try again, or look at the machine's load")

    def _output(self) -> IO[bytes]:
        if self._reaper.stdout is None:
            raise ServingError("the reaper of the server has no standard output")
        return self._reaper.stdout
