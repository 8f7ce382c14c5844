"""From a source to an ONNX file that was checked to compute the same."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portinf.conversion.beyond import cause, other_examples, way_out, with_lengths_beyond
from portinf.conversion.candidate import Candidate, make_candidate, on_all_rows
from portinf.conversion.extremes import at_extremes, cause_of
from portinf.conversion.open_source import OpenedSource, open_source
from portinf.conversion.options import ConvertOptions
from portinf.conversion.provenance import provenance_of
from portinf.conversion.randomness import refuse_changing_answers, refuse_random_source
from portinf.core.batch import Arrays, Batch
from portinf.core.errors import CannotError, DisagreementError, RunnerError, UnreadableError, UsageError, first_line
from portinf.core.progress import Progress
from portinf.onnx_graph.model_file import Artifact, load_proto, opset_of, write_onnx
from portinf.sources.routes import Assumption
from portinf.triton.releases import limits, oldest_reader, pick
from portinf.validation import Comparison
from portinf.validation.rounding.opinion import rounding_notes

__all__ = ["ConvertOptions", "ConvertResult", "convert", "convert_opened"]


@dataclass(frozen=True, kw_only=True)
class ConvertResult:
    """The result.

    Attributes:
        artifact: the ONNX file, with signature and provenance.
        comparison: the comparison that accepted it.
        route: name of the route taken.
        tried: name and first line of failure of the routes before it.
        goldens: the given samples (else some generated ones) with the source's answers.
        notes: what the user should know.
    """

    artifact: Artifact
    comparison: Comparison
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
            "validation": self.comparison.to_json(),
        }


def convert(source: str, out: Path, options: ConvertOptions, progress: Progress = lambda _: None) -> ConvertResult:
    """Convert a source, compare at the samples and at other sizes, and write ``out`` only if it is equal.

    Args:
        source: path, ``file.py:factory`` or ``package.module:factory``.
        out: the ONNX file to write.
        options: what the user said.
        progress: called with each step.

    Raises:
        DisagreementError: every route that gave a file gave a wrong one; nothing is at ``out``.
        CannotError: no route gave a file.
        PortinfError: the source cannot be opened; see `portinf.conversion.open_source.open_source`.
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
    """Return the opset to write, and refuse one that the release does not read."""
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
    refuse_random_source(source, opened)
    with ExitStack() as folders:
        judged = _judged(opened, opened.example(), options, opset, folders, progress)
        for like_the_samples, example in other_examples(opened, judged.assumptions) if judged.wrong else ():
            if judged.right is not None:
                break
            progress("the model branches on a size; exporting at another size")
            again = _judged(opened, example, options, opset, folders, progress, judged.assumptions)
            judged = again if like_the_samples or again.right is not None else judged
        accepted = judged.right or (next(iter(judged.wrong), None) if options.force else None)
        if accepted is not None:
            progress(f"writing {out}")
            return _accepted(source, accepted[1], accepted[0], judged.tried, out, options)
    lines = "; ".join(f"{name}: {why}" for why, name in _alike(judged.tried).items())
    if judged.wrong:
        refuse_changing_answers(source, opened, judged.wrong[0][1].comparison, options.tolerance)
        raise DisagreementError(
            f"{source}: no route gave an equivalent file; nothing was written: {lines}{_hint(judged.wrong[0][1])}"
        )
    raise CannotError(f"{source}: no route to ONNX: {lines}")


@dataclass(kw_only=True)
class _Judged:
    """What became of the routes, in order: the right candidate with the name of its route, the wrong ones, and why others failed.

    Attributes:
        assumptions: of the routes that are not right.
    """

    right: tuple[str, Candidate] | None = None
    wrong: list[tuple[str, Candidate]] = field(default_factory=list)
    tried: list[tuple[str, str]] = field(default_factory=list)
    assumptions: list[Assumption] = field(default_factory=list)


