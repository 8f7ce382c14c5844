"""Turns a source, an ONNX file or a network for an FPGA into a judged version of a model in a Triton model repository."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from portinf.artifact import Artifact, read_onnx
from portinf.detect import detect
from portinf.discovery import with_given_limits
from portinf.errors import CannotError, DisagreementError, UsageError
from portinf.runners.fpga_folder import is_fpga_folder
from portinf.runners.onnxruntime import OnnxRuntimeRunner
from portinf.samples import Batch, check_batch
from portinf.triton.config import check_model_name, config_of, safe_name
from portinf.triton.releases import limits, oldest_reader, ranges, readers
from portinf.triton.repository import Entry, Packaged, check_entry, write_entry
from portinf.validation import Hop, Tolerance
from portinf.workflow.convert import ConvertOptions, convert
from portinf.workflow.randomness import random_checks
from portinf.workflow.rows import BATCH_SIZE, choose_batch_size, servable
from portinf.workflow.samplefiles import bound, heads, notes, open_files
from portinf.workflow.self_check import self_check
from portinf.workflow.told import with_ranges, with_roles

__all__ = ["BATCH_SIZE", "PackageOptions", "PackageResult", "package", "package_onnx", "refuse_conversion"]


def _quiet(line: str) -> None:
    """Take a line of progress that nobody reads."""


@dataclass(frozen=True, kw_only=True)
class PackageOptions:
    """What the user chose.

    Attributes:
        repository: the model repository; created where it is missing.
        name: model name; None for the stem of the source, made safe.
        version: its number; None for the next one.
        max_batch_size: None for 64 where the rows are proved independent, else 0.
        force: package a model whose judgement is "disagrees"; the manifest says so.
        tolerance: of the judgement and of the independence of rows.
        recorded: all options as given, for the manifest.
    """

    repository: Path
    name: str | None = None
    version: int | None = None
    max_batch_size: int | None = None
    force: bool = False
    tolerance: Tolerance = field(default_factory=Tolerance)
    recorded: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PackageResult:
    """A written version, its judgement, the releases that read it, and what the conversion had to say.

    Attributes:
        hop: the judgement; None where it is that of an earlier step.
        judged: verdict and summary, of such an earlier step; empty for those of ``hop``.
    """

    packaged: Packaged
    hop: Hop | None
    readers: str
    notes: Sequence[str] = ()
    judged: Mapping[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """``equal`` or ``disagrees``."""
        return self.hop.verdict if self.hop is not None else str(self.judged["verdict"])

    @property
    def summary(self) -> str:
        """What the judgement found, in one line."""
        return self.hop.summary() if self.hop is not None else str(self.judged["summary"])

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        manifest = self.packaged.manifest
        return {
            "name": manifest.name,
            "version": manifest.version,
            "path": str(self.packaged.path),
            "max_batch_size": manifest.max_batch_size,
            "batching": manifest.batching,
            "verdict": self.verdict,
            "summary": self.summary,
            "forced": manifest.forced,
            "triton_releases": self.readers,
            "notes": list(self.notes),
            "files": dict(manifest.files),
        }

    def text(self) -> str:
        """Return a few lines for a person."""
        manifest = self.packaged.manifest
        return (
            f"{self.packaged.path}: model '{manifest.name}', version {manifest.version}\n"
            f"  judged:   {self.verdict}: {self.summary}\n"
            f"  batching: max_batch_size {manifest.max_batch_size}: {manifest.batching}\n"
            f"  read by:  Triton {self.readers}"
        )


def package(
    source: str, options: PackageOptions, conversion: ConvertOptions, progress: Callable[[str], None] = _quiet
) -> PackageResult:
    """Package an ONNX file or a network for an FPGA as it is, or convert any other source first.

    Args:
        source: an ONNX file, a folder of ``portinf optimize --target hls4ml``, or what `portinf.workflow.convert.convert` takes.
        options: of the package.
        conversion: of the conversion; an ONNX file takes samples, roles, limits of lengths and the Triton release from it.
        progress: called with one line per step.

    Raises:
        DisagreementError: the judgement is "disagrees" and ``force`` is not set; nothing is written.
        PortinfError: see `package_onnx` and `portinf.workflow.convert.convert`.
    """
    if is_fpga_folder(Path(source)):
        from portinf.workflow.package_fpga import package_fpga

        return package_fpga(Path(source), options, conversion, progress)
    found = detect(source)
    if found.format == "package":
        again = "give the model.onnx of one version (of an emulation: its folder fpga)"
        raise CannotError(f"{source}: already a packaged model; to package it again, {again}")
    options = replace(options, name=check_model_name(options.name) if options.name is not None else _name(source))
    check_entry(options.repository, str(options.name), version=options.version)
    if found.format == "onnx":
        artifact = _described(read_onnx(found.path), conversion)
        files = bound(open_files(conversion.sourcing.inputs, conversion.sourcing.streams), artifact.signature)
        packaged = package_onnx(artifact, heads(files), options, progress=progress)
        return replace(packaged, notes=[*packaged.notes, *notes(files)])
    with tempfile.TemporaryDirectory(prefix="portinf-package-") as folder:
        result = convert(source, Path(folder) / "model.onnx", conversion, progress)
        packaged = package_onnx(result.artifact, result.goldens, options, hop=result.hop, shown=source, progress=progress)
    tried = [f"route '{name}' failed: {why}" for name, why in result.tried]
    return replace(packaged, notes=[*result.notes, *tried])


def _name(source: str) -> str:
    """Return a model name for ``folder/net.py:build``, ``models.net:build``, ``net.keras`` or a folder: ``net``."""
    path = Path(source)
    if path.is_dir():
        return safe_name(path.resolve().name)
    head, _, _ = source.rpartition(":") if not path.exists() else (source, "", "")
    return safe_name(Path(head).stem if head.endswith(".py") or path.exists() else head.rpartition(".")[2])


def _described(artifact: Artifact, conversion: ConvertOptions) -> Artifact:
    """Add roles and limits to an ONNX file's signature; refuse options that only a source has."""
    refuse_conversion(str(artifact.path), conversion)
    told = conversion.sourcing
    _check_release(artifact, conversion.triton_release)
    signature = with_given_limits(artifact.signature, told.minimums, told.maximums)
    signature = with_roles(signature, told.roles)
    return replace(artifact, signature=replace(signature, inputs=with_ranges(signature.inputs, told.ranges)))


