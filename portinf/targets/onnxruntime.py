"""Offers rewritings of the graph, and what ONNX Runtime's own portable graph optimisations make of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from portinf.artifact import external_files, load_proto
from portinf.errors import CannotError, first_line
from portinf.lazy import require
from portinf.rewriting import RULES, Rule, rewrite
from portinf.targets.proposal import Proposal

__all__ = ["basic", "proposals"]


def proposals(threads: int) -> Iterable[Proposal]:
    """Yield the rewritings, then constants folded and redundant nodes removed, at ONNX Runtime's level ``basic``.

    The levels above it write operators of ONNX Runtime's own domain for the processor at hand: these are left to the
    server, which applies them when it loads the file.

    Args:
        threads: intra-op threads on which the file will run; 1 allows what is right on one thread only, 0 means unknown.
    """
    for rule in RULES:
        if threads == 1 or not rule.one_thread:
            yield Proposal(name=rule.name, proof=rule.proof, make=partial(_rewritten, rule))
    yield Proposal(name="ONNX Runtime graph optimisations, level basic", proof="exact", make=basic)


def _rewritten(rule: Rule, path: Path, folder: Path) -> Path | None:
    out = folder / "model.onnx"
    return out if rewrite(rule, path, out) else None


def basic(path: Path, folder: Path, *, without: Sequence[str] = ()) -> Path | None:
    """Write what ONNX Runtime makes of a file at its level ``basic``: constants folded, redundant nodes removed.

    Args:
        path: the file.
        folder: where to write.
        without: ONNX Runtime's names of optimisations to leave out.
    """
    ort = require("onnxruntime", "")
    out = folder / "model.onnx"
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(out)
    if path.stat().st_size + sum(p.stat().st_size for p in _data(path)) > 1_500_000_000:
        options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "model.data")
    try:
        ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"], disabled_optimizers=list(without))
    except Exception as error:
        raise CannotError(f"{path}: ONNX Runtime {ort.__version__} cannot optimise it: {first_line(error)}") from error
    return out


def _data(path: Path) -> list[Path]:
    return [path.parent / name for name in external_files(load_proto(path), path)]
