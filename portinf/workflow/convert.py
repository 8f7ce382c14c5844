"""From a source to an ONNX file that was proved to compute the same."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portinf.artifact import Artifact, load_proto, opset_of, write_onnx
from portinf.errors import CannotError, DisagreementError, RunnerError, UnreadableError, UsageError, first_line
from portinf.samples import Batch
from portinf.triton.releases import limits, oldest_reader, pick
from portinf.validation import Hop
from portinf.workflow.candidate import Candidate, ConvertOptions, make_candidate, small_culprit
from portinf.workflow.provenance import provenance_of
from portinf.workflow.sourcing import OpenedSource, Progress, open_source

__all__ = ["ConvertOptions", "ConvertResult", "convert", "convert_opened"]


@dataclass(frozen=True, kw_only=True)
class ConvertResult:
    """What came out.

    Attributes:
        artifact: the ONNX file, with signature and provenance.
        hop: the comparison that accepted it.
        route: name of the route taken.
        tried: name and first line of failure of the routes before it.
        goldens: the given samples (else some generated ones) with the source's answers.
        notes: what the user should know.
    """

    artifact: Artifact
    hop: Hop
    route: str
    tried: Sequence[tuple[str, str]]
    goldens: Sequence[Batch]
    notes: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "output": str(self.artifact.path),
            "files": dict(self.artifact.files),
            "route": self.route,
            "tried": [{"route": name, "failed": why} for name, why in self.tried],
            "signature": self.artifact.signature.to_json(),
            "opset": self.artifact.opset,
            "ir_version": self.artifact.ir_version,
            "notes": list(self.notes),
            "validation": self.hop.to_json(),
        }


def convert(source: str, out: Path, options: ConvertOptions, progress: Progress = lambda _: None) -> ConvertResult:
    """Convert a source, compare at the samples and at other sizes, and write ``out`` only if it is equal.

    Args:
        source: path, ``file.py:factory`` or ``package.module:factory``.
        out: the ONNX file to write.
        options: what the user said.
        progress: told what happens, one line each.

    Raises:
        DisagreementError: every route that gave a file gave a wrong one; nothing is at ``out``.
        CannotError: no route gave a file.
        PortinfError: the source cannot be opened; see `portinf.workflow.sourcing.open_source`.
    """
    _check_out(out)
    opset = _opset(options)
    with open_source(source, options.sourcing, progress) as opened:
        return convert_opened(source, opened, out, options, opset, progress)


def _check_out(out: Path) -> None:
    if out.is_dir():
        raise UsageError(f"{out}: a folder; expected the name of the ONNX file to write")
    if out.exists() and not out.is_file():
        raise UsageError(f"{out}: not a plain file")


def _opset(options: ConvertOptions) -> int:
    """Return the opset to aim at, and refuse one that the release does not read."""
    opset, _ = pick(options.triton_release)
    if options.opset is None:
        return opset
    if not 9 <= options.opset <= 23:
        raise UsageError(f"--opset {options.opset}: expected 9 to 23")
    if options.triton_release is not None and options.opset > limits(options.triton_release).max_opset:
        raise CannotError(
            f"--opset {options.opset}: Triton {options.triton_release} reads opsets up to {limits(options.triton_release).max_opset}; "
            f"the oldest release that reads it is {oldest_reader(options.opset, 8) or 'none known'}"
        )
    return options.opset


def convert_opened(
    source: str, opened: OpenedSource, out: Path, options: ConvertOptions, opset: int, progress: Progress
) -> ConvertResult:
    """Convert an opened source; see `convert`."""
    tried: list[tuple[str, str]] = []
    wrong: list[tuple[str, Candidate]] = []
    with ExitStack() as folders:
        for number, route in enumerate(opened.process.routes(opened.signature, opened.example(), opset)):
            if route["reason"]:
                tried.append((route["name"], route["reason"]))
                continue
            progress(f"exporting: {route['name']}")
            folder = Path(folders.enter_context(tempfile.TemporaryDirectory(prefix="portinf-candidate-")))
            try:
                candidate = make_candidate(opened, number, folder, options, progress)
            except (RunnerError, CannotError, UnreadableError) as error:
                tried.append((route["name"], first_line(error)))
                continue
            if candidate.hop.verdict == "equal":
                progress(f"writing {out}")
                return _accepted(source, candidate, route["name"], tried, out, options)
            wrong.append((route["name"], candidate))
            tried.append((route["name"], candidate.hop.summary()))
        if wrong and options.force:
            return _accepted(source, wrong[0][1], wrong[0][0], tried, out, options)
    lines = "; ".join(f"{name}: {why}" for why, name in _alike(tried).items())
    if wrong:
        raise DisagreementError(
            f"{source}: no route gave a file that computes the same, nothing was written: {lines}{_hint(wrong[0][1].hop)}"
        )
    raise CannotError(f"{source}: no route to ONNX: {lines}")


def _alike(tried: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return the names of the routes by their reason."""
    names: dict[str, list[str]] = {}
    for name, why in tried:
        names.setdefault(why, []).append(name)
    return {why: " and ".join(same) for why, same in names.items()}


def _hint(hop: Hop) -> str:
    """Name the way out where only a size that the user may never ask for is wrong."""
    found = small_culprit(hop)
    return "" if found is None else f"; if the model is never asked at that size, say so: --minimum {found[0]}={found[1] + 1}"


def _accepted(
    source: str,
    candidate: Candidate,
    route: str,
    tried: Sequence[tuple[str, str]],
    out: Path,
    options: ConvertOptions,
) -> ConvertResult:
    opened = candidate.opened
    model = load_proto(candidate.path)
    notes = [*opened.notes, *candidate.notes, *opened.left_out, *_remarks(opened, opset_of(model), options)]
    provenance = provenance_of(source, candidate, route, tried, notes, options)
    artifact = write_onnx(model, candidate.path, out, opened.signature, provenance)
    return ConvertResult(
        artifact=artifact, hop=candidate.hop, route=route, tried=tried, goldens=goldens(opened, candidate.hop), notes=notes
    )


def _remarks(opened: OpenedSource, written: int, options: ConvertOptions) -> list[str]:
    """Say what the user may not have expected of a right file, ``written`` with that opset."""
    remarks = []
    if options.opset is not None and written < options.opset:
        remarks.append(
            f"asked for opset {options.opset}, the exporter writes {written}: whatever reads the one reads the other"
        )
    if opened.given and not opened.signature.axes:
        remarks.append("every axis is fixed: give a second sample of another size, or --dynamic, if sizes vary")
    return remarks


def goldens(opened: OpenedSource, hop: Hop) -> list[Batch]:
    """Return the batches to record: the user's samples, and three small generated ones that were equal."""
    equal = {case.name for case in hop.cases if case.status == "equal"}
    chosen = list(opened.given)
    generated = [batch for batch in opened.cases if batch.origin == "generated" and batch.name in equal]
    filled = [batch for batch in generated if all(array.size for array in batch.inputs.values())]
    chosen += sorted(filled, key=lambda b: sum(a.size for a in b.inputs.values()))[:3]
    return [
        Batch(name=batch.name, inputs=batch.inputs, origin="given", expected=opened.runner.infer(batch.inputs))
        for batch in chosen
    ]
