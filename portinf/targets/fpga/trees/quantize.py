"""Trees in float and two formats -> trees in fixed point; also the bits that inputs, thresholds and sums need."""

from __future__ import annotations

import numpy as np

from portinf.core.batch import Array
from portinf.core.errors import DisagreementError
from portinf.fixedpoint.casting import from_real, round_off
from portinf.fixedpoint.formats import Format
from portinf.fixedpoint.tree_emulator import reach
from portinf.fixedpoint.trees import Trees
from portinf.targets.fpga.quantize.formats import Range, integer_bits
from portinf.targets.fpga.trees.reader import FloatTrees

__all__ = ["WIDEST", "column_format", "quantised_trees", "refuse_out_of_range", "score_format"]

WIDEST = 52  # bits: what a float64 carries


def quantised_trees(trees: FloatTrees, column: Format, score: Format) -> Trees:
    """Put numbers onto their grids.

    Thresholds become what conifer's C++ makes of them, by the rule of ``column``, as the inputs do; leaves are rounded to
    nearest before conifer sees them.

    Args:
        trees: in float.
        column: of inputs and thresholds.
        score: of leaves and sums.
    """
    leaf = trees.shape.leaf
    nearest = score.with_modes("RND", "SAT")
    return Trees(
        shape=trees.shape,
        column=column,
        score=score,
        threshold=np.where(leaf, 0, from_real(trees.threshold, column)).astype(np.int64),
        value=np.where(leaf, from_real(trees.value, nearest), 0).astype(np.int64),
        start=from_real(trees.start, nearest).astype(np.int64),
        sums=trees.sums,
        dtype=trees.dtype,
        steps=trees.steps,
        constants=trees.constants,
        outputs=trees.outputs,
        labels=trees.labels,
    )


def score_format(trees: FloatTrees, fraction: int) -> Format:
    """Return the format in which no sum of leaves can be out of range, whatever the order; it holds 1, a factor of conifer's."""
    low, high = reach(trees.shape, trees.value, trees.start)
    integer = max(2, integer_bits(low, high, signed=True))
    format = Format(integer + fraction, integer)
    fixed = quantised_trees(trees, Format(2, 2), format)
    if format.holds(*reach(fixed.shape, fixed.value, fixed.start)):
        return format
    return Format(integer + 1 + fraction, integer + 1)


def column_format(trees: FloatTrees, seen: Range, fraction: int) -> Format:
    """Return the format that holds inputs and thresholds, with room on both sides of the thresholds; it rounds and saturates.

    Args:
        trees: in float.
        seen: smallest and largest input of the columns that are tested.
        fraction: fraction bits.
    """
    thresholds = trees.threshold[~trees.shape.leaf]
    if not thresholds.size:
        return Format(2, 2, True, "RND", "SAT")
    low, high = min(seen[0], float(thresholds.min())), max(seen[1], float(thresholds.max()))
    signed = low < 0 or float(thresholds.min()) <= 0
    integer = integer_bits(low, high, signed=signed)
    for more in (0, 1):  # what saturates must stay on its side of every threshold
        bits = max(integer + more, 2 - fraction)
        format = Format(bits + fraction, bits, signed, "RND", "SAT")
        raw = round_off(thresholds * 2.0**fraction, "RND")
        if format.low < raw.min() and raw.max() < format.high:
            break
    return format


def refuse_out_of_range(trees: FloatTrees, format: Format) -> None:
    """Refuse constants that a format does not hold.

    Raises:
        DisagreementError: says whether thresholds or scores, and what they need.
    """
    inner = ~trees.shape.leaf
    _refuse("thresholds", "of the thresholds", trees.threshold[inner], format)
    leaves = np.concatenate([trees.value[trees.shape.leaf], trees.start])
    _refuse("scores", "of the leaves and first scores", leaves, format.with_modes("RND", format.overflow))
    if not format.holds(0, 1 << format.fraction if format.fraction >= 0 else 1) or format.fraction < 0:
        raise DisagreementError(
            f"scores: {format} does not hold 1, and conifer multiplies the sums by it; use --precision auto"
        )


def _refuse(what: str, words: str, numbers: Array, format: Format) -> None:
    raw = round_off(numbers * 2.0**format.fraction, format.rounding)
    out = numbers[(raw > format.high) | (raw < format.low)]
    if out.size:
        worst = float(out[np.abs(out).argmax()])
        needed = integer_bits(float(numbers.min()), float(numbers.max()), signed=format.signed or numbers.min() < 0)
        raise DisagreementError(
            f"{what}: {out.size:,} {words}, the largest {worst:.6g}, do not fit into {format.with_modes('TRN', 'WRAP')}, which "
            f"holds {format.smallest:.6g} to {format.largest:.6g}: they need {needed} integer bits; use --precision auto"
        )
