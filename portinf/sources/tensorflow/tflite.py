"""A TensorFlow Lite model (``.tflite``), run by TensorFlow's own interpreter."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from portinf.core.batch import Array, Arrays
from portinf.core.errors import CannotError, UnreadableError, UsageError, first_line
from portinf.core.optional import require
from portinf.sources.model import Declared
from portinf.sources.randomness.draws import Draw, refusal

__all__ = ["TfliteSource"]

RANDOM = r"(?i)random|multinomial|rng_bit"


class TfliteSource:
    """A TensorFlow Lite model; its names are those of its signature, or of its tensors where it has none.

    Args:
        path: the file.
        signature: name of the signature; None for ``serving_default``, the only one, or none at all.
    """

    framework = "tflite"

    def __init__(self, path: Path, signature: str | None) -> None:
        tf = require("tensorflow", "tensorflow")
        self.path = path
        self.notes: list[str] = []
        self.model: Any = None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.model = tf.lite.Interpreter(model_path=str(path), experimental_preserve_all_tensors=False)
                self.model.allocate_tensors()
        except Exception as error:
            raise _refusal(path, error) from error
        own = _names(path, self.model, signature)
        self._inputs = {own.get(d["index"], d["name"]): d for d in self.model.get_input_details()}
        self._outputs = {own.get(d["index"], d["name"]): d for d in self.model.get_output_details()}
        self.inputs: Sequence[Declared] = [_declared(name, detail) for name, detail in self._inputs.items()]

    def infer(self, inputs: Mapping[str, Array]) -> Arrays:
        """Run the interpreter at the sizes of these inputs."""
        for name, array in inputs.items():
            self.model.resize_tensor_input(self._inputs[name]["index"], array.shape, strict=True)
        self.model.allocate_tensors()
        for name, array in inputs.items():
            self.model.set_tensor(self._inputs[name]["index"], np.ascontiguousarray(array))
        self.model.invoke()
        return {name: self.model.get_tensor(detail["index"]) for name, detail in self._outputs.items()}

    def random_reason(self, inputs: Mapping[str, Array]) -> str:
        """Say which operators that an output depends on draw random numbers; empty for none."""
        needed = {detail["index"] for detail in self._outputs.values()}
        draws = []
        for operator in reversed(self.model._get_ops_details()):  # each stands behind those that it depends on
            if needed.isdisjoint(operator["outputs"]):
                continue
            if re.search(RANDOM, operator["op_name"]):
                draws.append(Draw(what=operator["op_name"]))
            if operator["op_name"] not in ("SHAPE", "RANK", "ZEROS_LIKE"):
                needed.update(operator["inputs"])
        return refusal(draws)


def _refusal(path: Path, error: Exception) -> Exception:
    text = " ".join(str(error).split())
    if "custom op" in text.lower() or "unresolved" in text.lower() or "flex" in text.lower():
        return CannotError(f"{path}: uses an operator that TensorFlow Lite does not have by itself: {text[:300]}")
    return UnreadableError(f"{path}: TensorFlow Lite cannot load it: {first_line(error)}")


def _names(path: Path, interpreter: Any, signature: str | None) -> dict[int, str]:
    """Return the names of the chosen signature by the number of the tensor."""
    known = interpreter.get_signature_list()
    if signature is not None and signature not in known:
        raise UsageError(f"{path}: no signature '{signature}'; there are: {', '.join(known) or 'none'}")
    if len(known) > 1:
        raise CannotError(f"{path}: holds {len(known)} signatures, each a graph of its own: only files with one are supported")
    if not known:
        return {}
    runner = interpreter.get_signature_runner(next(iter(known)))
    details = {**runner.get_output_details(), **runner.get_input_details()}
    return {detail["index"]: name for name, detail in details.items()}


def _declared(name: str, detail: Mapping[str, Any]) -> Declared:
    shape = tuple(None if n < 0 else int(n) for n in detail["shape_signature"])
    return Declared(name=name, dtype=np.dtype(detail["dtype"]).name, shape=shape)
