"""A compiled C simulation -> answers, in a separate process: if the library crashes, only that process ends.

hls4ml's library reads its weights from the folder that it runs in, and exits where they are gone. Standard library alone.
"""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

__all__ = ["Library", "LibraryError"]

SECONDS = 600.0  # a request that takes longer is given up
NUMBER = 8  # bytes of a float64


class LibraryError(RuntimeError):
    """The library gave no answer; one line that says what happened."""


class Library:
    """A library and its process, which is started by the first request, and again where it has ended.

    Args:
        path: the library; its function is ``STEM_double(double *input..., double *output...)``, one row a call.
        given, made: numbers in a row of each input and each output.
        folder: where it runs; None for the library's own folder.
        closed: it may open no file once it is loaded.
    """

    def __init__(
        self, path: Path, given: Sequence[int], made: Sequence[int], *, folder: Path | None = None, closed: bool = False
    ) -> None:
        self._path, self._given, self._made = path.resolve(), list(given), list(made)
        self._folder, self._closed = folder or self._path.parent, closed
        self._process: Any = None
        self._said: IO[bytes] | None = None

    def run(self, rows: int, inputs: Sequence[bytes]) -> list[bytes]:
        """Answer rows.

        Args:
            rows: how many.
            inputs: float64 of each input, row after row.

        Raises:
            LibraryError: the library crashed, cannot be loaded, or took too long.
        """
        if rows == 0:
            return [b"" for _ in self._made]
        if self._process is None or self._process.poll() is not None:
            self._start()
        watch = threading.Timer(SECONDS, self._process.kill)
        watch.start()
        try:
            self._process.stdin.write(b"".join([rows.to_bytes(NUMBER, "little"), *inputs]))
            self._process.stdin.flush()
            found = [self._process.stdout.read(NUMBER * rows * size) for size in self._made]
        except OSError:
            found = []
        finally:
            watch.cancel()
        if [len(part) for part in found] != [NUMBER * rows * size for size in self._made]:
            raise LibraryError(self._why())
        return found

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdin.close()
            self._process.stdout.close()
            self._process = None
        if self._said is not None:
            self._said.close()
            self._said = None

    def _start(self) -> None:
        self.close()
        if not self._path.is_file():
            raise LibraryError(f"{self._path}: the compiled C simulation is missing; package the model again")
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        sizes = [",".join(map(str, sizes)) for sizes in (self._given, self._made)]
        command = [_python(), "-I", str(Path(__file__).resolve()), str(self._path), *sizes, str(int(self._closed))]
        self._process = subprocess.Popen(
            command, cwd=self._folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said
        )

    def _why(self) -> str:
        code = self._process.wait()
        assert self._said is not None
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        said = lines[-1].strip() if lines else "no output"
        return f"{self._path}: the compiled C simulation crashed (exit code {code}): {said}"


def _python() -> str:
    """Return a Python: inside Triton's stub ``sys.executable`` may be something else."""
    if Path(sys.executable or "").name.startswith("python"):
        return sys.executable
    found = shutil.which("python3")
    if found is None:
        raise LibraryError("no python3 on PATH: the compiled C simulation runs in a Python process of its own")
    return found


def answer(library: str, given: str, made: str, closed: str) -> None:
    """Answer requests from standard input until it ends: number of rows, inputs -> outputs."""
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the library prints is no answer
    function = getattr(ctypes.CDLL(library), f"{Path(library).stem}_double")
    sizes = [int(size) for size in f"{given},{made}".split(",")]
    inputs = len(given.split(","))
    function.argtypes, function.restype = [ctypes.c_void_p] * len(sizes), None
    if closed == "1":
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    while True:
        head = source.read(NUMBER)
        if len(head) < NUMBER:
            return
        rows = int.from_bytes(head, "little")
        arrays = [bytearray(source.read(NUMBER * rows * size)) for size in sizes[:inputs]]
        arrays += [bytearray(NUMBER * rows * size) for size in sizes[inputs:]]
        starts = [ctypes.addressof(ctypes.c_char.from_buffer(array)) for array in arrays]
        for row in range(rows):
            function(*(start + row * NUMBER * size for start, size in zip(starts, sizes)))  # noqa: B905
        for array in arrays[inputs:]:
            sink.write(array)
        sink.flush()


if __name__ == "__main__":
    answer(*sys.argv[1:])
