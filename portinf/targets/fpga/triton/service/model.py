"""Answers requests of Triton's Python backend with a fixed-point network: the bit-exact emulation of an FPGA, not the card.

portinf copied this file beside the network. It needs Python 3.10 and numpy alone: no portinf, no hls4ml, no build folder.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

__all__ = ["TritonPythonModel"]

HERE = Path(__file__).resolve().parent
MANIFEST = "portinf.json"
OLDEST = (3, 10)  # Python that the emulation needs
RUN = ("fpga/network/", "fpga/portinf-fpga.json", "fpga/project/firmware/")  # of the hand-over, what answers come from

Arrays = dict[str, Any]


class TritonPythonModel:
    """One instance of one version: its network, loaded after every file was found to be as it was packaged."""

    def initialize(self, args: dict[str, str]) -> None:
        """Check the files, open the network, and answer the recorded requests once, bit for bit."""
        config = json.loads(args["model_config"])
        try:
            check_files(HERE)
            sys.dont_write_bytecode = True
            sys.path.insert(0, str(HERE))
            from portinf_answers import Answers  # type: ignore[import-not-found]

            parameters = config.get("parameters") or {}
            executed_by = (parameters.get("portinf_executed_by") or {}).get("string_value") or "emulation"
            self._answers = Answers(HERE, executed_by)
            self._answers.check()
        except Exception as error:
            raise pb_utils.TritonModelException(_line(error)) from error
        self._batched = int(config.get("max_batch_size", 0)) > 0
        self._types = {entry["name"]: pb_utils.triton_string_to_numpy(entry["data_type"]) for entry in config["output"]}

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer requests: joined where the configuration batches, else each by itself."""
        inputs = [{tensor.name(): tensor.as_numpy() for tensor in request.inputs()} for request in requests]
        try:
            answers: list[Any] = self._joined(inputs) if self._batched else [self._answers.run(one) for one in inputs]
        except Exception:  # noqa: BLE001 - one of them is bad: the others get their answers
            answers = [self._alone(one) for one in inputs]
        return [self._response(request, answer) for request, answer in zip(requests, answers)]  # noqa: B905

    def finalize(self) -> None:
        """Give up what the answers came from."""
        self._answers.close()

    def _joined(self, inputs: list[Arrays]) -> list[Arrays]:
        rows = [len(next(iter(one.values()))) for one in inputs]
        answer = self._answers.run({name: np.concatenate([one[name] for one in inputs]) for name in inputs[0]})
        ends = np.cumsum(rows)[:-1]
        parts = {name: np.split(array, ends) for name, array in answer.items()}
        return [{name: parts[name][k] for name in parts} for k in range(len(inputs))]

    def _alone(self, inputs: Arrays) -> Any:
        try:
            return self._answers.run(inputs)
        except Exception as error:  # noqa: BLE001 - this request gets its answer, whatever fails
            return error

    def _response(self, request: Any, answer: Any) -> Any:
        if isinstance(answer, Exception):
            return pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError(_line(answer)))
        requested = [name for name in self._types if name in request.requested_output_names()]
        tensors = [pb_utils.Tensor(name, np.ascontiguousarray(answer[name], dtype=self._types[name])) for name in requested]
        return pb_utils.InferenceResponse(output_tensors=tensors)


def check_files(folder: Path) -> None:
    """Hold the files that answers come from against the manifest.

    Raises:
        RuntimeError: one is missing or was changed, or there is no manifest; the message names it.
    """
    if sys.version_info[:2] < OLDEST:
        raise RuntimeError(f"Python {sys.version.split()[0]} in this server; the emulation needs 3.10 or later")
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError) as error:
        raise RuntimeError(f"{folder / MANIFEST}: missing or damaged ({_line(error)}); package the model again") from error
    for name, expected in files.items():
        if name.startswith("fpga/") and not name.startswith(RUN):
            continue
        path = folder / name
        if not path.is_file():
            raise RuntimeError(f"{path}: missing; package the model again")
        if hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            raise RuntimeError(f"{path}: changed after packaging; package the model again")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
