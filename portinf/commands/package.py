"""A source, an ONNX file or the folder of a target -> one judged version of a model in a Triton model repository."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from portinf.conversion.convert import ConvertOptions, convert
from portinf.core.errors import CannotError
from portinf.core.progress import Progress, quiet
from portinf.locate.resolve import take
from portinf.onnx_graph.model_file import Artifact, read_onnx
from portinf.packaging.options import PackageOptions, PackageResult, refuse_conversion
from portinf.packaging.package_onnx import package_onnx
from portinf.samples.case_set import CaseSet
from portinf.samples.user_options import with_ranges, with_roles
from portinf.sources.describe.axes import with_given_limits
from portinf.triton.config import check_model_name, safe_name
from portinf.triton.releases import limits, oldest_reader
from portinf.triton.writer import check_entry

__all__ = ["package"]


def package(source: str, options: PackageOptions, conversion: ConvertOptions, progress: Progress = quiet) -> PackageResult:
    """Package an ONNX file or the folder of a target as it is, or convert any other source first.

    Args:
        source: an ONNX file, a folder of ``portinf optimize --target hls4ml``, or what `portinf.conversion.convert.convert` takes.
        options: of the package.
        conversion: of the conversion; an ONNX file takes samples, roles, limits of lengths and the Triton release from it.
        progress: called with one line per step.

    Raises:
        DisagreementError: the judgement is "disagrees" and ``force`` is not set; nothing is written.
        PortinfError: see `package_onnx` and `portinf.conversion.convert.convert`.
    """
    ref = take(source, "package")
    if ref.target is not None and ref.folder is not None:
        return ref.target.package(ref.folder, options, conversion, progress)
    options = replace(options, name=check_model_name(options.name) if options.name is not None else _name(source))
    check_entry(options.repository, str(options.name), version=options.version)
    if ref.model is not None:
        artifact = _described(read_onnx(ref.model), conversion)
        sourcing = conversion.sourcing
        cases = CaseSet.of_files(artifact.signature, sourcing.inputs, sourcing.streams, ranges=sourcing.ranges)
        packaged = package_onnx(artifact, cases, options, progress=progress)
        return replace(packaged, notes=[*packaged.notes, *cases.notes])
    with tempfile.TemporaryDirectory(prefix="portinf-package-") as folder:
        result = convert(source, Path(folder) / "model.onnx", conversion, progress)
        cases = CaseSet(result.artifact.signature, samples=result.goldens)
        packaged = package_onnx(result.artifact, cases, options, comparison=result.comparison, shown=source, progress=progress)
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
    sourcing = conversion.sourcing
    _check_release(artifact, conversion.triton_release)
    signature = with_given_limits(artifact.signature, sourcing.minimums, sourcing.maximums)
    signature = with_roles(signature, sourcing.roles)
    return replace(artifact, signature=replace(signature, inputs=with_ranges(signature.inputs, sourcing.ranges)))


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
