"""Runs portinf's command line, and other Python programs, as a user would: part of the demonstration."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from examples.asking import DemoError

__all__ = ["STARTED", "portinf", "python", "say", "served"]

COMMAND_SECONDS = 300.0
READY_SECONDS = 300.0
END_SECONDS = 30.0
STARTED = time.perf_counter()


def portinf(*arguments: str) -> str:
    """Run a portinf command and return what it prints."""
    say(f"portinf {' '.join(arguments)}")
    return python(["-m", "portinf", *arguments])


def python(arguments: Sequence[str]) -> str:
    """Run Python with these arguments and return what it prints."""
    command = [sys.executable, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS)
    except subprocess.TimeoutExpired:
        raise DemoError(f"{' '.join(arguments)}: not finished after {COMMAND_SECONDS:.0f} s") from None
    if done.returncode:
        raise DemoError(f"{' '.join(arguments)}: exit code {done.returncode}\n{_tail(done.stdout + done.stderr)}")
    return done.stdout


def say(text: str) -> None:
    """Print progress, with the seconds since the start."""
    sys.stderr.write(f"[{time.perf_counter() - STARTED:4.1f} s] {text}\n")  # one write: threads do not mix within a line
    sys.stderr.flush()


@contextmanager
def served(models: Path, log: Path) -> Iterator[Mapping[str, Any]]:
    """Serve a model repository for the time of the block; yields what ``serve-local --json`` prints when it is ready.

    Raises:
        DemoError: the server does not start; the message ends with the last lines of the log.
    """
    command = ["serve-local", str(models), "--http-port", "0", "--grpc-port", "0", "--metrics-port", "0", "--json"]
    say(f"portinf {' '.join(command)}")
    with log.open("w") as errors:
        arguments = [sys.executable, "-m", "portinf", *command]
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        yield _await_ready(process, log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_ready(process: subprocess.Popen[str], log: Path) -> Mapping[str, Any]:
    """Read the JSON object that says where the server listens."""
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put("")

    threading.Thread(target=read, daemon=True).start()
    until, text = time.monotonic() + READY_SECONDS, ""
    while True:
        try:
            line = lines.get(timeout=max(until - time.monotonic(), 0.0))
        except queue.Empty:
            raise DemoError(f"serve-local was not ready after {READY_SECONDS:.0f} s:\n{_tail(log.read_text())}") from None
        if not line:
            raise DemoError(f"serve-local ended with code {process.wait()}:\n{_tail(log.read_text())}")
        text += line
        try:
            ready: Mapping[str, Any] = json.loads(text)
        except json.JSONDecodeError:
            continue  # an object over several lines
        return ready


def _tail(text: str, lines: int = 20) -> str:
    """Return the last lines of a text."""
    return "\n".join(text.splitlines()[-lines:])
