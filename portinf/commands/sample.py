"""Writes inputs that fit a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from portinf.conversion.open_source import open_source
from portinf.conversion.options import SourcingOptions
from portinf.core.batch import Batch, save_npz
from portinf.core.errors import UsageError
from portinf.core.progress import Progress
from portinf.core.signature import Signature
from portinf.locate.resolve import ModelRef, take
from portinf.onnx_graph.model_file import read_onnx
from portinf.runners.endpoint.runner import EndpointRunner
from portinf.samples.generate import generate, resample
from portinf.samples.user_options import with_ranges

__all__ = ["sample"]


def sample(
    source: str, out: Path, sizes: Mapping[str, int], options: SourcingOptions, progress: Progress = lambda _: None
) -> Batch:
    """Make a batch of inputs at the sizes asked for and write it to ``out``.

    Args:
        source: an ONNX file, a packaged model, a folder of ``portinf optimize``, a live model, or a source as for ``convert``.
        out: npz file to write.
        sizes: length of dynamic axes by label; a small default for the rest.
        options: the user's options on the source.
        progress: called with each step.

    Raises:
        UsageError: an axis is not known, or a length is one that the model does not take.
        UnreadableError: ``out`` cannot be written.
    """
    ref = take(source, "sample")
    if ref.kind == "source":
        with open_source(source, options, progress) as opened:
            batch = _made(opened.signature, list(opened.given), sizes)
    else:
        signature = _signature(ref)
        batch = _made(replace(signature, inputs=with_ranges(signature.inputs, options.ranges)), [], sizes)
    save_npz(out, batch.inputs)
    return batch


def _signature(ref: ModelRef) -> Signature:
    if ref.target is not None and ref.folder is not None:
        return ref.target.signature(ref.folder)
    if ref.model is not None:
        return read_onnx(ref.model).signature
    with EndpointRunner(ref.text) as runner:
        return runner.signature


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
