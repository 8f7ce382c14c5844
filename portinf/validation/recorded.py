"""Recorded answers of a file -> the rules by which others are compared with them, on a machine without portinf."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from portinf.core.batch import Batch
from portinf.core.errors import PortinfError
from portinf.runners.float64 import Float64
from portinf.runners.onnx import OnnxRuntimeRunner
from portinf.validation.checks.float64_distance import FACTOR
from portinf.validation.limits import Limits
from portinf.validation.rounding.own import OwnRounding
from portinf.validation.scale import Sizes
from portinf.validation.tolerance import DEFAULTS, Tolerance, judged_as

__all__ = ["recorded_limits"]


def recorded_limits(answered: Sequence[Batch], reference: OnnxRuntimeRunner, tolerance: Tolerance) -> Limits:
    """Return the rules of a comparison with recorded answers.

    There is no second opinion where they are used, so it is taken before: the absolute part of a column is at least ``FACTOR``
    times the usual distance of its recorded numbers from float64, where that can be computed.

    Args:
        answered: requests with the answers as ``expected``.
        reference: what gave them.
        tolerance: of the comparison.
    """
    sizes = Sizes(reference)
    given = [batch for batch in answered if batch.origin == "given"] or answered
    for batch in given:
        sizes.add(batch.expected or {})
    limits = Limits(tolerance=tolerance, scales=sizes.scales(), reach=reference.reach())
    if tolerance.rtol is not None or tolerance.atol is not None:
        return limits
    known: dict[str, OwnRounding] = {}
    with Float64() as float64:
        for batch in answered:
            try:
                exact = float64.of(reference).infer_double(batch.inputs)
            except PortinfError:
                continue
            for name, scale in limits.scales.items():
                if name in (batch.expected or {}) and name in exact and exact[name].shape == (batch.expected or {})[name].shape:
                    found = OwnRounding.of((batch.expected or {})[name], exact[name].astype(np.float64), scale)
                    known[name] = found.plus(known.get(name))
    scales = dict(limits.scales)
    for name, own in known.items():
        kind = judged_as(str((given[0].expected or {})[name].dtype), limits.kinds(name, given[0].inputs))
        least = np.broadcast_to(FACTOR * own.usual.ravel() / DEFAULTS[kind][1], len(scales[name].values))
        values = tuple(max(one, float(other)) for one, other in zip(scales[name].values, least, strict=True))
        scales[name] = replace(scales[name], values=values, whole=max(scales[name].whole, float(least.max())))
    return replace(limits, scales=scales)
