"""The targets of ``portinf optimize``: each is a package of its own, found by one line in a table."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from portinf.core.errors import UsageError

if TYPE_CHECKING:
    from portinf.conversion.convert import ConvertOptions
    from portinf.core.batch import Batch
    from portinf.core.needs import Check
    from portinf.core.progress import Progress
    from portinf.core.signature import Signature
    from portinf.packaging.options import PackageOptions, PackageResult
    from portinf.triton.inspection import Inspection
    from portinf.validation import CheckResult, Figure
    from portinf.validation.side import Side

__all__ = ["TARGETS", "Target", "TargetResult", "find_target", "targets"]

# package -> "module:attribute" of the target, imported when it is needed
TARGETS: dict[str, str] = {
    "onnxruntime": "portinf.targets.onnxruntime:TARGET",
    "tensorrt": "portinf.targets.tensorrt:TARGET",
    "fpga": "portinf.targets.fpga:TARGET",
}


class TargetResult(Protocol):
    """What ``portinf optimize`` wrote, whatever the target."""

    @property
    def notes(self) -> Sequence[str]:
        """What the user should know."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        ...


class Target:
    """One target. What a target does not override, it does not have: folders, versions of its own, runners of its own.

    Importing its module imports nothing heavy: ``portinf doctor`` imports every target.

    Attributes:
        names: as ``--target`` takes it; the first is shown.
        options: module with its options of the command line, see `portinf.cli.optimize`.
        from_source: ``portinf optimize`` takes a source as well, and converts it.
        verbs: what takes a folder that it wrote, beside inspect and sample: ``validate``, ``package``.
        ways: backends of such a folder, as in ``DIR@WAY``.
    """

    names: tuple[str, ...] = ()
    options: str = ""
    from_source: bool = False
    verbs: tuple[str, ...] = ()
    ways: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As messages call it."""
        return self.names[0]

    def optimize(self, model: str, out: Path, options: Any, **given: Any) -> TargetResult:
        """Write a file or a folder for this target.

        Args:
            model: path of an ONNX file, or a source where `from_source` says so.
            out: where to write.
            options: what ``read`` of its module of options made.
            given: ``inputs`` (files with samples), ``streams`` (how their columns become inputs), ``tolerance`` and ``progress``.
        """
        raise NotImplementedError

    def recognizes(self, folder: Path) -> bool:
        """Say whether it wrote a folder."""
        return False

    def model(self, folder: Path) -> Path:
        """Return the ONNX file in a folder that it wrote."""
        return folder / "model.onnx"

    def signature(self, folder: Path) -> Signature:
        """Return the signature of a folder that it wrote."""
        from portinf.onnx_graph.model_file import read_onnx

        return read_onnx(self.model(folder)).signature

    def part(self, version: Path) -> Path | None:
        """Return its folder inside a packaged version that answers by it; None for any other version."""
        return None

    def holds(self, version: Path) -> str:
        """Say what a version of a Triton repository holds that no verb can open; empty where that is not of this target."""
        return ""

    def open(self, folder: Path, way: str | None, stack: ExitStack) -> Side:
        """Open a folder that it wrote as one side of a comparison; what it holds is closed with ``stack``."""
        raise NotImplementedError

    def explain(self, side: Side, batches: Sequence[Batch]) -> tuple[Sequence[CheckResult], Sequence[Figure]]:
        """Return checks and figures on the errors of such a side, besides those of its outputs."""
        return (), ()

    def inspect(self, folder: Path) -> Inspection:
        """Describe a folder that it wrote."""
        raise NotImplementedError

    def package(self, folder: Path, options: PackageOptions, conversion: ConvertOptions, progress: Progress) -> PackageResult:
        """Put a folder that it wrote into a model repository, as one judged version."""
        raise NotImplementedError

    def doctor(self) -> Iterator[Check]:
        """Say what of it works on this machine."""
        raise NotImplementedError


def targets() -> list[Target]:
    """Return all targets, in the order of the table."""
    found = []
    for place in TARGETS.values():
        module, _, attribute = place.partition(":")
        found.append(getattr(importlib.import_module(module), attribute))
    return found


def find_target(name: str) -> Target:
    """Return the target of a name.

    Raises:
        UsageError: there is none.
    """
    known = targets()
    for target in known:
        if name in target.names:
            return target
    raise UsageError(f"--target {name}: no such target; there are: {', '.join(target.name for target in known)}")
