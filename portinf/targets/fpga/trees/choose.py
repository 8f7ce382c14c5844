"""Boosted trees and samples -> trees in fixed point whose answers were judged, or what fails: inputs, thresholds or scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from portinf.core.batch import Array
from portinf.core.errors import CannotError, DisagreementError
from portinf.core.progress import Progress
from portinf.core.signature import Signature
from portinf.fixedpoint.casting import Watch
from portinf.fixedpoint.formats import FixedPointError, Format
from portinf.fixedpoint.tree_emulator import COLUMNS, SCORES, TreeEmulator, answers, joined, reach, walk
from portinf.fixedpoint.trees import Trees
from portinf.runners.onnx import OnnxRuntimeRunner
from portinf.targets.fpga.quantize.choose import EMULATED, SEEN, Read, first_rows, judge
from portinf.targets.fpga.quantize.drawn_rows import drawn_column
from portinf.targets.fpga.quantize.formats import Range, integer_bits
from portinf.targets.fpga.quantize.search import SLACK, SearchGoal, share_of_tolerance
from portinf.targets.fpga.runners.trees import TreeRunner
from portinf.targets.fpga.trees.quantize import WIDEST, column_format, quantised_trees, refuse_out_of_range, score_format
from portinf.targets.fpga.trees.reader import FloatTrees
from portinf.validation import CheckResult, Comparison, Tolerance

__all__ = ["JudgedTrees", "Moved", "choose_trees", "moved", "moved_check"]

MOST = 40  # fraction bits
SPARE = 4  # of inputs and thresholds, beyond what the samples need: each halves how often a row takes another leaf
TRIES = 4
MORE = 2  # fraction bits of inputs and thresholds, where rows that the search did not see are out of tolerance
WORK = 1e8  # comparisons that one trial may make: bounds its rows
LEAST_ROWS = 1000


@dataclass(frozen=True, kw_only=True)
class Moved:
    """How far trees in fixed point are from those in float, on some rows.

    Attributes:
        rows: how many.
        changed: rows that take another leaf in some tree.
        leaves: (row, tree) pairs that do.
        by_leaves: largest change of a sum by that.
        by_scores: largest change of a sum by rounding leaves.
    """

    rows: int
    changed: int
    leaves: int
    by_leaves: float
    by_scores: float


@dataclass(frozen=True, kw_only=True)
class JudgedTrees:
    """Trees in fixed point and what was found out about them.

    Attributes:
        floats: the trees in float.
        trees: in fixed point.
        comparison: the comparison with the float model.
        moved: on the first rows.
        seen: ranges of the inputs by column, shape [columns, 2].
        samples: the first rows.
        notes: what the user should know.
    """

    floats: FloatTrees
    trees: Trees
    comparison: Comparison
    moved: Moved
    seen: Array
    samples: Mapping[str, Array]
    notes: Sequence[str]


def choose_trees(
    floats: FloatTrees,
    model: Path,
    signature: Signature,
    read: Read,
    precision: str,
    tolerance: Tolerance,
    progress: Progress,
) -> JudgedTrees:
    """Choose formats and judge them on all rows.

    Args:
        floats: the trees.
        model: the ONNX file that they were read from.
        signature: its inputs and outputs.
        read: reads the samples.
        precision: ``auto`` or a format.
        tolerance: when two numbers are equal.
        progress: called with each step.

    Raises:
        DisagreementError: out of range or tolerance; says whether inputs, thresholds or scores.
        CannotError: missing values in the samples.
        UsageError: there are no rows.
    """
    progress("looking at the samples")
    seen = _ranges(floats, read)
    goal = first_rows(model, signature, read, tolerance)
    goal = replace(goal, expected={name: array for name, array in goal.expected.items() if array.dtype.kind == "f"})
    if precision == "auto":
        return _automatic(floats, model, signature, read, tolerance, goal, seen, progress)
    format = Format.parse(precision)
    refuse_out_of_range(floats, format)
    trees = quantised_trees(floats, format, format)
    _overflows(trees, goal, seen)
    return _judged(floats, trees, model, signature, read, tolerance, goal, seen, precision, progress)


def _ranges(floats: FloatTrees, read: Read) -> Array:
    """Return the smallest and the largest number of each column; the first pass over the samples."""
    seen = np.array([[np.inf, -np.inf]] * floats.shape.columns)
    for batch in read():
        for name, array in batch.inputs.items():
            missing = np.isnan(array) if array.dtype.kind == "f" else np.zeros(array.shape, bool)
            if missing.any():
                column = int(np.argwhere(missing)[0][-1])
                raise CannotError(
                    f"{batch.name}: input '{name}', column {column}: {int(missing.sum()):,} missing values (NaN) in the samples: "
                    "conifer's trees have no branch for them; train without, or give samples without"
                )
        try:
            matrix = joined(floats.shape, batch.inputs)
        except FixedPointError as error:
            raise CannotError(f"{batch.name}: {error}") from error
        if len(matrix):
            seen[:, 0] = np.minimum(seen[:, 0], matrix.min(axis=0))
            seen[:, 1] = np.maximum(seen[:, 1], matrix.max(axis=0))
    return seen


def _span(floats: FloatTrees, seen: Array) -> Range:
    """Return the range of the columns that are tested."""
    used = floats.shape.used
    return (float(seen[used, 0].min()), float(seen[used, 1].max())) if used.size else (0.0, 0.0)


def _automatic(
    floats: FloatTrees,
    model: Path,
    signature: Signature,
    read: Read,
    tolerance: Tolerance,
    goal: SearchGoal,
    seen: Array,
    progress: Progress,
) -> JudgedTrees:
    span = _span(floats, seen)
    trial = _filled(goal, model).cut(int(max(LEAST_ROWS, WORK / max(1, len(floats.shape.root) * floats.shape.depth))))
    matrix = joined(floats.shape, trial.inputs)
    leaves = walk(floats.shape, matrix, floats.threshold)
    room = WIDEST - score_format(floats, 0).integer

    def scores(bits: int) -> float:
        trees = quantised_trees(floats, Format(2, 2, True, "RND", "SAT"), score_format(floats, bits))
        emulator = TreeEmulator(trees)
        sums = emulator.sums(leaves) * trees.score.step
        return share_of_tolerance(answers(trees, sums), trial)

    progress("fraction bits of the scores")
    score = score_format(floats, _fewest(scores, min(MOST, room), SLACK / 2, model, SCORES, goal))

    def columns(bits: int) -> float:
        emulator = TreeEmulator(quantised_trees(floats, column_format(floats, span, bits), score))
        return share_of_tolerance(answers(emulator.trees, emulator.scores(matrix)), trial)

    progress("fraction bits of inputs and thresholds")
    room = WIDEST - 1 - column_format(floats, span, 2).integer
    if room < 1:
        _too_wide(floats, seen, span)
    bits = _fewest(columns, min(MOST, room), SLACK, model, "thresholds", goal) + SPARE
    for more in range(TRIES):
        requested = min(bits + MORE * more, MOST, room)
        trees = quantised_trees(floats, column_format(floats, span, requested), score)
        try:
            return _judged(floats, trees, model, signature, read, tolerance, goal, seen, "auto", progress)
        except DisagreementError:
            if more == TRIES - 1:
                raise
    raise AssertionError("unreachable")


def _filled(goal: SearchGoal, model: Path) -> SearchGoal:
    """Add rows where there are few: a row that takes another leaf is rare, and the next samples are others.

    Their columns are drawn one by one: between neighbouring values of the samples, or of them where all are whole numbers.
    """
    rows = SEEN - len(next(iter(goal.inputs.values())))
    if rows <= 0:
        return goal
    rng = np.random.default_rng(0)
    made = {
        name: np.stack([drawn_column(column, rows, rng) for column in array.T], axis=1) for name, array in goal.inputs.items()
    }
    with OnnxRuntimeRunner(model, level="none") as runner:
        found = runner.infer(made)
    return replace(
        goal,
        inputs={name: np.concatenate([array, made[name]]) for name, array in goal.inputs.items()},
        expected={name: np.concatenate([array, found[name]]) for name, array in goal.expected.items()},
    )


def _fewest(share: Callable[[int], float], most: int, allowed: float, model: Path, what: str, goal: SearchGoal) -> int:
    """Return the fewest bits that keep the largest error within what is allowed of the tolerance."""
    low, high = -1, most
    found = share(high)
    if found > allowed:
        raise DisagreementError(
            f"{what}: {model}: even with {high} fraction bits the largest error is {found:.2g} times the tolerance "
            f"(rtol {goal.rtol:g}, atol {goal.atol:g}); relax --rtol or --atol"
        )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if share(middle) <= allowed else (middle, high)
    return high


def _too_wide(floats: FloatTrees, seen: Array, span: Range) -> None:
    used = floats.shape.used
    thresholds = floats.threshold[~floats.shape.leaf]
    if np.abs(thresholds).max() > max(-span[0], span[1]):
        raise DisagreementError(
            f"thresholds: they go from {thresholds.min():.6g} to {thresholds.max():.6g}: no format of up to {WIDEST} bits holds that"
        )
    column = int(used[np.abs(seen[used]).max(axis=1).argmax()])
    low, high = seen[column]
    raise DisagreementError(
        f"inputs: column {column} goes from {low:.6g} to {high:.6g}: no format of up to {WIDEST} bits holds that and the thresholds; "
        "give a format that saturates, --precision 'ap_fixed<W,I,AP_RND,AP_SAT>', or scale the column"
    )


def _overflows(trees: Trees, goal: SearchGoal, seen: Array) -> None:
    """Refuse formats in which inputs wrap round or sums leave their range."""
    watch = Watch()
    emulator = TreeEmulator(trees)
    matrix = joined(trees.shape, goal.inputs)
    column, score = trees.column, trees.score
    emulator.sums(emulator.leaves(matrix, watch), watch)
    used = trees.shape.used
    if COLUMNS in watch.counts and column.overflow == "WRAP":
        worst = int(used[np.abs(seen[used]).max(axis=1).argmax()])
        low, high = (float(end) for end in seen[worst])
        raise DisagreementError(
            f"inputs: {watch.counts[COLUMNS]:,} numbers wrap round, the largest {watch.worst[COLUMNS]:.6g}: {column} holds "
            f"{column.smallest:.6g} to {column.largest:.6g}; column {worst} goes from {low:.6g} to {high:.6g} and needs "
            f"{integer_bits(low, high, signed=column.signed or low < 0)} integer bits; use --precision auto, or AP_SAT"
        )
    if SCORES in watch.counts:
        raise DisagreementError(
            f"scores: {watch.counts[SCORES]:,} sums are out of range, the largest {watch.worst[SCORES]:.6g}: {score} holds "
            f"{score.smallest:.6g} to {score.largest:.6g}; use --precision auto"
        )
    low, high = reach(trees.shape, trees.value, trees.start)
    if score.overflow != "WRAP" and not score.holds(low, high):
        raise DisagreementError(
            f"scores: parts of sums may reach {low * score.step:.6g} to {high * score.step:.6g} and saturate in {score}: conifer's "
            "hardware adds in another order than its C++, so the answers would differ; leave AP_SAT out, or use --precision auto"
        )


def _judged(
    floats: FloatTrees,
    trees: Trees,
    model: Path,
    signature: Signature,
    read: Read,
    tolerance: Tolerance,
    goal: SearchGoal,
    seen: Array,
    precision: str,
    progress: Progress,
) -> JudgedTrees:
    progress("judging all rows")
    comparison = judge(model, TreeRunner(trees, signature, EMULATED), read, tolerance)
    found = moved(floats, trees, goal.inputs)
    if comparison.verdict != "equal":
        raise DisagreementError(_missed(model, precision, comparison, found, trees))
    return JudgedTrees(
        floats=floats,
        trees=trees,
        comparison=comparison,
        moved=found,
        seen=seen,
        samples=goal.inputs,
        notes=_notes(floats, trees),
    )


def _missed(model: Path, precision: str, comparison: Comparison, found: Moved, trees: Trees) -> str:
    """Say what moves the sums most: leaves taken by rounded inputs and thresholds, or rounded leaves."""
    flips = f"{found.changed:,} of {found.rows:,} rows take another leaf, which moves sums by up to {found.by_leaves:.3g}"
    if found.by_leaves >= found.by_scores:
        why = f"inputs and thresholds: {trees.column} is too coarse: {flips} (rounding of scores: {found.by_scores:.3g})"
    else:
        why = f"scores: {trees.score} is too coarse: rounding moves sums by up to {found.by_scores:.3g} ({flips})"
    return f"{model}: --precision {precision} misses the tolerance: {comparison.reason}; {why}"


def _notes(floats: FloatTrees, trees: Trees) -> list[str]:
    said = [
        "the hardware gives the sums of the trees; "
        + (f"{', '.join(_links(trees))} and types" if _links(trees) else "types and shapes")
        + " follow outside, in floats, in the runner",
        "inputs must hold no NaN: conifer's trees have no branch for missing values",
    ]
    low, high = reach(trees.shape, trees.value, trees.start)
    if not trees.score.holds(low, high):
        step = trees.score.step
        said.append(f"scores: no sum of the samples is out of range, but {low * step:.6g} to {high * step:.6g} can be reached")
    return said


def _links(trees: Trees) -> list[str]:
    words = {"Sigmoid": "sigmoid", "Softmax": "softmax", "Exp": "exp", "Softplus": "softplus", "Gather": "class labels"}
    return [words[step.kind] for step in trees.steps if step.kind in words]


def moved(floats: FloatTrees, trees: Trees, inputs: Mapping[str, Array]) -> Moved:
    """Compare leaves and sums of both forms of the same trees.

    Args:
        floats: in float.
        trees: in fixed point.
        inputs: rows by input.
    """
    shape = trees.shape
    matrix = joined(shape, inputs)
    emulator = TreeEmulator(trees)
    real, fixed = walk(shape, matrix, floats.threshold), emulator.leaves(matrix)
    other = real != fixed
    changes = [
        np.stack([values[:, shape.target == target].sum(axis=1) for target in range(shape.targets)], axis=1)
        for values in (floats.value[fixed] - floats.value[real], trees.value[real] * trees.score.step - floats.value[real])
    ]
    by_leaves, by_scores = (float(np.abs(change).max(initial=0.0)) for change in changes)
    return Moved(
        rows=len(matrix),
        changed=int(other.any(axis=1).sum()),
        leaves=int(other.sum()),
        by_leaves=by_leaves,
        by_scores=by_scores,
    )


def moved_check(found: Moved, trees: Trees) -> CheckResult:
    """Return what a report says of it."""
    text = (
        f"{found.changed:,} of {found.rows:,} rows take another leaf than in float ({found.leaves:,} of "
        f"{found.rows * len(trees.shape.root):,} leaves), which moves sums by up to {found.by_leaves:.2g}; rounding of leaves by up "
        f"to {found.by_scores:.2g}"
    )
    figures = {
        "rows": found.rows,
        "rows with another leaf": found.changed,
        "other leaves": found.leaves,
        "sums moved by leaves": found.by_leaves,
        "sums moved by rounding": found.by_scores,
    }
    return CheckResult(name="leaves", status="reported", text=text, figures=figures)
