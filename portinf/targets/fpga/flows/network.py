"""A judged fixed-point network -> the files of its folder: project, C simulation, emulator, float model and report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from platformdirs import user_cache_dir

from portinf.core.batch import Arrays
from portinf.core.errors import CannotError, DisagreementError, RunnerError
from portinf.core.files import sha256
from portinf.core.progress import Progress
from portinf.core.signature import Signature
from portinf.core.versions import installed
from portinf.fixedpoint.casting import to_real
from portinf.fixedpoint.emulator import Emulator
from portinf.fixedpoint.network import Network, save
from portinf.targets.fpga.folder import (
    NETWORK,
    NETWORK_HASH,
    PROJECT_FOLDER,
    REPORT,
    FpgaRecord,
    copy_model,
    network_hash,
    write_record,
)
from portinf.targets.fpga.hardware import Hardware, rows_of, write_rtl
from portinf.targets.fpga.options import CSIM_ROWS, STRATEGY, FpgaOptions
from portinf.targets.fpga.quantize.choose import EMULATED, Judged, headroom, judge
from portinf.targets.fpga.quantize.formats import Range
from portinf.targets.fpga.quantize.layer_errors import layer_check
from portinf.targets.fpga.runners.csim import CSimRunner
from portinf.targets.fpga.tools.compile import LIBRARY, build
from portinf.targets.fpga.tools.hls4ml import write_project
from portinf.validation import CheckResult, Comparison, Figure, Report, Series, SideRecord, write_report

__all__ = ["write_folder"]

ANYWHERE = 100  # of them drawn over all numbers that the inputs' formats hold, and a tenth as many at their ends


def write_folder(
    folder: Path,
    source: str,
    model: Path,
    signature: Signature,
    judged: Judged,
    options: FpgaOptions,
    progress: Progress,
) -> tuple[FpgaRecord, Report]:
    """Write everything; the record comes last.

    Raises:
        CannotError: hls4ml refuses the network, or the C simulation cannot be compiled.
        DisagreementError: the C simulation, where the emulator does not compute the network, is out of tolerance.
        MissingPackageError: hls4ml or the compiler is missing.
    """
    progress("writing the hls4ml project")
    project = folder / PROJECT_FOLDER
    save(judged.network, folder / NETWORK)
    write_project(folder / NETWORK, project, options.project)
    _forget(project, folder)
    copy_model(model, folder)
    judged, equality = _simulated(judged, model, signature, project, options, progress)
    assert judged.comparison is not None
    hardware = write_rtl(folder, judged, signature, options, progress) if options.strategy == STRATEGY else Hardware()
    tags = {**_tags(judged, options, equality), **hardware.tags}
    record = FpgaRecord(
        signature=_with_ranges(signature, judged.ranges),
        library=f"{PROJECT_FOLDER}/{LIBRARY}" if options.csim else None,
        emulated=judged.emulated,
        tolerance=options.tolerance.for_dtype("float32"),
        layers=tuple(_layers(judged.network)),
        facts={**_facts(source, model, options), NETWORK_HASH: network_hash(folder), **hardware.facts},
        tags=tags,
    )
    report = _report(judged, [equality, *hardware.checks], source, record, options)
    for suffix in (".html", ".json"):
        write_report(folder / f"{REPORT}{suffix}", report)
    write_record(folder, record)
    return record, report


def _forget(project: Path, folder: Path) -> None:
    """Take the place of building out of what hls4ml wrote: the folder moves."""
    for path in project.rglob("*"):
        if path.is_file() and path.suffix in (".yml", ".tcl", ".sh", ".cpp", ".h", ".json", ".txt"):
            text = path.read_text(encoding="utf-8", errors="surrogateescape")
            if str(folder) in text:
                path.write_text(text.replace(f"{folder}/", ""), encoding="utf-8", errors="surrogateescape")


def _simulated(
    judged: Judged, model: Path, signature: Signature, project: Path, options: FpgaOptions, progress: Progress
) -> tuple[Judged, CheckResult]:
    """Compile, and hold the C simulation against the emulator; where there is none, against the float model."""
    if not options.csim:
        if not judged.emulated:
            raise CannotError(f"{judged.why_not}: the emulator cannot compute it, and with --no-csim nothing else can")
        return judged, CheckResult(name="C simulation", status="not applicable", text="not run here (--no-csim)")
    progress("compiling the C simulation")
    build(project, options.cache or Path(user_cache_dir("portinf")) / "csim")
    simulation = CSimRunner(project / LIBRARY, judged.network, signature, "FPGA (C simulation)")
    if not judged.emulated:
        return _by_simulation(judged, simulation, model, options, judged.why_not)
    progress("comparing the emulator with the C simulation")
    rows = rows_of(judged.network, judged.samples, CSIM_ROWS - ANYWHERE - ANYWHERE // 10, ANYWHERE)
    count = len(next(iter(rows.values())))
    try:
        simulated = simulation.infer_double(rows)
    except RunnerError as error:
        raise CannotError(f"hls4ml wrote a network that does not run ({error}): try another --io or --strategy") from error
    differing = _differing(simulated, Emulator(judged.network).run(rows))
    if differing:
        return _by_simulation(judged, simulation, model, options, f"the emulator differs in {differing} of {count} rows")
    text = f"equal to the emulation bit for bit on {count:,} rows (measured-csim)"
    return judged, CheckResult(name="C simulation", status="passed", text=text, figures={"rows": count})


def _differing(one: Arrays, two: Arrays) -> int:
    """Return how many rows are not the same."""
    rows = [np.any((one[name] != two[name]).reshape(len(one[name]), -1), axis=1) for name in one]
    return int(np.any(rows, axis=0).sum())


def _by_simulation(
    judged: Judged, simulation: CSimRunner, model: Path, options: FpgaOptions, why: str
) -> tuple[Judged, CheckResult]:
    comparison = judge(model, simulation, judged.read, options.tolerance)
    if comparison.verdict != "equal":
        raise DisagreementError(f"{model}: the C simulation misses the tolerance: {comparison.reason}")
    text = f"the C simulation answers, not the emulator: {why}"
    return replace(judged, emulated=False, comparison=comparison), CheckResult(
        name="C simulation", status="reported", text=text
    )


def _with_ranges(signature: Signature, ranges: Mapping[str, Range]) -> Signature:
    """Return the signature with the inputs' ranges as seen: generated samples stay inside."""
    return replace(
        signature,
        inputs=tuple(replace(spec, low=ranges[spec.name][0], high=ranges[spec.name][1]) for spec in signature.inputs),
    )


