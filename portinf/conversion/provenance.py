"""Where a converted file came from, as plain data for its metadata."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from portinf.conversion.candidate import Candidate
from portinf.conversion.options import ConvertOptions
from portinf.core.files import sha256
from portinf.core.versions import BASE, installed, now
from portinf.samples import split_place

__all__ = ["provenance_of"]


def provenance_of(
    source: str,
    candidate: Candidate,
    route: str,
    tried: Sequence[tuple[str, str]],
    notes: Sequence[str],
    options: ConvertOptions,
) -> dict[str, Any]:
    """Describe an accepted candidate: source, hashes, route, samples, judgement, versions."""
    process = candidate.opened.process
    return {
        "source": source,
        "source_sha256": _source_hash(source),
        "weights": _named_hash(options.sourcing.weights),
        "framework": process.framework,
        "route": route,
        "tried": [{"route": name, "failed": why} for name, why in tried],
        "samples": [_named_hash(split_place(path)[0]) for path in options.sourcing.inputs],
        "notes": list(notes),
        "tolerance": str(options.tolerance),
        "validation": {"verdict": candidate.comparison.verdict, "summary": candidate.comparison.summary()},
        "versions": _versions(process.framework),
        "created": now(),
        "process": process.usage(),
    }


def _named_hash(path: Path | None) -> dict[str, str] | None:
    return None if path is None else {"name": path.name, "sha256": sha256(path)}


def _source_hash(source: str) -> str | None:
    path = Path(source if Path(source).is_file() else source.rpartition(":")[0])
    return sha256(path) if path.is_file() else None


def _versions(framework: str) -> dict[str, str]:
    packages = {
        "pytorch": ["torch", "onnxscript", "torch_geometric"],
        "torchscript": ["torch", "onnxscript"],
        "pt2": ["torch", "onnxscript"],
        "keras": ["keras", "tensorflow-cpu", "tensorflow", "tf2onnx"],
        "tensorflow": ["tensorflow-cpu", "tensorflow", "tf2onnx"],
        "sklearn": ["scikit-learn", "skl2onnx", "xgboost", "xgboost-cpu", "lightgbm"],
        "xgboost": ["xgboost", "xgboost-cpu"],
        "lightgbm": ["lightgbm"],
        "graphdef": ["tensorflow-cpu", "tensorflow", "tf2onnx"],
        "tflite": ["tensorflow-cpu", "tensorflow", "tf2onnx"],
    }.get(framework, [])
    return installed([*BASE, *packages])
