"""From a source to an ONNX file that was proved to compute the same."""

from __future__ import annotations

import platform
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from portinf.artifact import Artifact, load_proto, opset_of, sha256, write_onnx
from portinf.errors import CannotError, DisagreementError, RunnerError, UnreadableError, UsageError, first_line
from portinf.lazy import require
from portinf.mending import mend, mend_empty
from portinf.naming import give_names
from portinf.operators import check_operators
from portinf.reshaping import mend_reshapes
from portinf.runners.onnxruntime import OnnxRuntimeRunner
from portinf.samples import Batch
from portinf.triton.releases import limits, oldest_reader, pick
from portinf.validation import Hop, Tolerance, compare
from portinf.workflow.sourcing import OpenedSource, Progress, SourcingOptions, open_source

__all__ = ["ConvertOptions", "ConvertResult", "convert", "convert_opened"]


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


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    path: Path
    hop: Hop
    notes: Sequence[str]
    opened: OpenedSource  # as given, or with a domain that was narrowed


def convert_opened(
    source: str, opened: OpenedSource, out: Path, options: ConvertOptions, opset: int, progress: Progress
) -> ConvertResult:
    """Convert an opened source; see `convert`."""
    tried: list[tuple[str, str]] = []
    wrong: list[tuple[str, _Candidate]] = []
    with ExitStack() as folders:
        for number, route in enumerate(opened.process.routes(opened.signature, opened.example(), opset)):
            if route["reason"]:
                tried.append((route["name"], route["reason"]))
                continue
            progress(f"exporting: {route['name']}")
            folder = Path(folders.enter_context(tempfile.TemporaryDirectory(prefix="portinf-candidate-")))
            try:
                candidate = _candidate(opened, number, folder, options, progress)
            except (RunnerError, CannotError, UnreadableError) as error:
                tried.append((route["name"], first_line(error)))
                continue
            if candidate.hop.verdict == "equal":
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
    found = _small_culprit(hop)
    return "" if found is None else f"; if the model is never asked at that size, say so: --minimum {found[0]}={found[1] + 1}"


def _small_culprit(hop: Hop) -> tuple[str, int] | None:
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


def _candidate(opened: OpenedSource, number: int, folder: Path, options: ConvertOptions, progress: Progress) -> _Candidate:
    onnx = require("onnx", "")
    exported = opened.process.export(number)
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
        plain = path.read_bytes()
        aloud = not any(case.outputs for case in candidate.hop.cases if case.status == "disagrees")
        more = mend_reshapes(model, free=True) if aloud else mend_empty(model)
        path.write_bytes(model.SerializeToString())
        better = _checked(opened, path, [*mended, *more], options, progress) if more else candidate
        if better.hop.count("disagrees") < candidate.hop.count("disagrees"):
            candidate = better
        else:
            path.write_bytes(plain)
    return _narrowest(candidate, options, progress)


def _narrowest(candidate: _Candidate, options: ConvertOptions, progress: Progress) -> _Candidate:
    """Return the candidate, checked again on a narrower domain where that is needed and honest."""
    narrower = _narrowed(candidate.opened, candidate.hop)
    if narrower is None:
        return candidate
    return _checked(narrower[0], candidate.path, [*candidate.notes, *narrower[1]], options, progress)


def _wrong_only_when_empty(hop: Hop) -> bool:
    bad = [case for case in hop.cases if case.status == "disagrees"]
    return bool(bad) and all(0 in case.sizes.values() for case in bad)


def _checked(opened: OpenedSource, path: Path, notes: Sequence[str], options: ConvertOptions, progress: Progress) -> _Candidate:
    onnx = require("onnx", "")
    progress("checking the ONNX file")
    try:
        onnx.checker.check_model(str(path))
    except onnx.checker.ValidationError as error:
        raise CannotError(f"the exporter wrote an invalid file: {first_line(error)}") from error
    progress("comparing")
    with OnnxRuntimeRunner(path, name="onnx") as runner:
        hop = compare(opened.runner, runner, opened.cases, tolerance=options.tolerance)
    return _Candidate(path=path, hop=hop, notes=notes, opened=opened)


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


def _accepted(
    source: str,
    candidate: _Candidate,
    route: str,
    tried: Sequence[tuple[str, str]],
    out: Path,
    options: ConvertOptions,
) -> ConvertResult:
    opened = candidate.opened
    notes = [*opened.notes, *candidate.notes, *_remarks(opened, candidate, options)]
    provenance = {
        "source": source,
        "source_sha256": _source_hash(source),
        "weights": _named_hash(options.sourcing.weights),
        "framework": opened.process.framework,
        "route": route,
        "tried": [{"route": name, "failed": why} for name, why in tried],
        "samples": [_named_hash(Path(path)) for path in options.sourcing.inputs],
        "notes": notes,
        "tolerance": str(options.tolerance),
        "validation": {"verdict": candidate.hop.verdict, "summary": candidate.hop.summary()},
        "versions": _versions(opened.process.framework),
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "process": opened.process.usage(),
    }
    artifact = write_onnx(load_proto(candidate.path), candidate.path, out, opened.signature, provenance)
    return ConvertResult(
        artifact=artifact, hop=candidate.hop, route=route, tried=tried, goldens=goldens(opened, candidate.hop), notes=notes
    )


def _remarks(opened: OpenedSource, candidate: _Candidate, options: ConvertOptions) -> list[str]:
    """Say what the user may not have expected of a right file."""
    remarks = []
    written = opset_of(load_proto(candidate.path))
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
    found = {"python": platform.python_version()}
    for package in ["portinf", "onnx", "onnxruntime", "numpy", *packages]:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
