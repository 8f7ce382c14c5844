"""Keeps the optimizer of torch's dynamo exporter from changing what a model computes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

from portinf.core.optional import require

__all__ = ["exact_constants"]


@contextmanager
def exact_constants() -> Iterator[None]:
    """Let onnxscript's rules for x + 0, x - 0, x * 1 and x / 1 hold for 0 and 1 alone while a model is exported.

    They take every number up to 1e-8 for 0 and every one within 1e-5 of 1 for 1, so that ``log(x + 1e-8)`` becomes
    ``log(x)``. The rules that join minima and maxima are left out: they give two constants one name where a tensor has
    several pairs of bounds.
    """
    matcher = require("onnxscript.rewriter._matcher", "torch")
    rewriter = require("onnxscript.rewriter", "torch")
    joining = {id(rule) for rule in require("onnxscript.rewriter.rules.common._min_max_to_clip", "torch").rules}
    rules = rewriter._DEFAULT_REWRITE_RULES
    rewriter._DEFAULT_REWRITE_RULES = tuple(rule for rule in rules if id(rule) not in joining)
    matcher.math = SimpleNamespace(isclose=_is)
    try:
        yield
    finally:
        rewriter._DEFAULT_REWRITE_RULES = rules
        matcher.math = math


def _is(value: float, pattern: float, *, rel_tol: float, abs_tol: float) -> bool:
    return value == pattern if pattern in (0, 1) else math.isclose(value, pattern, rel_tol=rel_tol, abs_tol=abs_tol)
