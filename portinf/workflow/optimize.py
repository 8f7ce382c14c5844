"""From an ONNX file to one that a target runs better, kept only if it computes the same."""

from __future__ import annotations

import importlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from portinf.artifact import Artifact, load_proto, read_onnx, write_onnx
from portinf.errors import CannotError, DisagreementError, UnreadableError, UsageError
from portinf.resampling import generate, not_tried, sweep
from portinf.runners.onnxruntime import OnnxRuntimeRunner
from portinf.samples import Batch, check_batch
from portinf.streams import StreamOptions
from portinf.targets import TARGETS, Proposal
from portinf.validation import Hop, Tolerance, compare
from portinf.workflow.samplefiles import bound, heads, notes, open_files

__all__ = ["OptimizeResult", "optimize"]

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class OptimizeResult:
    """What came out.

    Attributes:
        artifact: the file written.
        hop: its comparison with the original; None where the original was returned.
        changed: names of the proposals that were kept.
        operators: number of operators before and after.
        notes: how the samples' files were read, and which sizes were too large to compare at.
    """

    artifact: Artifact
    hop: Hop | None
    changed: Sequence[str]
    operators: tuple[int, int]
    notes: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "output": str(self.artifact.path),
            "files": dict(self.artifact.files),
            "changed": list(self.changed),
            "operators_before": self.operators[0],
            "operators_after": self.operators[1],
            "notes": list(self.notes),
            "validation": self.hop and self.hop.to_json(),
        }


def optimize(
    model: Path,
    target: str,
    out: Path,
    *,
    inputs: Sequence[Path] = (),
    streams: StreamOptions | None = None,
    tolerance: Tolerance,
    progress: Progress = lambda _: None,
) -> OptimizeResult:
    """Try a target's proposals and keep those that compute the same.

    Args:
        model: the ONNX file.
        target: name from `portinf.targets.TARGETS`.
        out: the file to write.
        inputs: files with samples; sizes are generated from the stored roles in any case.
        streams: how the files' columns become inputs.
        tolerance: when two numbers are equal.
        progress: told what happens.

    Raises:
        CannotError: the target is not there yet.
        DisagreementError: a proposal computes something else; nothing is at ``out``.
    """
    offer = _target(target)
    artifact = read_onnx(model)
    if out.is_dir():
        raise UsageError(f"{out}: a folder; expected the name of the ONNX file to write")
    files = bound(open_files(inputs, streams or StreamOptions()), artifact.signature)
    given = heads(files)
    batches = _batches(artifact, given)
    for proposal in offer(artifact):
        with tempfile.TemporaryDirectory(prefix="portinf-optimize-") as folder:
            progress(f"trying: {proposal.name}")
            path = proposal.make(Path(folder))
            found = read_onnx(path)
            if dict(found.operators) == dict(artifact.operators):
                continue
            progress("comparing")
            hop = _judged(model, path, batches, tolerance)
            if hop.verdict != "equal":
                raise DisagreementError(f"{model}: {proposal.name}: nothing was written: {hop.summary()}")
            left_out = not_tried(artifact.signature, given)
            return replace(_kept(artifact, path, out, proposal, hop, left_out), notes=[*notes(files), *left_out])
    return replace(_original(artifact, out), notes=notes(files))


def _target(name: str) -> Callable[[Artifact], Iterable[Proposal]]:
    if name not in TARGETS:
        raise UsageError(f"--target {name}: no such target; there are: {', '.join(TARGETS)}")
    entry = TARGETS[name]
    if entry is None:
        ready = ", ".join(key for key, value in TARGETS.items() if value)
        raise CannotError(f"--target {name}: not there yet in this version; there is: {ready}")
    module, _, attribute = entry.partition(":")
    offer: Callable[[Artifact], Iterable[Proposal]] = getattr(importlib.import_module(module), attribute)
    return offer


def _batches(artifact: Artifact, given: Sequence[Batch]) -> list[Batch]:
    for batch in given:
        check_batch(artifact.signature, batch)
    return [*given, *([] if given else [generate(artifact.signature)]), *sweep(artifact.signature, given)]


def _judged(reference: Path, candidate: Path, batches: Sequence[Batch], tolerance: Tolerance) -> Hop:
    with (
        OnnxRuntimeRunner(reference, level="none", name=str(reference)) as left,
        OnnxRuntimeRunner(candidate, name="optimised") as right,
    ):
        return compare(left, right, batches, tolerance=tolerance)


def _kept(artifact: Artifact, path: Path, out: Path, proposal: Proposal, hop: Hop, notes: Sequence[str]) -> OptimizeResult:
    step = {
        "optimised": proposal.name,
        "from_sha256": next(iter(artifact.files.values())),
        "validation": {"verdict": hop.verdict, "summary": hop.summary()},
        "notes": list(notes),
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    steps = [*artifact.provenance.get("steps", []), step]
    written = write_onnx(load_proto(path), path, out, artifact.signature, {**artifact.provenance, "steps": steps})
    counts = _counts(artifact, written)
    return OptimizeResult(artifact=written, hop=hop, changed=[proposal.name], operators=counts, notes=notes)


def _counts(before: Artifact, after: Artifact) -> tuple[int, int]:
    return sum(before.operators.values()), sum(after.operators.values())


def _original(artifact: Artifact, out: Path) -> OptimizeResult:
    """Return the original, byte for byte, its data files first."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        for name in reversed(list(artifact.files)):
            source = artifact.root / name
            target = out if source == artifact.path else out.parent / name
            if target.exists() and target.samefile(source):
                continue
            temporary = target.parent / f".{target.name}.partial"
            try:
                shutil.copyfile(source, temporary)
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UnreadableError(f"{out}: cannot be written: {error.strerror}") from error
    return OptimizeResult(artifact=read_onnx(out), hop=None, changed=[], operators=_counts(artifact, artifact))