def _judged(
    opened: OpenedSource,
    example: Arrays,
    options: ConvertOptions,
    opset: int,
    folders: ExitStack,
    progress: Progress,
    earlier: Sequence[Assumption] = (),
) -> _Judged:
    """Take the routes in order until one gives a file that computes the same, also where ``earlier`` assumptions do not hold."""
    judged = _Judged()
    routes = opened.process.routes(opened.signature, example, opset, opened.compared)
    known = [*opened.process.assumed(), *earlier]
    beyond = with_lengths_beyond(opened, known)  # run now: an export may change what the source answers
    for number, route in enumerate(routes):
        name = route["name"]
        if route["reason"]:
            judged.tried.append((name, route["reason"]))
            continue
        progress(f"exporting: {name}")
        folder = Path(folders.enter_context(tempfile.TemporaryDirectory(prefix="portinf-candidate-")))
        try:
            candidate = make_candidate(opened, number, folder, options, progress, beyond)
            candidate = on_all_rows(candidate, options, progress)
        except (RunnerError, CannotError, UnreadableError) as error:
            judged.tried.append((name, first_line(error)))
        else:
            if candidate.comparison.verdict == "equal":
                candidate = at_extremes(candidate, options, progress)
            if candidate.comparison.verdict == "equal":
                judged.right = name, candidate
                return judged
            judged.wrong.append((name, candidate))
            why = f"{cause(candidate.comparison, candidate.assumptions)}{candidate.comparison.summary()}{cause_of(candidate)}"
            judged.tried.append((name, why))
        with suppress(CannotError):  # the exporter may have ended the source's process
            judged.assumptions += opened.process.assumed()
            beyond = with_lengths_beyond(
                beyond, opened.process.assumed()
            )  # the routes that follow may not report what they assume
    return judged


def _alike(tried: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return the names of the routes by their reason."""
    names: dict[str, list[str]] = {}
    for name, why in tried:
        names.setdefault(why, []).append(name)
    return {why: " and ".join(same) for why, same in names.items()}


def _hint(candidate: Candidate) -> str:
    """Name the way out where only sizes that the user may never need are wrong."""
    found = way_out(candidate.comparison, candidate.assumptions)
    return f"; if the model never gets such a size, add: {found}" if found else ""


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
    said = [*rounding_notes(candidate.comparison), *opened.left_out]
    notes = [*opened.notes, *candidate.notes, *said, *_remarks(opened, opset_of(model), options)]
    provenance = provenance_of(source, candidate, route, tried, notes, options)
    artifact = write_onnx(model, candidate.path, out, opened.signature, provenance)
    return ConvertResult(
        artifact=artifact,
        comparison=candidate.comparison,
        route=route,
        tried=tried,
        goldens=goldens(opened, candidate.comparison),
        notes=notes,
    )


def _remarks(opened: OpenedSource, written: int, options: ConvertOptions) -> list[str]:
    """Say what the user may not have expected of a right file, ``written`` with that opset."""
    remarks = []
    if options.opset is not None and written < options.opset:
        remarks.append(
            f"requested opset {options.opset}; the exporter produced {written}, which every runtime for {options.opset} can also load"
        )
    if opened.given and not opened.signature.axes:
        remarks.append("all axes are fixed; if sizes vary, give a second sample of another size, or --dynamic")
    return remarks


def goldens(opened: OpenedSource, comparison: Comparison) -> list[Batch]:
    """Return the batches to record: the user's samples, and three small generated ones that were equal."""
    equal = {case.name for case in comparison.cases if case.status == "equal" and not case.reason}  # compared as a whole
    chosen = list(opened.given)
    generated = [batch for batch in opened.cases if batch.origin == "generated" and batch.name in equal]
    filled = [batch for batch in generated if all(array.size for array in batch.inputs.values())]
    chosen += sorted(filled, key=lambda b: sum(a.size for a in b.inputs.values()))[:3]
    return [
        Batch(name=batch.name, inputs=batch.inputs, origin="given", expected=opened.runner.infer(batch.inputs))
        for batch in chosen
    ]
