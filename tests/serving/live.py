"""Starts servers for the live tests, and sees that nothing of them is left."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from portinf.serving.engines.pytriton.canary import prepare
from portinf.serving.server.launcher import ServeOptions, Server, serve
from portinf.serving.server.model_code import CodeRule
from portinf.serving.server.ports import Ports
from portinf.triton.manifest import verify

__all__ = ["FREE", "FREE_PORTS", "Run", "Traces", "ask", "run_cli", "serving", "start_cli", "traces", "until"]

FREE = Ports(http=0, grpc=0, metrics=0)
FREE_PORTS = ("--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")
# Generous: the machine may have two slow cores and other work. What must be fast is measured where it is tested.
LIMIT_SECONDS = 120
_PROGRAMS = ("/tritonserver", "triton_python_backend_stub", "reaper.py")
_TOKEN = f"PORTINF_TEST_RUN={os.getpid()}-{time.time_ns()}".encode()
_prepared = False

os.environ.update([_TOKEN.decode().split("=")])


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
    """Serve a folder in this process on free ports, as the command line does; what is reported goes into ``lines``."""
    report: Callable[[str], None] = lines.append if lines is not None else lambda line: None
    with serve(folder, ServeOptions(ports=FREE, code=CodeRule(verify=verify)), report) as server:
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


class Traces:
    """The servers that this process and its children start: their processes and shared-memory regions, as long as they are.

    Processes are known by a variable in their environment, regions by the prefix in a server's command line; so other
    servers on the machine do no harm.
    """

    def __init__(self) -> None:
        self._prefixes: set[str] = set()

    def look(self) -> set[str]:
        """Return what is there now."""
        found = set()
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit() and int(folder.name) != os.getpid():
                words = _own_command(folder)
                found |= {f"process {folder.name} {word}" for word in words[:6] if word.endswith(_PROGRAMS)}
                self._prefixes |= {word.rpartition("=")[2] for word in words if "shm-region-prefix-name" in word}
        regions = [path.name for path in Path("/dev/shm").glob("portinf_*")]
        return found | {f"region {name}" for name in regions if name.startswith(tuple(self._prefixes))}


@pytest.fixture
def traces() -> Iterator[Traces]:
    """See that a test leaves no process and no shared-memory region behind."""
    own = Traces()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.2):
            own.look()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    yield own
    until(lambda: not own.look(), 15)
    over.set()


def _own_command(folder: Path) -> list[str]:
    try:
        if _TOKEN not in (folder / "environ").read_bytes():
            return []
        return (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


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
