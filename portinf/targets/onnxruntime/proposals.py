"""Offers rewritings of the graph, and what ONNX Runtime's own portable graph optimisations make of it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from portinf.ort.basic_level import basic
from portinf.rewrites import RULES, Rule, rewrite
from portinf.targets.onnxruntime.proposal import Proposal

__all__ = ["proposals"]


def proposals(threads: int) -> Iterable[Proposal]:
    """Yield the rewritings, then constants folded and redundant nodes removed, at ONNX Runtime's level ``basic``.

    The levels above it write operators of ONNX Runtime's own domain for the processor at hand: these are left to the
    server, which applies them when it loads the file.

    Args:
        threads: intra-op threads on which the file will run; 1 allows what is right on one thread only, 0 means unknown.
    """
    for rule in RULES:
        if threads == 1 or not rule.one_thread:
            yield Proposal(name=rule.name, guarantee=rule.guarantee, make=partial(_rewritten, rule))
    yield Proposal(name="ONNX Runtime graph optimisations, level basic", guarantee="exact", make=basic)


def _rewritten(rule: Rule, path: Path, folder: Path) -> Path | None:
    out = folder / "model.onnx"
    return out if rewrite(rule, path, out) else None