def refuse_conversion(shown: str, conversion: ConvertOptions) -> None:
    """Refuse options that only a source has.

    Raises:
        UsageError: one is given.
    """
    told = conversion.sourcing
    given = {
        "--dynamic": told.dynamic,
        "--input-name": told.input_names,
        "--outputs": told.outputs,
        "--weights": told.weights,
        "--signature": told.signature,
        "--opset": conversion.opset,
    }
    for option, value in given.items():
        if value:
            raise UsageError(f"{shown}: {option} describes a source to convert, and this is none: leave it out")


def _check_release(artifact: Artifact, release: str | None) -> None:
    if release is None:
        return
    bound = limits(release)
    if artifact.opset > bound.max_opset or artifact.ir_version > bound.max_ir:
        oldest = oldest_reader(artifact.opset, artifact.ir_version) or "none known"
        raise CannotError(
            f"{artifact.path}: opset {artifact.opset}, IR {artifact.ir_version}; Triton {release} reads up to {bound.max_opset} "
            f"and {bound.max_ir}; the oldest release that reads it is {oldest}"
        )


def package_onnx(
    artifact: Artifact,
    batches: Sequence[Batch],
    options: PackageOptions,
    *,
    hop: Hop | None = None,
    shown: str | None = None,
    progress: Callable[[str], None] = _quiet,
) -> PackageResult:
    """Prove the rows of an ONNX file independent, judge it, and write it as one version of a model.

    Args:
        artifact: the file.
        batches: the samples; empty for generated ones. With ``hop``, they carry the source's outputs.
        options: the user's.
        hop: the judgement of the conversion; None for a file without a source: the graph as it is judges the rewritten one.
        shown: how messages call the model; None for the file's path.
        progress: called with one line per step.

    Raises:
        DisagreementError: the judgement is "disagrees" and ``force`` is not set; nothing is written.
        CannotError: the model cannot be served, or not with that batch size; the version exists.
        UsageError: a sample, the name or the version does not fit.
    """
    shown = shown or str(artifact.path)
    for batch in batches:
        check_batch(artifact.signature, batch)
    name = check_model_name(options.name) if options.name is not None else safe_name(artifact.path.stem)
    config_of(name, artifact.signature, 0)  # types and ranks, before the costly steps
    with OnnxRuntimeRunner(artifact.path, name="the model") as runner:
        asked = (options.max_batch_size, options.tolerance, shown, progress)
        size, why = choose_batch_size(runner, artifact.signature, batches, *asked)
    config = config_of(name, artifact.signature, size, one_thread=artifact.one_thread)
    check_entry(options.repository, name, config=config, version=options.version)
    goldens: Sequence[Batch] = batches
    notes: Sequence[str] = ()
    if hop is None:
        checked = self_check(artifact.path, artifact.signature, batches, tolerance=options.tolerance, progress=progress)
        hop, goldens, notes = checked.hop, checked.goldens, checked.notes
        hop = replace(hop, checks=(*hop.checks, *random_checks(artifact.path)))
    problem = _problem(artifact, hop)
    if problem and not options.force:
        raise DisagreementError(
            f"{shown}: not packaged: {problem}; give other samples or a wider tolerance if that is right, "
            "or --force to package it all the same"
        )
    entry = Entry(
        name=name,
        artifact=artifact,
        max_batch_size=size,
        goldens=servable(goldens, size),
        tolerance={"rtol": options.tolerance.rtol, "atol": options.tolerance.atol},
        validation={**hop.to_json(), "notes": list(notes)},
        batching=why,
        options=options.recorded,
        forced=bool(problem),
    )
    packaged = write_entry(options.repository, entry, version=options.version)
    return PackageResult(packaged=packaged, hop=hop, readers=ranges(readers(artifact.opset, artifact.ir_version)), notes=notes)


def _problem(artifact: Artifact, hop: Hop) -> str:
    """Say why the model should not be served: this judgement, or the one that came with the file; empty for neither."""
    if hop.verdict != "equal":
        return f"{hop.candidate} against {hop.reference}: {hop.summary()}"
    earlier = artifact.provenance.get("validation") or {}
    if earlier.get("verdict", "equal") != "equal":
        return f"its conversion was judged {earlier['verdict']}: {earlier.get('summary', '')}"
    return ""
