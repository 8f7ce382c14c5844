"""Folders with a network or boosted trees in fixed point: project, exact emulator, C simulation, report, and their service."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portinf.core.needs import HLS4ML, Check, version_of, wrong
from portinf.targets import Target, TargetResult

if TYPE_CHECKING:
    from portinf.conversion.convert import ConvertOptions
    from portinf.core.batch import Batch
    from portinf.core.progress import Progress
    from portinf.core.signature import Signature
    from portinf.packaging.options import PackageOptions, PackageResult
    from portinf.triton.inspection import Inspection
    from portinf.validation import CheckResult, Figure
    from portinf.validation.side import Side

__all__ = ["TARGET"]


class FpgaTarget(Target):
    """Writes a folder that answers itself; see `portinf.targets.Target`."""

    names = ("hls4ml", "fpga")
    options = "portinf.cli.targets.fpga"
    from_source = True
    verbs = ("validate", "package")
    ways = ("emulator", "csim", "da4ml", "rtl")

    def optimize(self, model: str, out: Path, options: Any, **given: Any) -> TargetResult:
        """Write the folder; see `portinf.targets.fpga.optimize.optimize_fpga`."""
        from portinf.targets.fpga.optimize import optimize_fpga
        from portinf.targets.fpga.options import TOLERANCE

        bounds = given["tolerance"]
        rtol, atol = (TOLERANCE if bound is None else bound for bound in (bounds.rtol, bounds.atol))
        options = replace(
            options, inputs=given["inputs"], streams=given["streams"], tolerance=replace(bounds, rtol=rtol, atol=atol)
        )
        return optimize_fpga(model, out, options, given["progress"])

    def recognizes(self, folder: Path) -> bool:
        """Say whether it wrote a folder."""
        from portinf.targets.fpga.folder import is_fpga_folder

        return is_fpga_folder(folder)

    def signature(self, folder: Path) -> Signature:
        """Return the signature of the float model, with the ranges that were seen."""
        from portinf.targets.fpga.folder import read_record

        return read_record(folder).signature

    def part(self, version: Path) -> Path | None:
        """Return the folder in a version that is its emulation."""
        from portinf.targets.fpga.triton.stage import emulated_part

        return emulated_part(version)

    def open(self, folder: Path, way: str | None, stack: ExitStack) -> Side:
        """Open it; see `portinf.targets.fpga.runners.open_fpga`."""
        from portinf.targets.fpga.folder import read_record
        from portinf.targets.fpga.runners import open_fpga
        from portinf.validation import Tolerance
        from portinf.validation.side import Side

        runner = stack.enter_context(open_fpga(folder, way))
        record = read_record(folder)
        return Side(
            name=str(folder),
            runner=runner,
            signature=record.signature,
            described=True,
            tolerance=Tolerance.of(*record.tolerance),
            to_float=Tolerance.of(*record.tolerance),
            facts={**record.facts, **record.tags},
            target=self.name,
            folder=folder,
        )

    def explain(self, side: Side, batches: Sequence[Batch]) -> tuple[Sequence[CheckResult], Sequence[Figure]]:
        """Return the errors by layer of a network, and how many rows take other leaves of trees, against the float model."""
        import numpy as np

        from portinf.targets.fpga.quantize.layer_errors import layer_check, layer_errors
        from portinf.targets.fpga.runners.emulator import EmulatorRunner
        from portinf.targets.fpga.runners.trees import TreeRunner
        from portinf.targets.fpga.trees.choose import moved, moved_check
        from portinf.targets.fpga.trees.reader import read_trees

        assert side.folder is not None
        model, runner = self.model(side.folder), side.runner
        if isinstance(runner, EmulatorRunner):
            errors = layer_errors(runner, model, batches)
            check, figure = layer_check(errors) if errors else (None, None)
            return ([check] if check else []), ([figure] if figure else [])
        if not isinstance(runner, TreeRunner):
            return (), ()
        trees = runner.emulator.trees
        finite = [b for b in batches[:1] if all(np.isfinite(array).all() for array in b.inputs.values())]  # it refuses others
        floats = read_trees(model, runner.signature)
        return [moved_check(moved(floats, trees, batch.inputs), trees) for batch in finite], ()

    def inspect(self, folder: Path) -> Inspection:
        """Describe it; operators, opset and size are those of the float model, which a folder from HGQ2 does not hold."""
        from portinf.targets.fpga.folder import read_record
        from portinf.targets.fpga.triton.stage import emulation_facts
        from portinf.triton.inspection import Inspection, describe_file

        record = read_record(folder)
        model, facts = self.model(folder), emulation_facts(record)
        by = "the exact emulator" if record.emulated else "the compiled C simulation" if record.library else "da4ml's logic"
        lines = {"kind": f"{facts['kind']}; answered by {by}"}
        if model.is_file() or record.emulated or record.library:
            found = describe_file(model)
            lines["float model"] = "within rtol {:g}, atol {:g}; the lines below describe it".format(*record.tolerance)
        else:
            found = Inspection(place=str(folder), signature=record.signature)
        lines["figures"] = ", ".join(f"{name}: {tag}" for name, tag in record.tags.items())
        return replace(found, signature=record.signature, data={"emulation": facts}, lines=lines)

    def package(self, folder: Path, options: PackageOptions, conversion: ConvertOptions, progress: Progress) -> PackageResult:
        """Package its emulation; see `portinf.targets.fpga.triton.package.package_fpga`."""
        from portinf.targets.fpga.triton.package import package_fpga

        return package_fpga(folder, options, conversion, progress)

    def doctor(self) -> Iterator[Check]:
        """Say whether hls4ml is installed."""
        reason = wrong(HLS4ML)
        yield Check(group="target", name=self.name, works=not reason, detail=reason or f"version {version_of(HLS4ML)}")


TARGET = FpgaTarget()
