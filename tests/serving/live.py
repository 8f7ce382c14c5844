"""Starts servers for the live tests, and sees that nothing of them is left."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from portinf.serving.launcher import Server, ServeOptions, serve
from portinf.serving.ports import Ports
from portinf.serving.prepare import prepare

__all__ = ["FREE", "FREE_PORTS", "Run", "ask", "left_behind", "nothing_left", "run_cli", "serving", "start_cli", "until"]

FREE = Ports(http=0, grpc=0, metrics=0)
FREE_PORTS = ("--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")
# Generous: the machine may have two slow cores and other work. What must be fast is measured where it is tested.
LIMIT_SECONDS = 120
_prepared = False


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a finished command line left: exit code, standard output and error."""

    code: int
    output: str
    error: str

    @property
    def message(self) -> str:
        """The one line that says what was wrong."""
        lines = [line for line in self.error.splitlines() if line.startswith("portinf: error:")]
        assert len(lines) == 1, self.error
        assert "Traceback" not in self.error, self.error
        return lines[0]


@contextmanager
def serving(folder: Path, lines: list[str] | None = None) -> Iterator[Server]:
    """Serve a folder in this process on free ports; what is reported goes into ``lines``."""
    report: Callable[[str], None] = lines.append if lines is not None else lambda line: None
    with serve(folder, ServeOptions(ports=FREE), report) as server:
        yield server


def start_cli(*arguments: str, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """Start ``portinf serve-local`` as a process of its own, with the serving environment ready."""
    _prepare()
    command = [*prefix, sys.executable, "-m", "portinf", "serve-local", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def run_cli(*arguments: str, prefix: tuple[str, ...] = ()) -> Run:
    """Run ``portinf serve-local`` to its end."""
    process = start_cli(*arguments, prefix=prefix)
    output, error = process.communicate(timeout=LIMIT_SECONDS)
    return Run(code=process.returncode, output=output, error=error)


def until(condition: Callable[[], bool], seconds: float = LIMIT_SECONDS) -> float:
    """Wait until a condition holds and return after how many seconds it did; fail the test if it never does."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > seconds:
            pytest.fail(f"still not so after {seconds} s: {condition}")
        time.sleep(0.1)
    return time.monotonic() - start


def left_behind(before: set[str]) -> set[str]:
    """Return the server processes and shared-memory regions of portinf that were not there before."""
    return _traces() - before


@pytest.fixture
def nothing_left() -> Iterator[set[str]]:
    """See that a test leaves no process and no shared-memory region; gives those that were there before."""
    before = _traces()
    yield before
    until(lambda: not left_behind(before), 15)


def ask(server: Server, model: str, inputs: dict[str, Any], outputs: list[str], protocol: str = "http") -> dict[str, Any]:
    """Send one request and return the named outputs as arrays."""
    if protocol == "http":
        import tritonclient.http as triton
    else:
        import tritonclient.grpc as triton
    with triton.InferenceServerClient(server.http if protocol == "http" else server.grpc) as client:
        sent = []
        for name, value in inputs.items():
            array = np.asarray(value)
            sent.append(triton.InferInput(name, list(array.shape), _datatype(array)))
            sent[-1].set_data_from_numpy(array)
        result = client.infer(model, sent, outputs=[triton.InferRequestedOutput(name) for name in outputs])
        return {name: result.as_numpy(name) for name in outputs}


def _datatype(array: Any) -> str:
    from tritonclient.utils import np_to_triton_dtype

    return str(np_to_triton_dtype(array.dtype))


def _prepare() -> None:
    global _prepared
    if not _prepared:
        prepare(None, lambda line: None)
        _prepared = True


def _traces() -> set[str]:
    found = {f"region {path.name}" for path in Path("/dev/shm").glob("portinf_*")}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if any(word.endswith((b"/tritonserver", b"triton_python_backend_stub", b"warden.py")) for word in words[:6]):
                found.add(f"process {folder.name}")
    return found
