"""Offers what ONNX Runtime's own portable graph optimisations make of a file: no operator that another release lacks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from portinf.artifact import Artifact, external_files, load_proto
from portinf.errors import CannotError, first_line
from portinf.lazy import require
from portinf.targets.proposal import Proposal

__all__ = ["proposals"]


def proposals(artifact: Artifact) -> Iterable[Proposal]:
    """Yield the one proposal: constants folded, redundant nodes removed, at ONNX Runtime's level ``basic``.

    The levels above it write operators of ONNX Runtime's own domain for the processor at hand: these are left to the
    server, which applies them when it loads the file.
    """
    yield Proposal(name="ONNX Runtime graph optimisations, level basic", make=lambda folder: _basic(artifact.path, folder))


def _basic(path: Path, folder: Path) -> Path:
    ort = require("onnxruntime", "")
    out = folder / "model.onnx"
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(out)
    if path.stat().st_size + sum(p.stat().st_size for p in _data(path)) > 1_500_000_000:
        options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "model.data")
    try:
        ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise CannotError(f"{path}: ONNX Runtime {ort.__version__} cannot optimise it: {first_line(error)}") from error
    return out


def _data(path: Path) -> list[Path]:
    return [path.parent / name for name in external_files(load_proto(path), path)]
