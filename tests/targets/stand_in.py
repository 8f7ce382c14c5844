"""A target in one module: it writes a folder with a copy of the model, and lets ONNX Runtime answer for it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import cloup

from portinf.conversion.convert import ConvertOptions
from portinf.core.batch import Batch
from portinf.core.needs import Check
from portinf.core.progress import Progress
from portinf.onnx_graph.model_file import read_onnx
from portinf.packaging.options import PackageOptions, PackageResult
from portinf.packaging.package_onnx import package_onnx
from portinf.runners.onnx import OnnxRuntimeRunner
from portinf.samples.case_set import CaseSet
from portinf.targets import Target
from portinf.triton.inspection import Inspection, describe_file
from portinf.validation import CheckResult, Figure, Tolerance
from portinf.validation.side import Side


@dataclass(frozen=True, kw_only=True)
class Written:
    """What the target wrote."""

    folder: Path
    colour: str
    notes: Sequence[str] = ("a stand-in",)

    def to_json(self) -> dict[str, Any]:
        return {"output": str(self.folder), "colour": self.colour}


class StandIn(Target):
    """See the module."""

    names = ("stand-in",)
    options = __name__
    verbs = ("validate", "package")
    ways = ("quickly",)

    def optimize(self, model: str, out: Path, options: Any, **given: Any) -> Written:
        out.mkdir()
        shutil.copyfile(model, out / "model.onnx")
        (out / "colour.txt").write_text(options)
        return Written(folder=out, colour=options)

    def recognizes(self, folder: Path) -> bool:
        return (folder / "colour.txt").is_file()

    def open(self, folder: Path, way: str | None, stack: ExitStack) -> Side:
        runner = stack.enter_context(OnnxRuntimeRunner(self.model(folder)))
        facts = {"kind": f"stand-in {way or 'slowly'}"}
        side = Side(name=str(folder), runner=runner, signature=runner.signature, described=True, facts=facts)
        return replace(side, tolerance=Tolerance.of(0.5, 0.5), target=self.name, folder=folder)

    def explain(self, side: Side, batches: Sequence[Batch]) -> tuple[Sequence[CheckResult], Sequence[Figure]]:
        return [CheckResult(name="colour", status="reported", text=f"{len(batches)} batches")], ()

    def inspect(self, folder: Path) -> Inspection:
        colour = (folder / "colour.txt").read_text()
        return replace(describe_file(self.model(folder)), data={"colour": colour}, lines={"colour": colour})

    def package(self, folder: Path, options: PackageOptions, conversion: ConvertOptions, progress: Progress) -> PackageResult:
        artifact = read_onnx(self.model(folder))
        return package_onnx(artifact, CaseSet(artifact.signature), replace(options, name="stood_in"), progress=progress)

    def doctor(self) -> Iterator[Check]:
        yield Check(group="target", name=self.name, works=True, detail="always stands in")


TARGET = StandIn()


GROUPS = ("Stand-in",)
OPTIONS = cloup.option_group(GROUPS[0], click.option("--colour", default="grey", help="Its colour."))


def read(given: Mapping[str, Any]) -> str:
    return str(given["colour"])


def lines(result: Written) -> Iterator[str]:
    yield f"{result.folder}: {result.colour}"
