"""Ends a child process that takes longer, or holds more memory, than it was allowed."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

__all__ = ["Watchdog"]

INTERVAL = 0.05  # seconds between two looks


class Watchdog:
    """Watches one process from a thread of its own.

    Args:
        process: the child.
        seconds: how long one step may take; None for no bound.
        memory: resident bytes that it may hold; None for no bound.
    """

    def __init__(self, process: subprocess.Popen[str], *, seconds: float | None, memory: int | None) -> None:
        self._process, self._seconds, self._memory = process, seconds, memory
        self._deadline: float | None = None
        self._stopped = threading.Event()
        self.reason = ""
        self._thread = threading.Thread(target=self._watch, daemon=True, name="portinf watchdog")
        if seconds is not None or memory is not None:
            self._thread.start()

    def begin(self) -> None:
        """Start the clock of a step."""
        if self._seconds is not None:
            self._deadline = time.monotonic() + self._seconds

    def end(self) -> None:
        """Stop the clock of a step."""
        self._deadline = None

    def close(self) -> None:
        """End the thread."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(INTERVAL) and self._process.poll() is None:
            deadline = self._deadline
            if deadline is not None and time.monotonic() > deadline:
                self._kill(f"took longer than {self._seconds:g} s; allow more with --timeout SECONDS")
            elif self._memory is not None and _resident(self._process.pid) > self._memory:
                self._kill(f"held more than {self._memory / 1e9:g} GB of memory; allow more with --memory GB")

    def _kill(self, reason: str) -> None:
        self.reason = reason
        self._process.kill()
        self._stopped.set()


def _resident(pid: int) -> int:
    """Return the resident bytes of a process; 0 where the system does not report it (only Linux does, in /proc)."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0
