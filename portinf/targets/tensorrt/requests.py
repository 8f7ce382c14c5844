"""From samples and shapes to the requests that an engine must answer like the original."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from portinf.core.batch import Batch
from portinf.core.errors import CannotError, RunnerError
from portinf.core.signature import Signature, dtype_by_numpy
from portinf.runners.onnx import OnnxRuntimeRunner
from portinf.samples.generate import generate, resample
from portinf.targets.tensorrt.kit_folder import Recorded
from portinf.targets.tensorrt.profiles import Profile
from portinf.validation import Tolerance
from portinf.validation.recorded import recorded_limits

__all__ = ["made_batches", "record"]

MAX_BYTES = 16 << 20  # of the inputs of one recorded request: what is larger is not replayed
RECORDED = 8  # samples that are replayed


def made_batches(signature: Signature, samples: Sequence[Batch], profile: Profile) -> Iterator[Batch]:
    """Yield batches at the ends and the middle of the profile, made from the first sample or from the signature alone."""
    for which in ("min", "opt", "max"):
        sizes = profile.sizes(which)
        if _bytes(signature, sizes) > MAX_BYTES:
            continue
        full = next((batch for batch in samples if all(array.size for array in batch.inputs.values())), None)
        made = resample(signature, full, sizes) if full is not None else generate(signature, sizes)
        inside = signature.sizes({name: array.shape for name, array in made.inputs.items()}) == sizes
        if inside and all(array.size for array in made.inputs.values()):
            yield replace(made, name=f"generated, {which} shapes")
        if not sizes:
            return


def _bytes(signature: Signature, sizes: Mapping[str, int]) -> int:
    total = 0
    for spec in signature.inputs:
        lengths = [sizes[axis.label] if axis.label is not None else int(axis.size or 0) for axis in spec.shape or ()]
        total += int(np.prod(lengths, dtype=np.int64)) * max(1, dtype_by_numpy(spec.dtype).size)
    return total


def record(
    model: Path, signature: Signature, samples: Sequence[Batch], profile: Profile, tolerance: Tolerance
) -> tuple[list[Recorded], list[str]]:
    """Return requests with the original's answers, and what was left out.

    Args:
        model: the original ONNX file.
        signature: its inputs and outputs.
        samples: the user's, cut to what the server takes in one request.
        profile: shapes of the engine: requests at its ends and in its middle are added.
        tolerance: within which the engine must answer.

    Raises:
        CannotError: there is no request that the original answers.
    """
    said = []
    full = [batch for batch in samples if all(array.size for array in batch.inputs.values())]
    if len(full) < len(samples):
        said.append(f"{len(samples) - len(full)} samples with empty tensors are not replayed: trtexec reads no empty file")
    small = [batch for batch in full if sum(array.nbytes for array in batch.inputs.values()) <= MAX_BYTES]
    if len(small) < len(full):
        said.append(f"{len(full) - len(small)} samples of more than {MAX_BYTES >> 20} MiB are not replayed")
    answered: list[Batch] = []
    with OnnxRuntimeRunner(model, level="none") as runner:
        for batch in [*small[:RECORDED], *made_batches(signature, full, profile)]:
            try:
                expected = runner.infer(batch.inputs)
            except RunnerError:
                continue  # outside the model's domain
            if batch.origin == "generated" and any(a.dtype.kind == "f" and not np.isfinite(a).all() for a in expected.values()):
                continue
            answered.append(replace(batch, expected=expected))
        limits = recorded_limits(answered, runner, tolerance)
    kept = []
    for batch in answered:
        bounds = {name: limits.of(name, array, batch.inputs) for name, array in (batch.expected or {}).items()}
        absolute = {name: np.asarray(bounds[name].absolute(array.shape)) for name, array in (batch.expected or {}).items()}
        kept.append(Recorded(batch=batch, rtol={name: bound.rtol for name, bound in bounds.items()}, atol=absolute))
    if not kept:
        raise CannotError(
            f"{model}: it fails on all samples and generated requests, so an engine cannot be tested; give --inputs"
        )
    return kept, said
