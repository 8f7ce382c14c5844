"""Ranges of tensors and weights -> the nodes at which a narrower type would overflow, or lose every digit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from portinf.core.optional import require
from portinf.mixed_precision.half_precision import Kind
from portinf.mixed_precision.model import FLOAT
from portinf.mixed_precision.quantized_nodes import Place
from portinf.mixed_precision.ranges import Ranges

__all__ = ["find_suspects", "headroom"]

LARGEST = {"fp16": 65504.0, "bf16": 3.3895314e38}
LEAST = {"fp16": 2.0**-25, "bf16": 2.0**-134}  # half of the least number: what is no larger rounds to 0


def find_suspects(model: Any, places: Iterable[Place], ranges: Ranges, kind: Kind) -> dict[str, str]:
    """Return the reason by the name of each node that reads or writes what the type cannot hold.

    A tensor counts as lost where none of its numbers but zeros survives; a weight whose smallest numbers alone vanish does not.

    Args:
        model: of `portinf.mixed_precision.load_whole`.
        places: nodes that would compute in the type.
        ranges: of the tensors of this model.
        kind: the type.
    """
    constants = _constants(model)
    found: dict[str, str] = {}
    for place in places:
        for name in (*place.writes, *place.reads):
            largest = constants.get(name, ranges.largest(name))
            said = _said(largest, kind, "constant " * (name in constants))
            if said:
                found[place.name] = said
                break
    return found


def headroom(places: Sequence[Place], ranges: Ranges, kind: Kind) -> tuple[str, float]:
    """Return the node that writes the largest number and that number, as a share of the type's largest; ("", 0) for none."""
    written = [(ranges.largest(name) / LARGEST[kind], place.name) for place in places for name in place.writes]
    share, name = max(((s, n) for s, n in written if math.isfinite(s)), default=(0.0, ""))
    return name, share


def _said(largest: float, kind: Kind, what: str) -> str:
    if math.isfinite(largest) and largest > LARGEST[kind]:
        return f"overflow: {what}{largest:.2g} > {LARGEST[kind]:.6g}"
    if 0 < largest <= LEAST[kind]:
        return f"underflow: {what}{largest:.2g} rounds to 0"
    return ""


def _constants(model: Any) -> dict[str, float]:
    """Return the largest finite absolute value of each float32 weight."""
    numpy_helper = require("onnx", "").numpy_helper
    inputs = {value.name for value in model.graph.input}
    found = {}
    for tensor in model.graph.initializer:
        if tensor.data_type != FLOAT or tensor.name in inputs:
            continue
        array = np.abs(numpy_helper.to_array(tensor))
        finite = array[np.isfinite(array)]
        found[tensor.name] = float(finite.max()) if finite.size else 0.0
    return found
