"""Answers requests with empty tensors in a process apart: ONNX Runtime's kernels abort on some of them and take their process along."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import portinf.errors
from portinf.errors import RunnerError
from portinf.samples import Array, Arrays, load_npz, save_npz

__all__ = ["ApartSession", "main"]

_START = (
    "import sys; sys.path.pop(0); "
    f"sys.path.append({str(Path(portinf.errors.__file__).parent.parent)!r}); "
    "from portinf.sources.onnx_apart import main; main()"
)


class ApartSession:
    """One session in a child, started with the first request, and again after a crash.

    Args:
        path: the ONNX file.
        level: how far ONNX Runtime may rewrite the graph.
        name: how messages call this side.
        data: folder of the external data where it does not lie beside the file.
    """

    def __init__(self, path: Path, *, level: str, name: str, data: Path | None = None) -> None:
        self._path, self._level, self._name = path, level, name
        self._data = [] if data is None else [str(data)]
        self._folder = tempfile.TemporaryDirectory(prefix="portinf-apart-")
        self._process: subprocess.Popen[str] | None = None

    def infer(self, inputs: Mapping[str, Array]) -> Arrays:
        """Answer one request.

        Raises:
            RunnerError: ONNX Runtime fails, or its process ends.
        """
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, str(self._path), self._level, *self._data],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        asked, answered = Path(self._folder.name) / "inputs.npz", Path(self._folder.name) / "outputs.npz"
        save_npz(asked, inputs)
        line = self._ask(self._process, json.dumps({"inputs": str(asked), "outputs": str(answered)}))
        if not line:
            process, self._process = self._process, None
            process.communicate()
            code = process.returncode
            raise RunnerError(
                f"{self._name}: ONNX Runtime ends its process ({f'signal {-code}' if code < 0 else f'code {code}'})"
            )
        answer = json.loads(line)
        if "error" in answer:
            raise RunnerError(f"{self._name}: {answer['error']}")
        arrays = load_npz(answered).inputs
        return {name: arrays[name] for name in answer["names"]}

    def _ask(self, process: subprocess.Popen[str], command: str) -> str:
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(command + "\n")
            process.stdin.flush()
            return process.stdout.readline()
        except BrokenPipeError:
            return ""

    def close(self) -> None:
        """End the child and remove its folder."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
        self._folder.cleanup()


def main() -> None:
    """Answer requests, one JSON line each, until stdin ends; arguments: path, level, and a folder of external data or none."""
    from portinf.sources.onnx_session import OnnxSession

    data = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    runner = OnnxSession(Path(sys.argv[1]), level=sys.argv[2], threads=1, name="", apart=False, data=data)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            outputs = runner.infer(load_npz(Path(command["inputs"])).inputs)
            save_npz(Path(command["outputs"]), outputs)
            answer: dict[str, Any] = {"names": list(outputs)}
        except RunnerError as error:
            answer = {"error": str(error).removeprefix("apart: ")}
        print(json.dumps(answer), flush=True)
