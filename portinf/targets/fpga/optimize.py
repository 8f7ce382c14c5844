"""From a model and samples to a folder for an FPGA: hls4ml project, exact emulator, C simulation and report."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from portinf.conversion.convert import ConvertOptions, convert
from portinf.conversion.options import SourcingOptions
from portinf.conversion.randomness import refuse_random_file
from portinf.core.errors import UsageError
from portinf.core.files import whole_folder
from portinf.core.progress import Progress
from portinf.core.signature import Signature
from portinf.fixedpoint.formats import FixedPointError, Format
from portinf.onnx_graph.model_file import read_onnx
from portinf.samples.case_set import CaseSet
from portinf.samples.files import guessed_heads, open_files
from portinf.sources.detect import detect
from portinf.targets.fpga.flows.hgq2 import check_hgq, write_hgq_folder
from portinf.targets.fpga.flows.network import write_folder
from portinf.targets.fpga.flows.qonnx import judge_qonnx
from portinf.targets.fpga.flows.trees import check_tree_options, write_tree_folder
from portinf.targets.fpga.folder import FpgaRecord, is_fpga_folder
from portinf.targets.fpga.options import EXACT, STRATEGY, FpgaOptions, FpgaResult
from portinf.targets.fpga.parts import check_part
from portinf.targets.fpga.quantize.choose import choose
from portinf.targets.fpga.quantize.drawn_rows import filled_up
from portinf.targets.fpga.reader.layers import HANDLERS
from portinf.targets.fpga.reader.plan import Plan, read_graph
from portinf.targets.fpga.reader.qonnx import is_qonnx, plain_model
from portinf.targets.fpga.tools.compile import compiler
from portinf.targets.fpga.tools.hgq2 import is_hgq
from portinf.targets.fpga.tools.hls4ml import check_packages
from portinf.targets.fpga.tools.verilator import TOOLS, tool
from portinf.targets.fpga.tools.yosys import family_of
from portinf.targets.fpga.trees.choose import choose_trees
from portinf.targets.fpga.trees.reader import holds_trees, read_trees
from portinf.validation import Comparison, Report

__all__ = ["optimize_fpga"]


def optimize_fpga(model: str, out: Path, options: FpgaOptions, progress: Progress = lambda _: None) -> FpgaResult:
    """Make the folder; it appears whole or not at all.

    Args:
        model: an ONNX file, or a source as of ``portinf convert``.
        out: the folder to write; one that was written before is replaced.
        options: what the user said.
        progress: called with each step.

    Raises:
        UsageError: no samples, or a format, tolerance or folder that will not do.
        MissingPackageError: hls4ml, da4ml or g++ is not installed.
        CannotError: a layer or a part that is not supported.
        DisagreementError: constants or sums are out of range, or the answers out of tolerance; the message names the layer.
    """
    _check(out, options)
    hgq = model.endswith(".keras") and is_hgq(Path(model))
    if hgq:
        check_hgq(options)
    with tempfile.TemporaryDirectory(prefix="portinf-fpga-") as name:
        folder = Path(name)
        if hgq:
            ready = _made(folder / "ready")
            record, report = write_hgq_folder(ready, Path(model), options, progress)
            _settle(ready, out)
            return _result(out, record, report)
        path, before, remarks = _as_onnx(model, folder, options, progress)
        refuse_random_file(path)
        quantised = path.suffix == ".onnx" and is_qonnx(path)
        if quantised:
            options = _of_qonnx(options)
            plain_model(Path(model), folder / "plain.onnx")
            path = folder / "plain.onnx"
        artifact = read_onnx(path)
        if holds_trees(path):
            record, report = _trees(
                model, path, artifact.signature, _made(folder / "ready"), (before, remarks), options, progress
            )
            _settle(folder / "ready", out)
            return _result(out, record, report)
        progress("reading the layers")
        cases = CaseSet.of_files(artifact.signature, options.inputs, options.streams)
        plan = None if quantised else read_graph(path, _made(folder / "plan"), HANDLERS)
        read, drawn = filled_up(cases.rows)
        if plan is None:
            judged = judge_qonnx(Path(model), path, artifact.signature, read)
            said = ["QONNX: the bits of the file are kept; model.onnx is the same model in standard ONNX operators"]
        else:
            judged = choose(plan, path, artifact.signature, read, options.precision, options.tolerance, progress)
            said = [*judged.notes, *_turned(plan)]
        said = [*remarks, *cases.notes, *drawn, *said]
        ready = _made(folder / "ready")
        judged = replace(judged, before=before, notes=said)
        record, report = write_folder(ready, model, path, artifact.signature, judged, options, progress)
        _settle(ready, out)
    return _result(out, record, report)


def _result(out: Path, record: FpgaRecord, report: Report) -> FpgaResult:
    return FpgaResult(
        folder=out,
        report=report,
        project=f"{record.kind} project, exact emulator" if record.emulated or record.library else record.facts["kind"],
        layers=record.layers,
        facts=record.facts,
        tags=record.tags,
        notes=report.notes,
    )


def _check(out: Path, options: FpgaOptions) -> None:
    """Refuse what cannot be done before anything is opened."""
    if not options.inputs:
        raise UsageError("--target hls4ml: formats are chosen and judged on samples: give some with --inputs")
    if options.precision != "auto":
        try:
            Format.parse(options.precision)
        except FixedPointError as error:
            raise UsageError(f"--precision {options.precision}: {error}, or auto") from error
    if out.exists() and not (out.is_dir() and (is_fpga_folder(out) or not any(out.iterdir()))):
        raise UsageError(f"{out}: expected a new folder, or one that portinf optimize --target hls4ml wrote")
    check_part(options.part)
    check_packages(options.strategy)
    _check_rtl(options)
    if options.csim:
        compiler()


def _of_qonnx(options: FpgaOptions) -> FpgaOptions:
    """Demand equality of a file that is quantised already."""
    if options.precision != "auto":
        raise UsageError(f"--precision {options.precision} does not fit a QONNX file: its Quant nodes have the bits")
    return replace(options, precision="of QONNX", tolerance=EXACT)


def _check_rtl(options: FpgaOptions) -> None:
    """Refuse options of the RTL where there is none, and tools that were asked for and are not here."""
    asked = {"--rtl": bool(options.rtl), "--synth": options.synth, "--hdl vhdl": options.hdl == "vhdl"}
    if options.strategy != STRATEGY:
        for option, given in asked.items():
            if given:
                raise UsageError(
                    f"{option}: open tools take the RTL of --strategy {STRATEGY} alone; of others it is not written here"
                )
        return
    if options.reuse != 1:
        raise UsageError(f"--reuse {options.reuse} does not fit --strategy {STRATEGY}: it has no multipliers to share")
    if options.rtl:
        for name in TOOLS[options.hdl]:
            tool(name, "the RTL is simulated with it")
    if options.synth:
        if options.hdl != "verilog":
            raise UsageError("--synth does not fit --hdl vhdl: yosys reads Verilog")
        family_of(options.part)
        tool("yosys", "LUTs and flip-flops are counted with it")


def _trees(
    model: str,
    path: Path,
    signature: Signature,
    folder: Path,
    said: tuple[tuple[Comparison, ...], Sequence[str]],
    options: FpgaOptions,
    progress: Progress,
) -> tuple[FpgaRecord, Report]:
    """Do the same for boosted trees, through conifer; ``said`` are comparison and notes of the conversion."""
    check_tree_options(options)
    progress("reading the trees")
    floats = read_trees(path, signature)
    cases = CaseSet.of_files(signature, options.inputs, options.streams)
    judged = choose_trees(floats, path, signature, cases.rows, options.precision, options.tolerance, progress)
    judged = replace(judged, notes=[*said[1], *cases.notes, *judged.notes])
    return write_tree_folder(folder, model, path, signature, judged, said[0], options, progress)


def _as_onnx(
    model: str, folder: Path, options: FpgaOptions, progress: Progress
) -> tuple[Path, tuple[Comparison, ...], list[str]]:
    """Return an ONNX file, and for a source the comparison and the notes of its conversion."""
    if detect(model).format == "onnx":
        return Path(model), (), []
    path = folder / "model.onnx"
    names = {name for batch in guessed_heads(open_files(options.inputs, options.streams)) for name in batch.inputs}
    rows = {(name, 0): "rows" for name in names}
    sourcing = SourcingOptions(inputs=options.inputs, streams=options.streams, dynamic=rows)
    result = convert(model, path, ConvertOptions(sourcing=sourcing), progress)
    return path, (replace(result.comparison, candidate="ONNX"),), list(result.notes)


def _turned(plan: Plan) -> list[str]:
    return [
        f"input '{item.name}': the hardware takes its axes in the order {list(item.axes)} of a row (channels last); "
        "the runner transposes them"
        for item in plan.inputs
        if list(item.axes) != sorted(item.axes)
    ]


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _settle(ready: Path, out: Path) -> None:
    """Put a finished folder into its place."""
    with whole_folder(out) as new:
        shutil.copytree(ready, new, dirs_exist_ok=True)
