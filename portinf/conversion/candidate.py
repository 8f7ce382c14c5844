"""One exported file on its way to being accepted: fixed, named, checked and compared with its source."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from portinf.conversion.beyond import narrowed, with_lengths_beyond
from portinf.conversion.open_source import OpenedSource
from portinf.conversion.options import ConvertOptions
from portinf.converters.ends import fix_ends
from portinf.core.errors import CannotError, UnreadableError, first_line
from portinf.core.optional import require
from portinf.core.progress import Progress
from portinf.onnx_graph.model_file import load_proto, opset_of
from portinf.onnx_graph.passes.empty_reshapes import fix_reshapes
from portinf.onnx_graph.passes.exporter_fixes import fix, fix_empty
from portinf.onnx_graph.passes.known_operators import check_operators
from portinf.onnx_graph.passes.length_limits import refuse_longer
from portinf.onnx_graph.passes.naming import give_names
from portinf.onnx_graph.random_operators import refuse_random
from portinf.runners.float64 import Float64
from portinf.runners.onnx import OnnxRuntimeRunner
from portinf.sources.routes import Assumption
from portinf.triton.releases import limits, oldest_reader
from portinf.validation import Comparison, compare

if TYPE_CHECKING:
    import onnx


__all__ = ["Candidate", "make_candidate", "on_all_rows"]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An exported file and its judgement.

    Attributes:
        path: the ONNX file, its external data beside it.
        comparison: the comparison with the source.
        notes: what was fixed or skipped.
        opened: the source as given, or with a domain that was narrowed.
        assumptions: what the exporter assumed of the lengths of axes.
    """

    path: Path
    comparison: Comparison
    notes: Sequence[str]
    opened: OpenedSource
    assumptions: Sequence[Assumption] = ()


def _narrowed(opened: OpenedSource, comparison: Comparison) -> tuple[OpenedSource, list[str]] | None:
    """Give up length 0 of axes where the file refuses it with an error: the smallest length is recorded, nothing is silently wrong."""
    bad = [case for case in comparison.cases if case.status == "disagrees" or case.refused]
    if not bad or any(case.outputs or case.origin == "given" for case in bad):
        return None
    right = {label for case in comparison.cases if case.status == "equal" for label, n in case.sizes.items() if n == 0}
    notes: list[str] = []
    for label in opened.signature.axes:
        mine = [case for case in bad if case.sizes.get(label) == 0]
        if label in right or not mine:
            continue
        opened = opened.with_minimum(label, max(1, opened.signature.axes[label].minimum))
        notes.append(
            f"the ONNX file does not accept {label}=0, although the source does: the smallest length 1 is recorded ({mine[0].reason})"
        )
        bad = [case for case in bad if case not in mine]
    return None if bad else (opened, notes)


def make_candidate(
    opened: OpenedSource,
    number: int,
    folder: Path,
    options: ConvertOptions,
    progress: Progress,
    beyond: OpenedSource | None = None,
) -> Candidate:
    """Take one route of a source and judge what comes out.

    Args:
        opened: the source with its cases.
        number: of the route.
        folder: where the file is put.
        options: of the conversion.
        progress: called with each step.
        beyond: the source with further cases, on which a file that is right on the others is compared, as where its exporter's
            assumptions do not hold; None where the cases are all that counts.

    Raises:
        CannotError: the file is invalid, or its opset is not the requested one.
        RunnerError: the exporter failed.
        UnreadableError: ONNX Runtime cannot load the file.
    """
    onnx = require("onnx", "")
    exported = opened.process.export(number)
    assumptions = opened.process.assumed()
    progress("fixing and naming")
    model = load_proto(exported)
    fixed = [*fix(model), *fix_ends(model, opened.process.framework)]
    check_operators(model)
    fixed += refuse_random(model, "the ONNX file")
    give_names(model, opened.signature)
    model.ir_version = onnx.helper.find_min_ir_version_for(list(model.opset_import), True)
    _check_release(model, options.triton_release)
    if options.opset is not None and opset_of(model) > options.opset:
        raise CannotError(f"requested opset {options.opset}; the exporter produced {opset_of(model)}")
    for data in exported.parent.iterdir():
        if data != exported:
            shutil.move(data, folder / data.name)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    candidate = _checked(opened, path, fixed, options, progress)
    if _wrong_only_when_empty(candidate.comparison):
        candidate = _fixed_for_empty(candidate, options, progress)
    candidate = replace(_narrowest(candidate, options, progress), assumptions=assumptions)
    if candidate.comparison.verdict != "equal" or beyond is None:
        return candidate
    candidate = _also(candidate, with_lengths_beyond(candidate.opened.with_cases(beyond.cases), assumptions), options)
    if candidate.comparison.verdict != "equal":
        return candidate
    narrower, said = narrowed(candidate.opened, candidate.comparison, assumptions)
    candidate = replace(_also(candidate, narrower, options), notes=[*candidate.notes, *said])
    return _refusing(candidate, options, progress)


