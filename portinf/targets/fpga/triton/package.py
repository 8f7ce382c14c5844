"""Turns the folder of a network for an FPGA into a judged version of a model that its bit-exact emulation serves."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from portinf.conversion.convert import ConvertOptions
from portinf.core.batch import Batch, save_goldens
from portinf.core.errors import CannotError, DisagreementError, RunnerError, UnreadableError, UsageError, first_line
from portinf.core.files import sha256
from portinf.core.progress import Progress
from portinf.onnx_graph.model_file import read_onnx
from portinf.packaging.options import PackageOptions, PackageResult, refuse_conversion
from portinf.runners import Runner
from portinf.runners.onnx import OnnxRuntimeRunner
from portinf.samples.case_set import CaseSet
from portinf.samples.generate import generate
from portinf.targets.fpga.folder import FLOAT, NETWORK, NETWORK_HASH, REPORT, FpgaRecord, network_hash, read_record
from portinf.targets.fpga.options import EXACT
from portinf.targets.fpga.runners import open_fpga
from portinf.targets.fpga.triton.stage import ANSWERS, emulation_config, emulation_facts, executed_by, stage
from portinf.triton.config import check_model_name, safe_name
from portinf.triton.manifest import GOLDENS
from portinf.triton.writer import Entry, check_entry, write_entry
from portinf.validation import Comparison, Tolerance, compare
from portinf.validation.batch_independence import choose_batch_size, servable

__all__ = ["package_fpga"]

READERS = "with the Python backend, Python 3.10 or later and numpy"
EMULATION = "FPGA (exact emulation)"
SECONDS = 900.0


def package_fpga(source: Path, options: PackageOptions, conversion: ConvertOptions, progress: Progress) -> PackageResult:
    """Compare the network with its float model, test that its copy gives the same bits in another process, and write it.

    Args:
        source: folder that ``portinf optimize --target hls4ml`` wrote.
        options: of the package.
        conversion: samples are taken from it; whatever describes a source is refused.
        progress: called with one line per step.

    Raises:
        DisagreementError: the judgement is "disagrees" and ``force`` is not set; nothing is written.
        CannotError: the model cannot be served, or its copy gives other results than the folder.
        UnreadableError: a file of the folder is missing or damaged.
        UsageError: an option or a sample does not fit.
    """
    refuse_conversion(str(source), conversion)
    name = check_model_name(options.name) if options.name is not None else safe_name(source.resolve().name)
    check_entry(options.repository, name, version=options.version)
    record = _told(read_record(source), options.tolerance, conversion)
    if record.kind == "conifer":
        raise CannotError(f"{source}: boosted trees in fixed point are not served yet; package the trees' ONNX file")
    if not record.emulated and record.library is None:
        raise CannotError(
            f"{source}: this folder can only be run with da4ml, which cannot be served; package the original model instead"
        )
    _check_files(source, record)
    told = conversion.sourcing
    cases = CaseSet.of_files(record.signature, told.inputs, told.streams, ranges=told.ranges)
    batches = cases.given
    with open_fpga(source) as runner:
        size, why = choose_batch_size(runner, record.signature, batches, options.max_batch_size, EXACT, str(source), progress)
        config = emulation_config(name, record.signature, size, record)
        check_entry(options.repository, name, config=config, version=options.version)
        comparison, judged = _judged(source, record, runner, cases, progress)
        goldens = _goldens(runner, record, batches)
    with tempfile.TemporaryDirectory(prefix="portinf-package-") as folder:
        tree = Path(folder) / "version"
        tree.mkdir()
        stage(source, tree)
        self_check = _run_copy(tree, record, goldens, progress)
        problem = "" if judged["verdict"] == "equal" else f"{EMULATION} against the float model: {judged['summary']}"
        if problem and not options.force:
            raise DisagreementError(
                f"{source}: not packaged: {problem}; give other samples or a wider tolerance if that is right, "
                "or --force to package it anyway"
            )
        artifact = read_onnx(source / FLOAT)
        provenance = {**artifact.provenance, **record.facts}
        entry = Entry(
            name=name,
            artifact=replace(artifact, signature=record.signature, provenance=provenance),
            max_batch_size=size,
            goldens=servable(goldens, size),
            tolerance={"rtol": EXACT.rtol, "atol": EXACT.atol},
            validation=judged,
            batching=why,
            options=options.recorded,
            forced=bool(problem),
            config=config,
            tree=tree,
            emulation={**emulation_facts(record), "self_check": self_check},
        )
        packaged = write_entry(options.repository, entry, version=options.version)
    said = [f"served as an emulation, not by a card: {self_check}", *cases.notes, *judged["notes"]]
    return PackageResult(packaged=packaged, comparison=comparison, readers=READERS, notes=said, judged=judged)


def _told(record: FpgaRecord, tolerance: Tolerance, conversion: ConvertOptions) -> FpgaRecord:
    """Return the record with the user's tolerance to the float model, where there is one: it is what the served model declares."""
    if tolerance == Tolerance():
        return record
    if not conversion.sourcing.inputs:
        raise UsageError("--rtol and --atol require --inputs; without samples nothing is compared again")
    return replace(record, tolerance=tolerance.for_dtype("float32"))


