"""A name on the command line -> something that can be compared: a source, an ONNX file, a packaged model, an endpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType

from portinf.core.batch import Array, Arrays, Batch, load_goldens
from portinf.core.errors import RunnerError, UnreadableError
from portinf.core.signature import Signature
from portinf.locate.opening import is_endpoint, open_runner
from portinf.onnx_graph.model_file import Artifact, read_onnx
from portinf.runners import Runner
from portinf.runners.onnx import GraphLevel, OnnxRuntimeRunner
from portinf.sources.detect import detect
from portinf.targets.fpga.folder import KIND, named_way, read_record
from portinf.targets.fpga.runners import open_fpga
from portinf.targets.fpga.triton.stage import damaged, declared_tolerance, emulated_part
from portinf.triton.manifest import CONFIG, GOLDENS, MANIFEST, MODEL, read_manifest, verify, version_folders
from portinf.validation import Tolerance

__all__ = ["OnnxOptions", "Recorded", "Side", "open_side"]


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side of a comparison.

    Attributes:
        name: as the user gave it.
        runner: answers; None for a source, which is opened once the samples are known.
        signature: from portinf's metadata, the graph or the server; None for a source.
        described: the signature comes with labels and roles (an ONNX file, a package), not from a server's shapes alone.
        recorded: goldens of a packaged model.
        tolerance: that a packaged model was judged with; None elsewhere.
        made_for: tolerance to the float model, of a network for an FPGA in whatever form.
        notes: what is wrong with the files.
        endpoint: it is a live server.
        facts: what a report says of where it came from.
        onnx: the ONNX file that it runs; None for a source and an endpoint.
        version: of a packaged model.
        fpga: the folder, of a network for an FPGA.
    """

    name: str
    runner: Runner | None = None
    signature: Signature | None = None
    described: bool = False
    recorded: Sequence[Batch] = ()
    tolerance: Tolerance | None = None
    made_for: Tolerance | None = None
    notes: Sequence[str] = ()
    endpoint: bool = False
    facts: Mapping[str, str] = field(default_factory=dict)
    onnx: Path | None = None
    version: int | None = None
    fpga: Path | None = None

    @property
    def is_source(self) -> bool:
        """Whether it is a source that has still to be opened."""
        return self.runner is None


@dataclass(frozen=True, kw_only=True)
class OnnxOptions:
    """How ONNX files are run.

    Attributes:
        provider: execution provider of ONNX Runtime, by its full or short name.
        level: how far ONNX Runtime may rewrite the graph.
        threads: intra-op threads; 0 lets ONNX Runtime choose.
    """

    provider: str = "cpu"
    level: GraphLevel = "all"
    threads: int = 0

    def open(self, path: Path) -> OnnxRuntimeRunner:
        """Open a file."""
        return OnnxRuntimeRunner(path, level=self.level, provider=self.provider, threads=self.threads)


