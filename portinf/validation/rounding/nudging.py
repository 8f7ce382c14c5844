"""An ONNX file -> the same with other last digits in its weights: what changes then is decided by rounding."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from portinf.core.batch import Array, Batch
from portinf.core.errors import PortinfError
from portinf.core.optional import require
from portinf.core.signature import dtype_by_numpy
from portinf.onnx_graph.model_file import load_proto
from portinf.runners.onnx import OnnxRuntimeRunner
from portinf.runners.protocol import Runner, file_of
from portinf.validation.differences import out_of
from portinf.validation.tolerance import Bound, rounding

__all__ = ["Nudged", "nudged"]

TIMES = 24
IN_VAIN = 8  # times without any hit: then it is not rounding
STEPS = 64.0  # roundings by which a weight changes at most: less than a tenth of the tolerance
LARGEST = 16 << 20  # bytes of a file that is changed and opened again so often
Bools = npt.NDArray[np.bool_]


class Nudged:
    """Two sides of a comparison, as far as they are ONNX files, with other last digits.

    A label that two scores of equal size decide, a kernel's ``>`` at the cut, neighbours at equal distances: rounding may
    choose either. It does so where the same file answers with the other value when each weight is changed by a few roundings.
    Equal weights are changed alike, and inputs, thresholds and vectors stay: what compares an input with a threshold, or takes
    the first or the last of equal entries, always gives one answer, and another model's answer is wrong.

    Args:
        sides: runners, or paths of ONNX files; others are left out.
    """

    def __init__(self, *sides: Runner | Path | None) -> None:
        paths = [file_of(side) for side in sides]
        self._paths = [path if path is not None and path.stat().st_size <= LARGEST else None for path in paths]

    def explain(self, name: str, batch: Batch, reference: Array, candidate: Array, bound: Bound, left: Bools) -> Bools:
        """Say which elements take the other side's value.

        Args:
            name: of the output.
            batch: the inputs.
            reference, candidate: the two answers.
            bound: within which two values are the same.
            left: the elements to explain.
        """
        found = np.zeros(left.shape, dtype=np.bool_)
        pairs = [(path, other) for path, other in zip(self._paths, (candidate, reference), strict=True) if path is not None]
        for seed in range(TIMES):
            for path, other in pairs:
                answer = _answer(path, seed, name, batch)
                if answer is not None and answer.shape == other.shape and answer.dtype == other.dtype:
                    found |= left & ~out_of(answer, other, bound.rtol, bound.absolute(other.shape))
            if found[left].all() or (seed >= IN_VAIN and not found.any()):
                break
        return found


def _answer(path: Path, seed: int, name: str, batch: Batch) -> Array | None:
    """Return an output of a file with other last digits; None where there is no weight to change, or no answer."""
    model = nudged(path, seed)
    if model is None:
        return None
    with tempfile.TemporaryDirectory(prefix="portinf-nudged-") as folder:
        file = Path(folder) / "model.onnx"
        require("onnx", "").save(model, str(file))
        try:
            with OnnxRuntimeRunner(file, level="none", threads=1) as runner:
                return runner.infer(batch.inputs).get(name)
        except PortinfError:
            return None


def nudged(path: Path, seed: int) -> Any:
    """Return a model whose weights of two axes or more are changed by up to ``STEPS`` roundings; None where it has none.

    Args:
        path: the ONNX file.
        seed: of the changes; equal weights change alike.
    """
    onnx = require("onnx", "")
    model = load_proto(path)
    onnx.load_external_data_for_model(model, str(path.parent))
    changed = False
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if array.ndim < 2 or not dtype_by_numpy(str(array.dtype)).is_float:
            continue
        wide = array.astype(np.float64)
        other = wide * (1 + rounding(str(array.dtype)) * STEPS * _drawn(wide, seed))
        tensor.CopyFrom(onnx.numpy_helper.from_array(other.astype(array.dtype), tensor.name))
        changed = True
    return model if changed else None


def _drawn(values: npt.NDArray[np.float64], seed: int) -> npt.NDArray[np.float64]:
    """Return a number between -1 and 1 for each value, the same for equal values."""
    mixed = np.ascontiguousarray(values).view(np.uint64)
    for factor in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB):  # of splitmix64
        mixed = (mixed ^ (mixed >> np.uint64(31)) ^ np.uint64(seed)) * np.uint64(factor)
    return mixed.astype(np.float64) / 2.0**63 - 1.0