def _fixed_for_empty(candidate: Candidate, options: ConvertOptions, progress: Progress) -> Candidate:
    """Fix what is known to go wrong on empty tensors, the cheap way first; kept only where fewer cases disagree."""
    path, best = candidate.path, candidate
    plain = kept = path.read_bytes()
    for cure in (_fix_cheaply, fix_empty):
        fixed = require("onnx", "").ModelProto.FromString(plain)
        more = cure(fixed)
        if not more:
            continue
        path.write_bytes(fixed.SerializeToString())
        try:
            better = _checked(candidate.opened, path, [*candidate.notes, *more], options, progress)
        except (CannotError, UnreadableError) as error:
            progress(f"fixes for empty inputs were skipped: {first_line(error)}")
            continue
        if better.comparison.count("disagrees") < best.comparison.count("disagrees"):
            best, kept = better, path.read_bytes()
        if best.comparison.verdict == "equal":
            break
    path.write_bytes(kept)
    return best


def _fix_cheaply(model: onnx.ModelProto) -> list[str]:
    return fix_reshapes(model, free=True)


def _narrowest(candidate: Candidate, options: ConvertOptions, progress: Progress) -> Candidate:
    """Return the candidate, checked again on a narrower domain where that is needed and honest."""
    narrower = _narrowed(candidate.opened, candidate.comparison)
    if narrower is None:
        return candidate
    return _checked(narrower[0], candidate.path, [*candidate.notes, *narrower[1]], options, progress)


def _refusing(candidate: Candidate, options: ConvertOptions, progress: Progress) -> Candidate:
    """Let a file with largest lengths refuse longer inputs by itself: whoever serves it knows nothing of its metadata."""
    kept, model = candidate.path.read_bytes(), load_proto(candidate.path)
    if candidate.comparison.verdict != "equal" or not refuse_longer(model, candidate.opened.signature):
        return candidate
    candidate.path.write_bytes(model.SerializeToString())
    refusing = _checked(candidate.opened, candidate.path, candidate.notes, options, progress)
    if refusing.comparison.verdict == "equal":
        return replace(refusing, assumptions=candidate.assumptions)
    candidate.path.write_bytes(kept)
    return replace(candidate, notes=[*candidate.notes, "the file does not refuse longer inputs by itself"])


def _also(candidate: Candidate, opened: OpenedSource, options: ConvertOptions) -> Candidate:
    """Return the candidate compared on the further cases of a source, without those that its narrower limits leave out."""
    axes = opened.signature.axes
    kept = [case for case in candidate.comparison.cases if not any(axes[label].refusal(n) for label, n in case.sizes.items())]
    fresh = [batch for batch in opened.cases if not any(batch is known for known in candidate.opened.cases)]
    comparison = replace(candidate.comparison, cases=tuple(kept))
    if fresh:
        with OnnxRuntimeRunner(candidate.path, name="onnx", signature=opened.signature) as runner:
            comparison = comparison.plus(compare(opened.runner, runner, fresh, tolerance=options.tolerance))
    return replace(candidate, comparison=comparison, opened=opened)


def on_all_rows(candidate: Candidate, options: ConvertOptions, progress: Progress) -> Candidate:
    """Return a candidate that is right on the cases, compared on every row of files that are read in parts as well."""
    opened = candidate.opened
    if candidate.comparison.verdict != "equal" or opened.samples.whole:
        return candidate
    progress("comparing on all rows")
    with OnnxRuntimeRunner(candidate.path, name="onnx", signature=opened.signature) as runner, Float64() as float64:
        parts = (batch for batch in opened.samples.rows() if batch.stream)
        more = compare(opened.runner, runner, parts, tolerance=options.tolerance, float64=float64)
    checks = [check for check in more.checks if check not in candidate.comparison.checks]
    return replace(
        candidate, comparison=replace(candidate.comparison.plus(more), checks=(*candidate.comparison.checks, *checks))
    )


def _wrong_only_when_empty(comparison: Comparison) -> bool:
    bad = [case for case in comparison.cases if case.status == "disagrees"]
    return bool(bad) and all(0 in case.sizes.values() for case in bad)


def _checked(opened: OpenedSource, path: Path, notes: Sequence[str], options: ConvertOptions, progress: Progress) -> Candidate:
    progress("checking the ONNX file")
    _check_standard(path)
    progress("comparing")
    with OnnxRuntimeRunner(path, name="onnx", signature=opened.signature) as runner, Float64() as float64:
        comparison = compare(opened.runner, runner, opened.cases, tolerance=options.tolerance, float64=float64)
    return Candidate(path=path, comparison=comparison, notes=notes, opened=opened)


def _check_standard(path: Path) -> None:
    """Hold a file against the ONNX standard; one without data files goes as bytes: the checker reads files ten times slower."""
    onnx = require("onnx", "")
    alone = all(file == path for file in path.parent.iterdir())
    try:
        onnx.checker.check_model(path.read_bytes() if alone else str(path))
    except onnx.checker.ValidationError as error:
        raise CannotError(f"the exporter wrote an invalid file: {first_line(error)}") from error


def _check_release(model: onnx.ModelProto, release: str | None) -> None:
    opset = opset_of(model)
    if release is None:
        return
    bound = limits(release)
    if opset > bound.max_opset or model.ir_version > bound.max_ir:
        oldest = oldest_reader(opset, model.ir_version)
        raise CannotError(
            f"needs opset {opset} and IR {model.ir_version}, Triton {release} reads up to {bound.max_opset} and {bound.max_ir}; "
            f"the oldest release that reads it is {oldest or 'none known'}"
        )