def _layers(network: Network) -> list[dict[str, Any]]:
    inputs = [{"name": item.name, "kind": "input", "tensor": item.name, "result": str(item.format)} for item in network.inputs]
    return inputs + [
        {
            "name": layer.name,
            "kind": layer.kind,
            "tensor": layer.origin,
            "result": str(layer.result),
            **{role: str(format) for role, format in layer.formats.items()},
        }
        for layer in network.layers
    ]


def _facts(source: str, model: Path, options: FpgaOptions) -> dict[str, str]:
    versions = installed(("portinf", "hls4ml", "numpy"))
    return {
        "kind": "hls4ml project (Vitis backend)",
        "made from": source,
        "model sha256": sha256(model),
        "precision": options.precision,
        "part": options.part,
        "clock": f"{options.clock:g} ns",
        "strategy": options.strategy,
        "reuse": str(options.reuse),
        "io": "io_stream" if options.stream else "io_parallel",
        "made with": ", ".join(f"{name} {number}" for name, number in versions.items()),
    }


def _tags(judged: Judged, options: FpgaOptions, equality: CheckResult) -> dict[str, str]:
    simulated = "measured-csim" if options.csim else "not-run"
    return {
        "answers": "emulated" if judged.emulated else "measured-csim",
        "C simulation": simulated,
        "RTL": "not-run",
        "synthesis": "not-run",
        "timing": "not-run",
    }


def _report(judged: Judged, equality: Sequence[CheckResult], source: str, record: FpgaRecord, options: FpgaOptions) -> Report:
    assert judged.comparison is not None
    checks, figures = [*equality], []
    if judged.errors:
        found, figure = layer_check(judged.errors)
        checks.append(found)
        figures.append(figure)
    figures.append(_format_figure(judged.network, judged.ranges))
    comparison = replace(
        judged.comparison, checks=(*judged.comparison.checks, *checks), figures=(*figures, *judged.comparison.figures)
    )
    tags = ", ".join(f"{name}: {tag}" for name, tag in record.tags.items())
    said = [*judged.notes, f"source of each figure: {tags}", *_told(options)]
    sides = [SideRecord(name=source, facts={}), SideRecord(name=EMULATED, facts={**record.facts, **_formats(record.layers)})]
    comparisons: Sequence[Comparison] = (*judged.before, comparison)
    return Report.of(comparisons, options.tolerance, said, sides)


def _told(options: FpgaOptions) -> list[str]:
    exact = "accumulators are as wide as the sums need"
    if options.precision != "auto":
        return [f"{exact}; tables of softmax, sigmoid and tanh are sized by the tolerance, not by --precision"]
    return [f"auto: {headroom()}, rounding and saturation of results; {exact}; tables are sized by the tolerance"]


def _formats(layers: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the formats of each layer on one line, by its name."""
    found = {}
    for layer in layers:
        roles = [f"{role} {text}" for role, text in layer.items() if role not in ("name", "kind", "tensor")]
        found[f"layer {layer['name']}"] = ", ".join(roles)
    return found


def _format_figure(network: Network, ranges: Mapping[str, Range]) -> Figure:
    """Draw the range of each input, layer and set of weights against what its format holds."""
    bars: list[tuple[str, float, float, float]] = []
    for name, (low, high) in ranges.items():
        format = network.format_of(name)
        bars.append((name, max(abs(low), abs(high)), format.largest, format.step))
    for layer in network.layers:
        for role in ("weight", "scale", "bias"):
            if role in layer.numbers:
                format = layer.formats[role]
                largest = float(np.abs(to_real(layer.numbers[role], format)).max(initial=0.0))
                bars.append((f"{layer.name} {role}", largest, format.largest, format.step))
    places = [float(k) for k in range(len(bars))]
    return Figure(
        kind="lines",
        title="Range against format",
        x_label="input, layer or weights",
        y_label="size",
        series=[
            Series(name="largest number that the format holds", x=places, y=[bar[2] for bar in bars]),
            Series(name="largest number seen", x=places, y=[bar[1] if bar[1] > 0 else math.nan for bar in bars]),
            Series(name="step of the format", x=places, y=[bar[3] for bar in bars]),
        ],
        log_y=True,
        ticks=[bar[0] for bar in bars],
    )