def _judged(
    source: Path, record: FpgaRecord, runner: Runner, cases: CaseSet, progress: Progress
) -> tuple[Comparison | None, Mapping[str, Any]]:
    """Compare with the float model on the samples; without samples, return the judgement on those that formats were chosen with."""
    if not cases.given:
        said = "tested when the folder was written, on the samples given then; give --inputs to test again"
        return None, {**_earlier(source / f"{REPORT}.json"), "notes": [said]}
    tolerance = Tolerance.of(*record.tolerance)
    progress("comparing the emulation with the float model")
    with OnnxRuntimeRunner(source / FLOAT, name="the float model") as reference:
        comparison = compare(reference, runner, cases, tolerance=tolerance, progress=progress)
    return comparison, {**comparison.to_json(), "notes": []}


def _check_files(source: Path, record: FpgaRecord) -> None:
    """Hold the network and its float model against what the record says of them."""
    for path, found, name in (
        (source / FLOAT, sha256(source / FLOAT) if (source / FLOAT).is_file() else "", "model sha256"),
        (source / NETWORK, network_hash(source), NETWORK_HASH),
    ):
        if found != record.facts.get(name):
            raise UnreadableError(f"{path}: missing, or not as portinf wrote it; run portinf optimize again")


def _earlier(path: Path) -> Mapping[str, Any]:
    try:
        comparison = json.loads(path.read_text(encoding="utf-8"))["hops"][-1]
        return {**comparison, "verdict": str(comparison["verdict"]), "summary": str(comparison["summary"])}
    except OSError as error:
        raise UnreadableError(f"{path}: {error.strerror}; give --inputs to judge the network again") from error
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise UnreadableError(f"{path}: damaged: {first_line(error)}; give --inputs to judge the network again") from error


def _goldens(runner: Runner, record: FpgaRecord, batches: Sequence[Batch]) -> list[Batch]:
    """Return samples, or generated ones inside the ranges that were seen, with the emulation's own answers."""
    given = [batch for batch in batches if batch.rows] or [generate(record.signature)]
    try:
        return [replace(batch, expected=runner.infer(batch.inputs)) for batch in given]
    except RunnerError as error:
        raise CannotError(f"a sample has no answer: {first_line(error)}") from error


def _run_copy(tree: Path, record: FpgaRecord, goldens: Sequence[Batch], progress: Progress) -> str:
    """Let the copy answer the goldens in a process of its own, with numpy alone, away from the folder that it was made from.

    Raises:
        CannotError: it does not; a compiled library that ends its process is found here.
    """
    progress("running the copy that will be served, in a separate process")
    save_goldens(tree / GOLDENS, goldens)
    command = [sys.executable, "-I", "-B", str(tree / ANSWERS), executed_by(record)]
    try:
        done = subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise CannotError(f"the copy that would be served does not answer within {SECONDS:g} s: not packaged") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no output"]
        raise CannotError(f"not packaged: the copy that would be served fails: {lines[-1].replace(f'{tree}/', '')}")
    return done.stdout.strip()
