"""What ONNX Runtime makes of a file at its level basic: constants folded, redundant nodes removed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from portinf.core.errors import CannotError, first_line
from portinf.core.optional import require
from portinf.onnx_graph.model_file import external_files, load_proto

__all__ = ["basic"]


def basic(path: Path, folder: Path, *, without: Sequence[str] = ()) -> Path:
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
