"""Judged boosted trees -> the files of their folder: conifer's projects, C++ emulation, emulator, float model and report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from platformdirs import user_cache_dir

from portinf.core.errors import CannotError, RunnerError, UsageError
from portinf.core.files import sha256
from portinf.core.optional import available, missing
from portinf.core.progress import Progress
from portinf.core.signature import Signature
from portinf.core.versions import installed
from portinf.fixedpoint.tree_emulator import TreeEmulator, joined, reach
from portinf.fixedpoint.trees import save_trees
from portinf.targets.fpga.folder import NETWORK, PROJECT_FOLDER, REPORT, FpgaRecord, copy_model, write_record
from portinf.targets.fpga.options import CSIM_ROWS, FpgaOptions
from portinf.targets.fpga.quantize.choose import EMULATED
from portinf.targets.fpga.runners.trees import TreeSimulation
from portinf.targets.fpga.tools.conifer import ConiferOptions, why_no_vhdl, write_conifer
from portinf.targets.fpga.tools.conifer_build import LIBRARY, build_cpp, headers
from portinf.targets.fpga.trees.choose import JudgedTrees, moved_check
from portinf.validation import CheckResult, Comparison, Figure, Report, Series, SideRecord, write_report

__all__ = ["check_tree_options", "write_tree_folder"]


def check_tree_options(options: FpgaOptions) -> None:
    """Refuse what does not fit boosted trees, and what is not installed.

    Raises:
        UsageError: an option that only networks have.
        MissingPackageError: conifer, the compiler or a header is missing.
    """
    unsupported = {"--reuse": options.reuse != 1, "--strategy": options.strategy != "latency", "--io": options.stream}
    for name, given in unsupported.items():
        if given:
            raise UsageError(f"{name} does not fit boosted trees: conifer unrolls every tree")
    if not available("conifer"):
        raise missing("conifer", "fpga")
    if options.csim:
        headers()


def write_tree_folder(
    folder: Path,
    source: str,
    model: Path,
    signature: Signature,
    judged: JudgedTrees,
    before: tuple[Comparison, ...],
    options: FpgaOptions,
    progress: Progress,
) -> tuple[FpgaRecord, Report]:
    """Write everything; the record comes last.

    Raises:
        CannotError: conifer refuses the trees, or its C++ computes something else.
        MissingPackageError: conifer or the compiler is missing.
    """
    progress("writing conifer's projects")
    project = folder / PROJECT_FOLDER
    save_trees(judged.trees, folder / NETWORK)
    write_conifer(folder / NETWORK, project, ConiferOptions(part=options.part, clock=options.clock))
    copy_model(model, folder)
    equality = _simulated(judged, signature, project, options, progress)
    record = FpgaRecord(
        signature=_with_ranges(signature, judged),
        library=f"{PROJECT_FOLDER}/{LIBRARY}" if options.csim else None,
        emulated=True,
        tolerance=options.tolerance.for_dtype("float32"),
        layers=tuple(_layers(judged)),
        facts=_facts(source, model, judged, options),
        tags=_tags(judged, options),
        kind="conifer",
    )
    report = _report(judged, equality, source, record, before, options)
    for suffix in (".html", ".json"):
        write_report(folder / f"{REPORT}{suffix}", report)
    write_record(folder, record)
    return record, report


def _simulated(
    judged: JudgedTrees, signature: Signature, project: Path, options: FpgaOptions, progress: Progress
) -> CheckResult:
    """Compile conifer's C++ emulation and hold the emulator against it, bit for bit."""
    if not options.csim:
        return CheckResult(name="C simulation", status="not applicable", text="not run here (--no-csim)")
    progress("compiling conifer's C++ emulation")
    build_cpp(judged.trees, project, options.cache or Path(user_cache_dir("portinf")) / "csim")
    progress("comparing the emulator with conifer's C++ emulation")
    simulation = TreeSimulation(judged.trees, signature, "FPGA (C simulation)", project / LIBRARY)
    matrix = joined(judged.trees.shape, {name: array[:CSIM_ROWS] for name, array in judged.samples.items()})
    try:
        simulated = simulation.scores(matrix)
    except RunnerError as error:
        raise CannotError(f"conifer's C++ emulation does not run: {error}") from error
    differing = int((simulated != TreeEmulator(judged.trees).scores(matrix)).any(axis=1).sum())
    if differing:
        raise CannotError(f"conifer's C++ emulation differs from the exact emulator in {differing} of {len(matrix)} rows")
    text = f"conifer's C++ equal to the emulation bit for bit on {len(matrix):,} rows (measured-csim)"
    return CheckResult(name="C simulation", status="passed", text=text, figures={"rows": len(matrix)})


