"""A graph and batches -> the smallest and the largest number of every float32 tensor, one batch in memory at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from portinf.core.batch import Batch
from portinf.core.errors import CannotError, RunnerError, first_line
from portinf.core.optional import require
from portinf.mixed_precision.model import FLOAT, copied, save_whole, types_of
from portinf.ort.session import PlainSession

if TYPE_CHECKING:
    import onnx


__all__ = ["Ranges", "measure_ranges"]


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """What was seen.

    Attributes:
        by_tensor: (least, largest) by tensor; NaN left out, infinities kept.
        batches: their number.
    """

    by_tensor: Mapping[str, tuple[float, float]]
    batches: int

    def largest(self, name: str) -> float:
        """Return the largest absolute value seen, 0 for an unknown tensor."""
        low, high = self.by_tensor.get(name, (0.0, 0.0))
        return max(abs(low), abs(high))


def measure_ranges(model: onnx.ModelProto, batches: Iterable[Batch]) -> Ranges:
    """Run the graph as it stands on every batch, with the extremes of each tensor as outputs.

    Batches to which the model has no answer, or whose tensors are empty, are left out.

    Args:
        model: of `portinf.mixed_precision.load_whole`.
        batches: read once.

    Raises:
        CannotError: not one batch has an answer.
    """
    types = types_of(model)
    inner = [name for node in model.graph.node for name in node.output if types.get(name) == FLOAT]
    names = [*(value.name for value in model.graph.input if types.get(value.name) == FLOAT), *inner]
    found: dict[str, tuple[float, float]] = {}
    count, why = 0, "there were no samples"
    with tempfile.TemporaryDirectory(prefix="portinf-ranges-") as folder:
        path = save_whole(_with_extremes(model, names), Path(folder) / "model.onnx")
        session = PlainSession(path, level="none", threads=0, name="calibration")
        try:
            for batch in batches:
                if any(array.size == 0 for array in batch.inputs.values()):
                    continue
                try:
                    outputs = session.infer(batch.inputs)
                except RunnerError as error:
                    why = first_line(error)
                    continue
                count += 1
                for number, name in enumerate(names):
                    low, high = float(outputs[f"{number}__low"]), float(outputs[f"{number}__high"])
                    least, most = found.get(name, (np.nan, np.nan))
                    found[name] = float(np.fmin(least, low)), float(np.fmax(most, high))
        finally:
            session.close()
    if not count:
        raise CannotError(f"the ranges of its tensors cannot be measured: {why}")
    known = {name: pair for name, pair in found.items() if not np.isnan(pair).any()}
    return Ranges(by_tensor=known, batches=count)


def _with_extremes(model: onnx.ModelProto, names: list[str]) -> Any:
    onnx = require("onnx", "")
    copy = copied(model)
    del copy.graph.output[:]
    for number, name in enumerate(names):
        for operator, word in (("ReduceMin", "low"), ("ReduceMax", "high")):
            out = f"{number}__{word}"
            copy.graph.node.append(onnx.helper.make_node(operator, [name], [out], name=f"{out}__reduce", keepdims=0))
            copy.graph.output.append(onnx.helper.make_tensor_value_info(out, FLOAT, []))
    return copy
