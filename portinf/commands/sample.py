"""Writes inputs that fit a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from portinf.conversion.open_source import open_source
from portinf.conversion.options import SourcingOptions
from portinf.core.batch import Batch, save_npz
from portinf.core.errors import UnreadableError, UsageError
from portinf.core.progress import Progress
from portinf.core.signature import Signature
from portinf.onnx_graph.model_file import read_onnx
from portinf.samples.generate import generate, resample
from portinf.samples.user_options import with_ranges
from portinf.sources.detect import Found, detect
from portinf.triton.manifest import MODEL, version_folders

__all__ = ["sample"]


def sample(
    source: str, out: Path, sizes: Mapping[str, int], options: SourcingOptions, progress: Progress = lambda _: None
) -> Batch:
    """Make a batch of inputs at the sizes asked for and write it to ``out``.

    Args:
        source: an ONNX file, or a source as for ``convert``.
        out: npz file to write.
        sizes: length of dynamic axes by label; a small default for the rest.
        options: the user's options on the source.
        progress: called with each step.

    Raises:
        UsageError: an axis is not known, or a length is one that the model does not take.
        UnreadableError: ``out`` cannot be written.
    """
    found = detect(source)
    if found.format in ("onnx", "package"):
        signature = read_onnx(_model_file(found)).signature
        batch = _made(replace(signature, inputs=with_ranges(signature.inputs, options.ranges)), [], sizes)
    else:
        with open_source(source, options, progress) as opened:
            batch = _made(opened.signature, list(opened.given), sizes)
    save_npz(out, batch.inputs)
    return batch


def _model_file(found: Found) -> Path:
    """Return the ONNX file itself, or that of a packaged model's newest version."""
    if found.format == "onnx":
        return found.path
    versions = version_folders(found.path)
    if not versions:
        raise UnreadableError(f"{found.path}: a packaged model without a version; expected a folder such as 1/model.onnx in it")
    return versions[max(versions)] / MODEL


def _made(signature: Signature, given: list[Batch], sizes: Mapping[str, int]) -> Batch:
    for label, size in sizes.items():
        if label not in signature.axes:
            raise UsageError(f"--size {label}={size}: no axis '{label}'; there are: {', '.join(signature.axes) or 'none'}")
        refusal = signature.axes[label].refusal(size)
        if refusal:
            raise UsageError(f"--size {label}={size}: {refusal}")
    if not given:
        return generate(signature, sizes)
    base = signature.sizes({name: array.shape for name, array in given[0].inputs.items()})
    return resample(signature, given[0], {**base, **sizes})
