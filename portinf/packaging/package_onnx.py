"""An ONNX file -> a judged version of a model in a Triton model repository."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from portinf.conversion.randomness import random_checks
from portinf.core.batch import Batch
from portinf.core.errors import DisagreementError
from portinf.core.progress import Progress, quiet
from portinf.onnx_graph.model_file import Artifact
from portinf.packaging.options import PackageOptions, PackageResult
from portinf.packaging.self_check import self_check
from portinf.runners.onnx import OnnxRuntimeRunner
from portinf.samples.case_set import CaseSet
from portinf.triton.config import check_model_name, config_of, safe_name
from portinf.triton.releases import ranges, readers
from portinf.triton.writer import Entry, check_entry, write_entry
from portinf.validation import Comparison
from portinf.validation.batch_independence import BATCH_SIZE, choose_batch_size, servable

__all__ = ["BATCH_SIZE", "package_onnx"]


def package_onnx(
    artifact: Artifact,
    cases: CaseSet,
    options: PackageOptions,
    *,
    comparison: Comparison | None = None,
    shown: str | None = None,
    progress: Progress = quiet,
) -> PackageResult:
    """Prove the rows of an ONNX file independent, judge it, and write it as one version of a model.

    Args:
        artifact: the file.
        cases: what it is judged on. With ``comparison``, the samples carry the source's outputs.
        options: the user's.
        comparison: the judgement of the conversion; None for a file without a source: the graph as it is judges the rewritten one.
        shown: how messages call the model; None for the file's path.
        progress: called with one line per step.

    Raises:
        DisagreementError: the judgement is "disagrees" and ``force`` is not set; nothing is written.
        CannotError: the model cannot be served, or not with that batch size; the version exists.
        UsageError: a sample, the name or the version does not fit.
    """
    shown = shown or str(artifact.path)
    batches = cases.given
    name = check_model_name(options.name) if options.name is not None else safe_name(artifact.path.stem)
    config_of(name, artifact.signature, 0)  # types and ranks, before the costly steps
    with OnnxRuntimeRunner(artifact.path, name="the model") as runner:
        asked = (options.max_batch_size, options.tolerance, shown, progress)
        size, why = choose_batch_size(runner, artifact.signature, batches, *asked)
    config = config_of(name, artifact.signature, size, one_thread=artifact.one_thread)
    check_entry(options.repository, name, config=config, version=options.version)
    goldens: Sequence[Batch] = batches
    notes: Sequence[str] = ()
    if comparison is None:
        checked = self_check(artifact.path, cases, tolerance=options.tolerance, progress=progress)
        comparison, goldens, notes = checked.comparison, checked.goldens, cases.left_out
        comparison = replace(comparison, checks=(*comparison.checks, *random_checks(artifact.path)))
    problem = _problem(artifact, comparison)
    if problem and not options.force:
        raise DisagreementError(
            f"{shown}: not packaged: {problem}; give other samples or a wider tolerance if that is right, "
            "or --force to package it anyway"
        )
    entry = Entry(
        name=name,
        artifact=artifact,
        max_batch_size=size,
        goldens=servable(goldens, size),
        tolerance={"rtol": options.tolerance.rtol, "atol": options.tolerance.atol},
        validation={**comparison.to_json(), "notes": list(notes)},
        batching=why,
        options=options.recorded,
        forced=bool(problem),
    )
    packaged = write_entry(options.repository, entry, version=options.version)
    return PackageResult(
        packaged=packaged, comparison=comparison, readers=ranges(readers(artifact.opset, artifact.ir_version)), notes=notes
    )


def _problem(artifact: Artifact, comparison: Comparison) -> str:
    """Say why the model should not be served: this judgement, or the one that came with the file; empty for neither."""
    if comparison.verdict != "equal":
        return f"{comparison.candidate} against {comparison.reference}: {comparison.summary()}"
    earlier = artifact.provenance.get("validation") or {}
    if earlier.get("verdict", "equal") != "equal":
        return f"its conversion was judged {earlier['verdict']}: {earlier.get('summary', '')}"
    return ""
