"""One exported file on its way to being accepted: mended, named, checked and compared with its source."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portinf.artifact import load_proto, opset_of
from portinf.errors import CannotError, UnreadableError, first_line
from portinf.lazy import require
from portinf.mending import mend, mend_empty
from portinf.naming import give_names
from portinf.operators import check_operators
from portinf.reshaping import mend_reshapes
from portinf.runners.onnxruntime import OnnxRuntimeRunner
from portinf.triton.releases import limits, oldest_reader
from portinf.validation import Hop, Tolerance, compare
from portinf.workflow.sourcing import OpenedSource, Progress, SourcingOptions

__all__ = ["Candidate", "ConvertOptions", "make_candidate", "small_culprit"]


@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """Everything ``portinf convert`` may be told.

    Attributes:
        sourcing: how to open and describe the source.
        tolerance: when two numbers are equal.
        opset: version of the default ONNX domain; None for the widest reach.
        triton_release: ``YY.MM`` of the oldest Triton that must read the result.
        force: where every route gives a wrong file, accept the first of them (``package --force``).
    """

    sourcing: SourcingOptions = field(default_factory=SourcingOptions)
    tolerance: Tolerance = field(default_factory=lambda: Tolerance.of(None, None))
    opset: int | None = None
    triton_release: str | None = None
    force: bool = False


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An exported file and its judgement.

    Attributes:
        path: the ONNX file, its external data beside it.
        hop: the comparison with the source.
        notes: what was mended or given up.
        opened: the source as given, or with a domain that was narrowed.
    """

    path: Path
    hop: Hop
    notes: Sequence[str]
    opened: OpenedSource


def small_culprit(hop: Hop) -> tuple[str, int] | None:
    """Return the axis, and the length 0 or 1, at which every wrong case is wrong and no other case is right."""
    bad = [case for case in hop.cases if case.status == "disagrees"]
    good = [case for case in hop.cases if case.status == "equal"]
    if not bad or any(case.origin == "given" for case in bad):
        return None
    for label in bad[0].sizes:
        lengths = {case.sizes[label] for case in bad}
        if lengths <= {0, 1} and not any(case.sizes[label] in lengths for case in good):
            return label, max(lengths)
    return None


def _narrowed(opened: OpenedSource, hop: Hop) -> tuple[OpenedSource, list[str]] | None:
    """Give up length 0 of axes where the file refuses it aloud: the smallest length is recorded, nothing is silently wrong."""
    bad = [case for case in hop.cases if case.status == "disagrees"]
    if not bad or any(case.outputs or case.origin == "given" for case in bad):
        return None
    right = {label for case in hop.cases if case.status == "equal" for label, n in case.sizes.items() if n == 0}
    notes: list[str] = []
    for label in opened.signature.axes:
        mine = [case for case in bad if case.sizes.get(label) == 0]
        if label in right or not mine:
            continue
        opened = opened.with_minimum(label, max(1, opened.signature.axes[label].minimum))
        notes.append(
            f"the ONNX file cannot answer at {label}=0, as the source can: the smallest length 1 is recorded ({mine[0].reason})"
        )
        bad = [case for case in bad if case not in mine]
    return None if bad else (opened, notes)


def make_candidate(opened: OpenedSource, number: int, folder: Path, options: ConvertOptions, progress: Progress) -> Candidate:
    """Take one route of a source and judge what comes out.

    Args:
        opened: the source with its cases.
        number: of the route.
        folder: where the file is put.
        options: of the conversion.
        progress: told what happens.

    Raises:
        CannotError: the file is invalid, or its opset is not the one asked for.
        RunnerError: the exporter failed.
        UnreadableError: ONNX Runtime cannot load the file.
    """
    onnx = require("onnx", "")
    exported = opened.process.export(number)
    progress("mending and naming")
    model = load_proto(exported)
    mended = mend(model)
    check_operators(model)
    give_names(model, opened.signature)
    model.ir_version = onnx.helper.find_min_ir_version_for(list(model.opset_import), True)
    _check_release(model, options.triton_release)
    if options.opset is not None and opset_of(model) > options.opset:
        raise CannotError(f"asked for opset {options.opset}, the exporter wrote {opset_of(model)}")
    for data in exported.parent.iterdir():
        if data != exported:
            shutil.move(data, folder / data.name)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    candidate = _checked(opened, path, mended, options, progress)
    if _wrong_only_when_empty(candidate.hop):
        candidate = _mended_for_empty(candidate, options, progress)
    return _narrowest(candidate, options, progress)


def _mended_for_empty(candidate: Candidate, options: ConvertOptions, progress: Progress) -> Candidate:
    """Mend what is known to go wrong on empty tensors, the cheap way first; kept only where fewer cases disagree."""
    path, best = candidate.path, candidate
    plain = kept = path.read_bytes()
    for cure in (_mend_cheaply, mend_empty):
        mended = require("onnx", "").ModelProto.FromString(plain)
        more = cure(mended)
        if not more:
            continue
        path.write_bytes(mended.SerializeToString())
        try:
            better = _checked(candidate.opened, path, [*candidate.notes, *more], options, progress)
        except (CannotError, UnreadableError) as error:
            progress(f"mending for empty inputs was given up: {first_line(error)}")
            continue
        if better.hop.count("disagrees") < best.hop.count("disagrees"):
            best, kept = better, path.read_bytes()
        if best.hop.verdict == "equal":
            break
    path.write_bytes(kept)
    return best


def _mend_cheaply(model: Any) -> list[str]:
    return mend_reshapes(model, free=True)


def _narrowest(candidate: Candidate, options: ConvertOptions, progress: Progress) -> Candidate:
    """Return the candidate, checked again on a narrower domain where that is needed and honest."""
    narrower = _narrowed(candidate.opened, candidate.hop)
    if narrower is None:
        return candidate
    return _checked(narrower[0], candidate.path, [*candidate.notes, *narrower[1]], options, progress)


def _wrong_only_when_empty(hop: Hop) -> bool:
    bad = [case for case in hop.cases if case.status == "disagrees"]
    return bool(bad) and all(0 in case.sizes.values() for case in bad)


def _checked(opened: OpenedSource, path: Path, notes: Sequence[str], options: ConvertOptions, progress: Progress) -> Candidate:
    progress("checking the ONNX file")
    _check_standard(path)
    progress("comparing")
    with OnnxRuntimeRunner(path, name="onnx", signature=opened.signature) as runner:
        hop = compare(opened.runner, runner, opened.cases, tolerance=options.tolerance)
    return Candidate(path=path, hop=hop, notes=notes, opened=opened)


def _check_standard(path: Path) -> None:
    """Hold a file against the ONNX standard; one without data files goes as bytes: the checker reads files ten times slower."""
    onnx = require("onnx", "")
    alone = all(file == path for file in path.parent.iterdir())
    try:
        onnx.checker.check_model(path.read_bytes() if alone else str(path))
    except onnx.checker.ValidationError as error:
        raise CannotError(f"the exporter wrote an invalid file: {first_line(error)}") from error


def _check_release(model: Any, release: str | None) -> None:
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
