"""Counts and extremes of many element differences, in a form that can be added up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Histogram", "Tally", "Value", "Worst", "plain", "plus", "show"]

Value = float | int | bool | str


def plain(value: Value) -> Value:
    """Return a value that strict JSON can hold: NaN and infinities become text."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def show(value: Value, dtype: str = "float32") -> str:
    """Format an element for people: all digits that its type holds, strings quoted and cut at 40 characters."""
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else value[:37] + "...")
    if isinstance(value, float):
        return format(value, ".17g" if dtype == "float64" else ".9g")
    return str(value)


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """How many elements differ by how much.

    Attributes:
        exact: elements without any difference.
        decades: count by k for differences in [10^k, 10^(k+1)).
        not_finite: a NaN or an infinity on one side only.
    """

    exact: int = 0
    decades: Mapping[int, int] = field(default_factory=dict)
    not_finite: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        decades = {f"1e{k:+03d}": self.decades[k] for k in sorted(self.decades)}
        return {"exact": self.exact, "decades": decades, "not_finite": self.not_finite}


@dataclass(frozen=True, kw_only=True)
class Worst:
    """The element that uses up most of its tolerance.

    Attributes:
        case: name of the case that it belongs to.
        index: position in the output.
        reference, candidate: the two values.
        allowed: bound of the difference at this element.
        score: difference over bound (the difference itself where the bound is 0 for the whole type).
    """

    case: str
    index: tuple[int, ...]
    reference: Value
    candidate: Value
    allowed: float
    score: float

    @property
    def difference(self) -> float:
        """``|candidate - reference|`` for numbers, NaN where one side is no number."""
        if isinstance(self.reference, str) or isinstance(self.candidate, str):
            return math.nan
        return float(abs(self.candidate - self.reference))

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "case": self.case,
            "index": list(self.index),
            "reference": plain(self.reference),
            "candidate": plain(self.candidate),
            "allowed": plain(self.allowed),
        }


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Differences of one output over any number of arrays.

    Attributes:
        count: elements compared.
        wrong: elements out of tolerance.
        max_abs: largest ``|candidate - reference|``; infinite where NaN or infinity meets a number.
        max_rel: largest ``|candidate - reference| / max(|reference|, atol)``.
        nan_reference, nan_candidate: elements that are NaN.
        same_nan: NaNs stand at the same places on both sides.
        same_inf: infinities stand at the same places with the same signs.
        worst: None where all elements are the same.
        histogram: of the absolute differences.
    """

    count: int = 0
    wrong: int = 0
    max_abs: float = 0.0
    max_rel: float = 0.0
    nan_reference: int = 0
    nan_candidate: int = 0
    same_nan: bool = True
    same_inf: bool = True
    worst: Worst | None = None
    histogram: Histogram = Histogram()

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "count": self.count,
            "out_of_tolerance": self.wrong,
            "max_abs": plain(self.max_abs),
            "max_rel": plain(self.max_rel),
            "nan_reference": self.nan_reference,
            "nan_candidate": self.nan_candidate,
            "same_nan": self.same_nan,
            "same_inf": self.same_inf,
            "worst": None if self.worst is None else self.worst.to_json(),
            "histogram": self.histogram.to_json(),
        }


def _worse(first: Worst | None, second: Worst | None) -> Worst | None:
    if first is None or second is None:
        return first or second
    return second if second.score > first.score else first


def _added(first: Histogram, second: Histogram) -> Histogram:
    keys = sorted({*first.decades, *second.decades})
    return Histogram(
        exact=first.exact + second.exact,
        decades={k: first.decades.get(k, 0) + second.decades.get(k, 0) for k in keys},
        not_finite=first.not_finite + second.not_finite,
    )


def plus(first: Tally, second: Tally) -> Tally:
    """Return the tally of both; associative, and of equally bad elements the first one stays."""
    return Tally(
        count=first.count + second.count,
        wrong=first.wrong + second.wrong,
        max_abs=max(first.max_abs, second.max_abs),
        max_rel=max(first.max_rel, second.max_rel),
        nan_reference=first.nan_reference + second.nan_reference,
        nan_candidate=first.nan_candidate + second.nan_candidate,
        same_nan=first.same_nan and second.same_nan,
        same_inf=first.same_inf and second.same_inf,
        worst=_worse(first.worst, second.worst),
        histogram=_added(first.histogram, second.histogram),
    )
