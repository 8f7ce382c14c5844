"""From a Keras file of HGQ2 and samples to a folder for an FPGA: its own bits, and equality is required at every step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from portinf.conversion.open_source import open_source
from portinf.conversion.options import SourcingOptions
from portinf.core.batch import Arrays, Batch
from portinf.core.errors import DisagreementError, UsageError
from portinf.core.files import sha256
from portinf.core.optional import available, missing
from portinf.core.progress import Progress
from portinf.core.signature import Signature
from portinf.core.versions import installed
from portinf.targets.fpga.folder import NETWORK, RTL, FpgaRecord, write_record
from portinf.targets.fpga.hardware import Hardware, Logic, hold_rtl, rows_of
from portinf.targets.fpga.options import EXACT, STRATEGY, FpgaOptions
from portinf.targets.fpga.quantize.drawn_rows import filled_up
from portinf.targets.fpga.runners.da4ml import DaisRunner
from portinf.targets.fpga.runners.emulator import load_network
from portinf.targets.fpga.tools.da4ml import LogicOptions
from portinf.targets.fpga.tools.hgq2 import write_hgq
from portinf.validation import (
    CheckResult,
    Comparison,
    PhysicsOptions,
    Report,
    SideRecord,
    compare,
    make_checks,
    write_report,
)

__all__ = ["check_hgq", "write_hgq_folder"]


def check_hgq(options: FpgaOptions) -> None:
    """Refuse what does not fit a model that is quantised already.

    Raises:
        UsageError: another strategy or a precision.
        MissingPackageError: HGQ2 or da4ml is not installed.
    """
    if options.strategy != STRATEGY:
        raise UsageError(f"a model of HGQ2 keeps its own bits: use --strategy {STRATEGY}, found {options.strategy}")
    if options.precision != "auto":
        raise UsageError(f"--precision {options.precision} does not fit a model of HGQ2: its bits were chosen in training")
    for package in ("hgq", "da4ml"):
        if not available(package):
            raise missing(package, "hgq")


def write_hgq_folder(folder: Path, model: Path, options: FpgaOptions, progress: Progress) -> tuple[FpgaRecord, Report]:
    """Write everything; the record comes last.

    Raises:
        DisagreementError: the logic is not equal to the model, bit for bit, or the RTL not to the logic.
        CannotError: da4ml does not lay the model out.
    """
    progress("implementing the model (HGQ2, da4ml)")
    logic_options = LogicOptions(part=options.part, clock=options.clock, hdl=options.hdl)
    figures = write_hgq(model, folder / NETWORK, folder / RTL, logic_options)
    network = load_network(folder)
    rows = {(item.name, 0): "rows" for item in network.inputs}
    sourcing = SourcingOptions(inputs=options.inputs, streams=options.streams, dynamic=rows)
    with open_source(str(model), sourcing, progress) as opened:
        signature = opened.signature
        logic = DaisRunner(folder / RTL, network, signature, "FPGA (da4ml logic)")
        progress("comparing the logic with the model")
        checks = make_checks(PhysicsOptions(), EXACT, batched=True)
        read, filled = filled_up(lambda: iter(opened.given))
        comparison = compare(opened.runner, logic, read(), tolerance=EXACT, signature=signature, checks=checks)
        said, samples = [*opened.notes, *filled], _samples(opened.given)
    if comparison.verdict != "equal":
        raise DisagreementError(f"{model}: the logic differs from the model: {comparison.reason}")
    hardware = Hardware()
    drawn = rows_of(network, samples)
    expected = logic.infer_double(drawn)
    rtl = Logic(network=network, signature=signature, folder=folder / RTL, figures=figures, rows=drawn, expected=expected)
    hold_rtl(hardware, rtl, options, progress)
    hardware.figure("prediction by rule4ml", "not run here (it predicts one precision for all)", "not-run")
    hardware.checks.append(CheckResult(name="hardware figures", status="reported", text=hardware.text()))
    return _record(folder, model, signature, comparison, hardware, options, said)


def _samples(batches: Sequence[Batch]) -> Arrays:
    return {name: np.concatenate([batch.inputs[name] for batch in batches]) for name in batches[0].inputs}


def _record(
    folder: Path,
    model: Path,
    signature: Signature,
    comparison: Comparison,
    hardware: Hardware,
    options: FpgaOptions,
    said: list[str],
) -> tuple[FpgaRecord, Report]:
    versions = installed(("portinf", "HGQ2", "da4ml", "numpy"))
    tags = {"answers": "emulated", "C simulation": "not-run", "RTL": "not-run", "synthesis": "not-run", "timing": "not-run"}
    network = load_network(folder)
    record = FpgaRecord(
        signature=signature,
        library=None,
        emulated=False,
        tolerance=(0.0, 0.0),
        layers=tuple(
            [{"name": item.name, "kind": "input", "tensor": item.name, "result": str(item.format)} for item in network.inputs]
            + [{"name": layer.name, "kind": layer.kind, "tensor": "", "result": str(layer.result)} for layer in network.layers]
        ),
        facts={
            "kind": "da4ml logic of a model of HGQ2",
            "made from": str(model),
            "model sha256": sha256(model),
            "part": options.part,
            "clock": f"{options.clock:g} ns",
            "made with": ", ".join(f"{name} {number}" for name, number in versions.items()),
            **hardware.facts,
        },
        tags={**tags, **hardware.tags},
    )
    notes = [*said, "source of each figure: " + ", ".join(f"{name}: {tag}" for name, tag in record.tags.items())]
    sides = [SideRecord(name=str(model), facts={}), SideRecord(name="FPGA (da4ml logic)", facts=record.facts)]
    report = Report.of([replace(comparison, checks=(*comparison.checks, *hardware.checks))], EXACT, notes, sides)
    for suffix in (".html", ".json"):
        write_report(folder / f"report{suffix}", report)
    write_record(folder, record)
    return record, report