def _with_ranges(signature: Signature, judged: JudgedTrees) -> Signature:
    """Return the signature with the inputs' ranges as seen: generated samples stay inside."""
    ends, start = {}, 0
    for item in judged.trees.shape.inputs:
        own = judged.seen[start : start + item.count]
        ends[item.name] = float(own[:, 0].min()), float(own[:, 1].max())
        start += item.count
    return replace(
        signature, inputs=tuple(replace(spec, low=ends[spec.name][0], high=ends[spec.name][1]) for spec in signature.inputs)
    )


def _layers(judged: JudgedTrees) -> list[dict[str, Any]]:
    trees = judged.trees
    names = ", ".join(item.name for item in trees.shape.inputs)
    return [
        {"name": "inputs and thresholds", "kind": "input", "tensor": names, "result": str(trees.column)},
        {"name": "leaves and scores", "kind": "trees", "tensor": trees.sums, "result": str(trees.score)},
    ]


def _facts(source: str, model: Path, judged: JudgedTrees, options: FpgaOptions) -> dict[str, str]:
    shape = judged.trees.shape
    versions = installed(("portinf", "conifer", "numpy"))
    return {
        "kind": "conifer projects (HLS and VHDL)" if not why_no_vhdl(judged.trees) else "conifer project (HLS)",
        "made from": source,
        "model sha256": sha256(model),
        "trees": f"{len(shape.root)} of depth up to {shape.depth}, {len(shape.leaf):,} nodes, {shape.targets} sum(s)",
        "test": "x < threshold" if shape.strict else "x <= threshold",
        "precision": options.precision,
        "part": options.part,
        "clock": f"{options.clock:g} ns",
        "made with": ", ".join(f"{name} {number}" for name, number in versions.items()),
    }


def _tags(judged: JudgedTrees, options: FpgaOptions) -> dict[str, str]:
    return {
        "answers": "emulated",
        "C simulation": "measured-csim" if options.csim else "not-run",
        "RTL": "not-run",
        "synthesis": "not-run",
        "timing": "not-run",
    }


def _report(
    judged: JudgedTrees,
    equality: CheckResult,
    source: str,
    record: FpgaRecord,
    before: tuple[Comparison, ...],
    options: FpgaOptions,
) -> Report:
    checks = (*judged.comparison.checks, equality, moved_check(judged.moved, judged.trees))
    comparison = replace(judged.comparison, checks=checks, figures=(_figure(judged), *judged.comparison.figures))
    why = why_no_vhdl(judged.trees)
    said = [
        *judged.notes,
        *([f"no VHDL: {why}"] if why else []),
        f"source of each figure: {', '.join(f'{name}: {tag}' for name, tag in record.tags.items())}",
    ]
    formats = {str(layer["name"]): str(layer["result"]) for layer in record.layers}
    sides = [SideRecord(name=source, facts={}), SideRecord(name=EMULATED, facts={**record.facts, **formats})]
    comparisons: Sequence[Comparison] = (*before, comparison)
    return Report.of(comparisons, options.tolerance, said, sides)


def _figure(judged: JudgedTrees) -> Figure:
    """Draw the sizes of inputs, thresholds, leaves and sums against what their formats hold."""
    trees, floats = judged.trees, judged.floats
    used, leaf = trees.shape.used, trees.shape.leaf
    low, high = reach(trees.shape, floats.value, floats.start)
    sizes = {
        "inputs": (float(np.abs(judged.seen[used]).max(initial=0.0)), trees.column),
        "thresholds": (float(np.abs(floats.threshold[~leaf]).max(initial=0.0)), trees.column),
        "leaves": (float(np.abs(floats.value[leaf]).max(initial=0.0)), trees.score),
        "sums": (float(max(-low, high)), trees.score),
    }
    places = [float(k) for k in range(len(sizes))]
    largest = [size if size > 0 else math.nan for size, _ in sizes.values()]
    return Figure(
        kind="lines",
        title="Range against format",
        x_label="place",
        y_label="size",
        series=[
            Series(name="largest number that the format holds", x=places, y=[form.largest for _, form in sizes.values()]),
            Series(name="largest number seen or possible", x=places, y=largest),
            Series(name="step of the format", x=places, y=[form.step for _, form in sizes.values()]),
        ],
        log_y=True,
        ticks=list(sizes),
    )