class Recorded:
    """A file of recorded outputs: it answers to nothing but its own inputs, which the comparison reads from the batches."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.signature = Signature(inputs=(), outputs=())

    def infer(self, inputs: Mapping[str, Array]) -> Arrays:
        """Refuse; see `portinf.runners.protocol.Runner.infer`."""
        raise RunnerError(f"{self.name}: recorded outputs cannot be used with new inputs")

    def __enter__(self) -> Recorded:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None


def open_side(name: str, stack: ExitStack, options: OnnxOptions | None = None) -> Side:
    """Open one side; what it holds is closed with ``stack``.

    Args:
        name: a path, ``file.py:factory``, ``package.module:factory``, the address of a live model, or a file of goldens; behind
            a folder for an FPGA may stand who answers for it, as in ``DIR@rtl``.
        stack: takes the runner.
        options: how an ONNX file is run; None for the CPU.

    Raises:
        PortinfError: it cannot be read, or does not answer.
    """
    if is_endpoint(name):
        return _endpoint(name, stack.enter_context(open_runner(name)))
    options = options or OnnxOptions()
    fixed = named_way(name)
    if fixed is not None:
        return _fpga(name, *fixed, stack)
    folder = _version_folder(Path(name))
    part = None if folder is None else emulated_part(folder)
    if folder is not None and part is not None:
        return _packaged_fpga(name, folder, part, stack)
    if folder is not None:
        return _packaged(name, folder, stack, options)
    if name.endswith(".npz") and Path(name).is_file():
        recorded = load_goldens(Path(name))
        return Side(name=name, runner=Recorded(name), recorded=recorded, facts={"kind": f"{len(recorded)} recorded answers"})
    if detect(name).format == "onnx":
        runner = stack.enter_context(options.open(Path(name)))
        facts = _onnx_facts(read_onnx(Path(name)))
        return Side(name=name, runner=runner, signature=runner.signature, described=True, facts=facts, onnx=Path(name))
    return Side(name=name, facts={"kind": f"source ({detect(name).format})"})


def _endpoint(name: str, runner: Runner) -> Side:
    parameters: Mapping[str, str] = getattr(runner, "parameters", {})
    bounds = declared_tolerance(parameters)
    kind = "live endpoint" if bounds is None else f"live endpoint: {parameters.get('portinf_kind', 'emulation of an FPGA')}"
    made_for = None if bounds is None else Tolerance.of(*bounds)
    return Side(name=name, runner=runner, signature=runner.signature, endpoint=True, facts={"kind": kind}, made_for=made_for)


def _fpga(name: str, folder: Path, way: str | None, stack: ExitStack) -> Side:
    """Open the folder of a network for an FPGA."""
    runner: Runner = open_fpga(folder, way)
    stack.enter_context(runner)
    record = read_record(folder)
    return Side(
        name=name,
        runner=runner,
        signature=record.signature,
        described=True,
        tolerance=Tolerance.of(*record.tolerance),
        made_for=Tolerance.of(*record.tolerance),
        facts={**record.facts, **record.tags},
        fpga=folder,
    )


def _packaged_fpga(name: str, folder: Path, part: Path, stack: ExitStack) -> Side:
    """Open a packaged version that is the emulation of an FPGA; its goldens are exact."""
    manifest = read_manifest(folder)
    try:
        side = _fpga(str(part), part, None, stack)
        recorded = load_goldens(folder / GOLDENS)
    except UnreadableError as error:
        raise damaged(folder, error) from error
    packaged = {"kind": KIND, "packaged": f"{manifest.name}, version {manifest.version}, {manifest.created}"}
    return replace(
        side,
        name=name,
        signature=manifest.signature,
        recorded=recorded,
        tolerance=Tolerance.of(manifest.tolerance.get("rtol"), manifest.tolerance.get("atol")),
        notes=verify(folder),
        version=manifest.version,
        facts={**side.facts, **packaged},
    )


def _onnx_facts(artifact: Artifact) -> dict[str, str]:
    """Say what an ONNX file is and where it came from, as far as its metadata records it."""
    origin = artifact.provenance
    named = {
        "made from": origin.get("source"),
        "source sha256": origin.get("source_sha256"),
        "route": origin.get("route"),
        "made at": origin.get("created"),
        "made with": ", ".join(f"{name} {number}" for name, number in (origin.get("versions") or {}).items()),
    }
    head = {
        "kind": f"ONNX file, opset {artifact.opset}, IR {artifact.ir_version}",
        "sha256": next(iter(artifact.files.values())),
    }
    return {**head, **{name: str(value) for name, value in named.items() if value}}


def _version_folder(path: Path) -> Path | None:
    """Return the version folder meant, itself or the newest of a packaged model; None for anything else."""
    if not path.is_dir() or (path / "saved_model.pb").is_file():
        return None
    if (path / MODEL).is_file() or emulated_part(path) is not None:
        return path
    versions = list(version_folders(path).values())
    if not versions and not (path / CONFIG).is_file():
        return None
    if not versions:
        raise UnreadableError(f"{path}: not a packaged model: expected a version such as 1/{MODEL} in it, found none")
    if not (versions[-1] / MODEL).is_file() and emulated_part(versions[-1]) is None:
        raise UnreadableError(f"{versions[-1]}: no {MODEL} in it: the newest version is not complete; package it again")
    return versions[-1]


def _packaged(name: str, folder: Path, stack: ExitStack, options: OnnxOptions) -> Side:
    path = folder / MODEL
    runner = stack.enter_context(options.open(path))
    manifest = read_manifest(folder) if (folder / MANIFEST).is_file() else None
    recorded = load_goldens(folder / GOLDENS) if (folder / GOLDENS).is_file() else []
    artifact = read_onnx(path)
    bounds = manifest.tolerance if manifest is not None else None
    return Side(
        name=name,
        runner=runner,
        signature=manifest.signature if manifest is not None else artifact.signature,
        described=True,
        recorded=recorded,
        tolerance=None if bounds is None else Tolerance.of(bounds.get("rtol"), bounds.get("atol")),
        notes=verify(folder) if manifest is not None else [],
        onnx=path,
        version=manifest.version if manifest is not None else None,
        facts={
            **_onnx_facts(artifact),
            **({} if manifest is None else {"packaged": f"{manifest.name}, version {manifest.version}, {manifest.created}"}),
        },
    )
