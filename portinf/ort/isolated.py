"""Runs requests with empty tensors in a separate process, because some kernels of ONNX Runtime abort on them."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

from portinf.core.batch import Array, Arrays, load_npz, save_npz
from portinf.core.child import python_command
from portinf.core.errors import PortinfError, RunnerError
from portinf.ort.session import PlainSession

__all__ = ["ApartSession", "main"]


class _Child:
    """The separate process of all isolated sessions: starts with the first request and after a crash, ends with the last session."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._users: set[int] = set()

    def infer(self, number: int, session: Mapping[str, Any], inputs: Mapping[str, Array]) -> Arrays | str | int:
        """Return the answer, the message of a failure, or the exit code of a process that ended."""
        self._users.add(number)
        if self._process is None:
            self._process = subprocess.Popen(
                python_command("from portinf.ort.isolated import main; main()"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        self._folder = self._folder or tempfile.TemporaryDirectory(prefix="portinf-gap-")
        asked, answered = Path(self._folder.name) / "inputs.npz", Path(self._folder.name) / "outputs.npz"
        save_npz(asked, inputs)
        line = self._ask({"number": number, **session, "inputs": str(asked), "outputs": str(answered)})
        if not line:
            process, self._process = self._process, None
            process.communicate()
            return int(process.returncode)
        answer = json.loads(line)
        if "error" in answer:
            return str(answer["error"])
        arrays = load_npz(answered).inputs
        return {name: arrays[name] for name in answer["names"]}

    def _ask(self, command: Mapping[str, Any]) -> str:
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps(command) + "\n")
            process.stdin.flush()
            return process.stdout.readline()
        except BrokenPipeError:
            return ""

    def leave(self, number: int) -> None:
        """Give a session up; the last one ends the process and removes its folder."""
        if number not in self._users:
            return
        self._users.remove(number)
        if self._users:
            if self._process is not None:
                self._ask({"number": number, "close": True})
            return
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


_CHILD = _Child()
_NUMBERS = count()


class ApartSession:
    """One session in the separate process.

    Args:
        path: the ONNX file.
        level: how far ONNX Runtime may rewrite the graph.
        name: how messages call this side.
        data: folder of the external data where it does not lie beside the file.
    """

    def __init__(self, path: Path, *, level: str, name: str, data: Path | None = None) -> None:
        self._session = {"path": str(path), "level": level, "data": None if data is None else str(data)}
        self._name, self._number = name, next(_NUMBERS)

    def infer(self, inputs: Mapping[str, Array]) -> Arrays:
        """Answer one request.

        Raises:
            RunnerError: ONNX Runtime fails, or its process ends.
        """
        answer = _CHILD.infer(self._number, self._session, inputs)
        if isinstance(answer, str):
            raise RunnerError(f"{self._name}: {answer}")
        if isinstance(answer, int):
            ending = f"signal {-answer}" if answer < 0 else f"code {answer}"
            raise RunnerError(f"{self._name}: ONNX Runtime crashed ({ending})")
        return answer

    def close(self) -> None:
        """Give the session up."""
        _CHILD.leave(self._number)


def main() -> None:
    """Answer requests, one JSON line each, until stdin ends; each says which session it is for, and how that is opened."""
    sessions: dict[int, PlainSession] = {}
    for line in sys.stdin:
        command = json.loads(line)
        number = command["number"]
        if "close" in command:
            sessions.pop(number, None)
            print(json.dumps({"names": []}), flush=True)
            continue
        try:
            if number not in sessions:
                data = command["data"] and Path(command["data"])
                path = Path(command["path"])
                sessions[number] = PlainSession(path, level=command["level"], threads=1, name="", data=data)
            outputs = sessions[number].infer(load_npz(Path(command["inputs"])).inputs)
            save_npz(Path(command["outputs"]), outputs)
            answer: dict[str, Any] = {"names": list(outputs)}
        except PortinfError as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)
