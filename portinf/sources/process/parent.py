"""Runs a source in a child process of the same environment: crashes, memory and printed noise stay there."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

import portinf.core.errors
from portinf.core.batch import Array, Arrays, load_npz, save_npz
from portinf.core.child import python_command
from portinf.core.errors import CannotError, PortinfError
from portinf.core.signature import Role, Signature
from portinf.sources.layers import Layer
from portinf.sources.model import Declared, SourceOptions
from portinf.sources.process.watchdog import Watchdog
from portinf.sources.routes import Assumption

__all__ = ["SourceProcess"]

QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",  # its fused kernels change the last digits of the fp32 reference
    "CUDA_VISIBLE_DEVICES": "-1",
    "KERAS_BACKEND": "tensorflow",
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin make scikit-learn four times slower on a busy machine
    "PYTHONUNBUFFERED": "1",
}


class SourceProcess:
    """A source loaded once in a child; a context manager that ends it.

    Args:
        options: how to open the source.
        seconds: how long one step (loading, one answer, one export) may take; None for no bound.
        memory: resident bytes that the child may hold; None for no bound.
    """

    def __init__(self, options: SourceOptions, *, seconds: float | None = None, memory: int | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="portinf-source-")
        self._log = (self.folder / "stderr.txt").open("w+", encoding="utf-8", errors="replace")
        self._process = subprocess.Popen(
            python_command("from portinf.sources.process.child import main; main()"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, **QUIET},
            text=True,
            encoding="utf-8",
        )
        self._watchdog = Watchdog(self._process, seconds=seconds, memory=memory)
        try:
            answer = self._ask({"do": "open", "options": _plain(options)})
        except BaseException:
            self.close()
            raise
        self.framework: str = answer["framework"]
        self.inputs: list[Declared] = [_declared(item) for item in answer["inputs"]]
        self.notes: list[str] = answer["notes"]
        self.dtypes: dict[str, int] = answer["dtypes"]
        self.random: str = ""  # why the answers so far are random, see `portinf.sources.randomness.watch`

    @property
    def folder(self) -> Path:
        """A temporary folder that lives as long as the child."""
        return Path(self._folder.name)

    def infer(self, inputs: Mapping[str, Array], *, double: bool = False) -> Arrays:
        """Run the source eagerly; inputs and outputs under the user's names.

        Args:
            inputs: arrays by name.
            double: compute everything in float64.

        Raises:
            RunnerError: the model fails on these inputs.
            CannotError: it cannot compute in float64.
        """
        asked, answered = self.folder / "inputs.npz", self.folder / "outputs.npz"
        save_npz(asked, inputs)
        answer = self._ask({"do": "infer", "inputs": str(asked), "outputs": str(answered), "double": double})
        self.notes, self.random = answer["notes"], answer["random"]
        arrays = load_npz(answered).inputs
        return {name: arrays[name] for name in answer["outputs"]}

    def trace(self, inputs: Mapping[str, Array], names: Collection[str] | None = None) -> tuple[list[Layer], Arrays]:
        """Return the calls of the source's layers in the order in which they finish, and their tensors by name.

        Args:
            inputs: arrays under the user's names.
            names: which tensors; None for all.

        Raises:
            RunnerError: the model fails on these inputs.
            CannotError: a source of this kind has no layers to show.
        """
        asked, answered = self.folder / "inputs.npz", self.folder / "trace.npz"
        save_npz(asked, inputs)
        requested = None if names is None else sorted(names)
        answer = self._ask({"do": "trace", "inputs": str(asked), "outputs": str(answered), "names": requested})
        arrays = load_npz(answered).inputs
        layers = [
            Layer(**{**item, "inputs": tuple(item["inputs"]), "outputs": tuple(item["outputs"])}) for item in answer["layers"]
        ]
        return layers, {name: arrays[str(number)] for number, name in enumerate(answer["names"])}

    def routes(
        self, signature: Signature, example: Mapping[str, Array], opset: int, compared: Sequence[Mapping[str, int]] = ()
    ) -> list[dict[str, Any]]:
        """Return name and reason (None: it can be taken) of each route, in order of trust; see `portinf.sources.routes.ExportOptions`."""
        path = self.folder / "example.npz"
        save_npz(path, example)
        request = {
            "signature": signature.to_json(),
            "example": str(path),
            "opset": opset,
            "compared": list(map(dict, compared)),
        }
        return list(self._ask({"do": "routes", **request}))

    def export(self, route: int) -> Path:
        """Take a route and return its ONNX file, in a folder of its own that lives as long as the child.

        Raises:
            RunnerError: the exporter failed; the message is its first line.
        """
        folder = tempfile.mkdtemp(prefix=f"route_{route}_", dir=self.folder)
        answer = self._ask({"do": "export", "route": route, "folder": folder})
        self.notes = answer["notes"]
        return Path(answer["file"])

    def assumed(self) -> list[Assumption]:
        """Return what the last route assumed of the lengths of axes, also where it failed; before any is taken, what all do."""
        lists = ("elsewhere", "broken")
        return [Assumption(**{**item, **{name: tuple(item[name]) for name in lists}}) for item in self._ask({"do": "assumed"})]

    def usage(self) -> dict[str, float]:
        """Return CPU seconds and peak resident bytes of the child so far."""
        return dict(self._ask({"do": "usage"}))

    def _ask(self, command: Mapping[str, Any]) -> Any:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        self._watchdog.begin()
        try:
            process.stdin.write(json.dumps(command) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            self._watchdog.end()
        if not line:
            raise self._died(str(command["do"]))
        answer = json.loads(line)
        if "error" in answer:
            raise _rebuilt(answer["error"])
        return answer["ok"]

    def _died(self, step: str) -> PortinfError:
        code = self._process.wait()
        if self._watchdog.reason:
            return CannotError(f"the source's process was stopped during '{step}': it {self._watchdog.reason}")
        self._log.seek(0)
        lines: Sequence[str] = [text.strip() for text in self._log.read().splitlines() if text.strip()]
        ending = f"signal {-code}" if code < 0 else f"exit code {code}"
        hint = " (out of memory?)" if code == -9 else ""
        return CannotError(
            f"the source's process ended with {ending}{hint} during '{step}'; its last line: {lines[-1][:300] if lines else 'none'}"
        )

    def close(self) -> None:
        """End the child and remove its folder."""
        process = self._process
        if process.poll() is None:
            process.kill()
        process.wait()
        self._watchdog.close()
        for stream in (process.stdin, process.stdout, self._log):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    continue
        self._folder.cleanup()

    def __enter__(self) -> SourceProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _plain(options: SourceOptions) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(asdict(options), default=str))
    return plain


def _declared(item: Mapping[str, Any]) -> Declared:
    shape = item["shape"]
    return Declared(
        name=item["name"],
        dtype=item["dtype"],
        shape=None if shape is None else tuple(shape),
        labels=tuple(item["labels"]),
        minimums=tuple(item["minimums"]),
        maximums=tuple(item["maximums"]),
        multiples=tuple(item["multiples"]),
        optional=item["optional"],
        role=item["role"] and Role(**item["role"]),
    )


def _rebuilt(error: Mapping[str, str]) -> PortinfError:
    """Raise here what was raised there; what is no error of ours is a failure of the model or exporter."""
    kind = getattr(portinf.core.errors, error["kind"], CannotError) if error["kind"] else CannotError
    rebuilt: PortinfError = kind(error["message"])
    rebuilt.example = error["example"]
    if hasattr(rebuilt, "add_note"):  # from Python 3.11 on: --debug then shows the child's traceback too
        rebuilt.add_note(error["traceback"])
    return rebuilt
