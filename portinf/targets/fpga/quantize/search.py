"""Ranges, samples and a tolerance -> the fewest fraction bits with which a fixed-point network stays within it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from portinf.core.batch import Array, Arrays
from portinf.core.errors import CannotError, DisagreementError
from portinf.core.progress import Progress
from portinf.fixedpoint.emulator import Emulator
from portinf.fixedpoint.formats import FixedPointError
from portinf.fixedpoint.network import Network
from portinf.targets.fpga.quantize.formats import Choice, Range, automatic, quantised
from portinf.targets.fpga.reader.plan import Plan

__all__ = ["SLACK", "SearchGoal", "search", "share_of_tolerance"]

SLACK = 0.5  # share of the tolerance that the search may use: other rows need the rest
MOST = 24  # fraction bits
LEAST = 0
WORK = 2e8  # products that one trial may compute: bounds its rows
ROWS = (64, 2048)
STEP = 4  # bits that one place is tried with less at first


@dataclass(frozen=True, kw_only=True)
class SearchGoal:
    """What the search is to reach.

    Attributes:
        inputs: rows by input.
        expected: the float model's answers to them, by output.
        rtol, atol: of every output.
    """

    inputs: Mapping[str, Array]
    expected: Mapping[str, Array]
    rtol: float
    atol: float

    def cut(self, rows: int) -> SearchGoal:
        """Return rows spread over all."""
        count = len(next(iter(self.inputs.values())))
        kept = np.unique(np.linspace(0, count - 1, min(rows, count)).astype(np.int64))
        return SearchGoal(
            inputs={name: array[kept] for name, array in self.inputs.items()},
            expected={name: array[kept] for name, array in self.expected.items()},
            rtol=self.rtol,
            atol=self.atol,
        )


def share_of_tolerance(found: Mapping[str, Array], goal: SearchGoal) -> float:
    """Return the largest error in units of what is allowed."""
    worst = 0.0
    for name, expected in goal.expected.items():
        real = expected.astype(np.float64)
        allowed = goal.atol + goal.rtol * np.abs(real)
        gap = np.abs(found[name] - real)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(gap > 0, gap / allowed, 0.0)
        worst = max(worst, float(share.max(initial=0.0)))
    return worst


def search(plan: Plan, ranges: Mapping[str, Range], goal: SearchGoal, title: Path, progress: Progress, more: int = 0) -> Choice:
    """Find the fraction bits: as few for all as do, then fewer wherever one place needs less.

    Args:
        plan: the layers.
        ranges: of inputs and layers.
        goal: what the answers should be.
        title: the model, for messages.
        progress: called with each step.
        more: bits to add to what was found for all, for rows that the search did not see.

    Raises:
        DisagreementError: no number of bits up to 24 (or as many as the emulator computes exactly) does.
        CannotError: the emulator does not compute the network.
    """
    trials = _Trials(plan=plan, ranges=ranges, goal=goal.cut(_rows(plan)), tolerance=_absolute(goal))
    common = trials.common(title, progress) + more
    bits = {place: common for place in trials.places}
    progress(f"{common} fraction bits are enough everywhere; reducing them layer by layer")
    for place in trials.places:
        if place.endswith("/alpha"):  # one constant: it costs little, and samples may not come where it plays a part
            continue
        for step in (STEP, 2, 1):
            while bits[place] - step >= LEAST and trials.fits({**bits, place: bits[place] - step}):
                bits[place] -= step
    return automatic(plan, ranges, bits, _absolute(goal))


def _absolute(goal: SearchGoal) -> float:
    """Return the error that tables are sized by."""
    return max(goal.atol, 1e-3 * goal.rtol, 1e-6)


def _rows(plan: Plan) -> int:
    products = 1.0
    for layer in plan.layers:
        if "weight" in layer.weights:
            weight = layer.weights["weight"]
            products += float(weight.size) * float(np.prod(layer.shape)) / weight.shape[-1]
    return int(min(ROWS[1], max(ROWS[0], WORK / products)))


@dataclass(frozen=True, kw_only=True)
class _Trials:
    plan: Plan
    ranges: Mapping[str, Range]
    goal: SearchGoal
    tolerance: float

    @property
    def places(self) -> Sequence[str]:
        """Everything that has bits of its own: results, then weights."""
        weights = [f"{layer.name}/{role}" for layer in self.plan.layers for role in layer.weights]
        return [*self.ranges, *weights]

    def common(self, title: Path, progress: Progress) -> int:
        """Return the fewest bits that do for all places alike."""
        low, high = LEAST - 1, self._most()
        if not self.fits(high):
            share = self.share(high)
            raise DisagreementError(
                f"{title}: even with {high} fraction bits the largest error is {share:.2g} times the tolerance "
                f"(rtol {self.goal.rtol:g}, atol {self.goal.atol:g}); relax --rtol or --atol"
            )
        while high - low > 1:
            middle = (low + high) // 2
            progress(f"trying {middle} fraction bits")
            low, high = (low, middle) if self.fits(middle) else (middle, high)
        return high

    def _most(self) -> int:
        """Return the most bits whose products and sums are still exact here: wide ranges leave fewer."""
        for bits in range(MOST, LEAST, -1):
            try:
                self.share(bits)
            except CannotError:
                continue
            return bits
        return LEAST

    def fits(self, bits: int | Mapping[str, int]) -> bool:
        """Say whether the answers stay within the search's share of the tolerance."""
        return self.share(bits) <= SLACK

    def share(self, bits: int | Mapping[str, int]) -> float:
        """Return the largest error in units of what is allowed."""
        network = quantised(self.plan, automatic(self.plan, self.ranges, bits, self.tolerance))
        return share_of_tolerance(answers(network, self.goal.inputs), self.goal)


def answers(network: Network, inputs: Mapping[str, Array]) -> Arrays:
    """Emulate.

    Raises:
        CannotError: the emulator does not compute this network.
    """
    try:
        return Emulator(network).run(inputs)
    except FixedPointError as error:
        raise CannotError(str(error)) from error
