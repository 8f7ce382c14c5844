"""Turns a condition on lengths into an assumption: the lengths at which it breaks when one axis is moved alone, and its limits."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from portinf.core.batch import load_npz, shapes_of
from portinf.core.signature import Signature
from portinf.samples.generate import request_bytes
from portinf.sources.routes import Assumption, ExportOptions

__all__ = ["REACH", "assumption_of", "example_sizes"]

REACH = 1 << 31  # bytes of inputs: protobuf, and so gRPC, sends no larger request
FIRST = 64  # lengths that are all looked at, like those beside the example's; beyond, each is a fourth longer than the last
NEAR = 16
WINDOW = 512  # lengths on both sides of the example's in which a condition may be seen to hold at multiples alone


def assumption_of(
    text: str,
    place: str,
    holds: Callable[[Mapping[str, int]], bool],
    labels: Sequence[str],
    options: ExportOptions,
    base: Mapping[str, int],
) -> Assumption | None:
    """Describe a condition that does not hold at every length; None for any other, and where it fails at the example itself.

    Args:
        text: the condition as people read it; numbers in it are looked at first.
        place: where it comes from.
        holds: says whether it holds at lengths by label.
        labels: the axes that it is about.
        options: limits of the lengths, and lengths that are compared anyway.
        base: lengths of the example.
    """
    if not holds(base):
        return None
    elsewhere: list[Mapping[str, int]] = []
    limits: dict[str, Any] = {}
    for label in labels:

        def alone(n: int, label: str = label) -> bool:
            return holds({**base, label: n})

        lengths = _lengths(text, label, options.signature, base)
        above = _edge(alone, base[label], [n for n in lengths if n > base[label]])
        below = _edge(alone, base[label], [n for n in reversed(lengths) if n < base[label]])
        again = None if above is None else next((n for n in lengths if n >= 2 * above and not alone(n)), None)
        elsewhere += [{**base, label: n} for n in (above, again, below) if n is not None]
        if len(labels) == 1:
            limits = {"label": label, **_limits(alone, base[label], lengths, above, below)}
    if not elsewhere:
        return None
    broken = tuple(sizes for sizes in options.compared if not holds(sizes))
    return Assumption(text=text, place=place, elsewhere=tuple(elsewhere), broken=broken, **limits)


def example_sizes(options: ExportOptions) -> dict[str, int]:
    """Return the lengths of the dynamic axes of the example."""
    return options.signature.sizes(shapes_of(load_npz(options.example).inputs))


def _lengths(text: str, label: str, signature: Signature, base: Mapping[str, int]) -> list[int]:
    """Return the lengths to look at in order: all small ones, those near the example and near numbers in the text, and far ones."""
    axis = signature.axes[label]
    furthest = REACH // max(1, request_bytes(signature, {**base, label: 1}))
    furthest = furthest if axis.maximum is None else min(furthest, axis.maximum)
    found = {*range(FIRST), *range(base[label] - NEAR, base[label] + NEAR + 1), furthest}
    for number in map(int, re.findall(r"\b\d{1,12}\b", text)):
        found |= {number - 1, number, number + 1}
    n = float(FIRST)
    while n < furthest:
        found.add(int(n))
        n *= 1.25
    return sorted(n for n in found if axis.minimum <= n <= furthest)


def _edge(alone: Callable[[int], bool], start: int, lengths: Sequence[int]) -> int | None:
    """Return the first length, going away from the start, at which the condition is broken; None where it never is."""
    good = start
    for bad in lengths:
        if alone(bad):
            good = bad
            continue
        while abs(bad - good) > 1:
            middle = (good + bad) // 2
            good, bad = (middle, bad) if alone(middle) else (good, middle)
        return bad
    return None


def _limits(
    alone: Callable[[int], bool], start: int, lengths: Sequence[int], above: int | None, below: int | None
) -> dict[str, int]:
    if start + 1 == above or start - 1 == below:
        window = range(max(1, start - WINDOW), start + WINDOW + 1)
        good = [n for n in window if alone(n)]
        multiple = math.gcd(*good)
        if len(good) > 1 < multiple and len(good) == sum(n % multiple == 0 for n in window):
            return {"multiple": multiple}
    limits = {}
    if above is not None and not any(alone(n) for n in lengths if n > above):
        limits["largest"] = above - 1
    if below is not None and not any(alone(n) for n in lengths if n < below):
        limits["least"] = below + 1
    return limits
