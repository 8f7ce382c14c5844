"""Writes the two ways in which Triton runs a model on TensorRT: an engine of its own, and ONNX Runtime's accelerator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from portinf.core.errors import CannotError
from portinf.core.signature import Signature
from portinf.targets.tensorrt.accelerator import tensorrt_accelerator
from portinf.targets.tensorrt.profiles import Profile
from portinf.targets.tensorrt.versions import Version
from portinf.triton.config import ENGINE_PLATFORM, ModelConfig, TensorConfig, config_of, to_text
from portinf.triton.manifest import CONFIG
from portinf.triton.releases import Release
from portinf.triton.writer import Entry, write_entry

__all__ = ["write_accelerated", "write_engine_config"]


def _engine_config(name: str, signature: Signature, size: int, version: Version) -> ModelConfig:
    config = replace(config_of(name, signature, size), platform=ENGINE_PLATFORM)
    if version.native_int64:
        return config

    def narrowed(tensors: tuple[TensorConfig, ...]) -> tuple[TensorConfig, ...]:
        return tuple(replace(t, data_type="TYPE_INT32") if t.data_type == "TYPE_INT64" else t for t in tensors)

    return replace(config, inputs=narrowed(config.inputs), outputs=narrowed(config.outputs))


def write_engine_config(work: Path, name: str, signature: Signature, size: int, version: Version) -> None:
    """Write ``repository/NAME/config.pbtxt`` for an engine that is not there yet."""
    text = to_text(_engine_config(name, signature, size, version))
    (work / "repository" / name / CONFIG).write_text(text, encoding="utf-8")


def write_accelerated(
    work: Path, entry: Entry, row: Release, version: Version, profile: Profile, precision: str, cache: str
) -> list[str]:
    """Write the model for the ONNX Runtime backend, with TensorRT as its accelerator; return notes on it."""
    shapes = {"min": profile.text("min"), "opt": profile.text("opt"), "max": profile.text("max")}
    place = f"{cache}{entry.name}"
    try:
        accelerator, said = tensorrt_accelerator(
            row, precision=precision, flags=version.precision_flags, cache_path=place, shapes=shapes
        )
    except CannotError as error:
        return [f"no configuration of the ONNX Runtime accelerator was written: {error}"]
    if "trt_engine_cache_path" in accelerator.parameters:
        said.append(f"the accelerator keeps its engines in {place} on the server: mount a folder there that stays")
    write_entry(work / "repository-onnxruntime", replace(entry, accelerator=accelerator), version=1)
    return said
