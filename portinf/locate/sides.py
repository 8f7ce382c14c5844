"""What a text of the command line names -> one side of a comparison, opened."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from portinf.core.batch import Array, Arrays, load_goldens
from portinf.core.errors import RunnerError, UnreadableError
from portinf.core.signature import Signature
from portinf.locate.resolve import ModelRef
from portinf.onnx_graph.model_file import Artifact, read_onnx
from portinf.runners import Runner, RunnerInfo
from portinf.runners.endpoint.runner import EndpointRunner
from portinf.runners.onnx import GraphLevel, OnnxRuntimeRunner
from portinf.triton.config import declared_tolerance
from portinf.triton.manifest import GOLDENS, MANIFEST, MODEL, damaged, read_manifest, verify
from portinf.validation import Tolerance
from portinf.validation.side import Side

__all__ = ["OnnxOptions", "Recorded", "open_side"]


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

    info = RunnerInfo()

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


def open_side(ref: ModelRef, stack: ExitStack, options: OnnxOptions | None = None) -> Side:
    """Open one side; what it holds is closed with ``stack``.

    Args:
        ref: what the user named.
        stack: takes the runner.
        options: how an ONNX file is run; None for the CPU.

    Raises:
        PortinfError: it cannot be read, or does not answer.
    """
    if ref.kind == "endpoint":
        return _endpoint(ref.text, stack.enter_context(EndpointRunner(ref.text)))
    if ref.kind == "version":
        return _packaged(ref, stack, options or OnnxOptions())
    if ref.target is not None and ref.folder is not None:
        return replace(ref.target.open(ref.folder, ref.way, stack), name=ref.text)
    if ref.kind == "goldens" and ref.path is not None:
        recorded = load_goldens(ref.path)
        facts = {"kind": f"{len(recorded)} recorded answers"}
        return Side(name=ref.text, runner=Recorded(ref.text), recorded=recorded, facts=facts)
    if ref.kind == "onnx" and ref.path is not None:
        return _onnx(ref.text, ref.path, stack, options or OnnxOptions())
    return Side(name=ref.text, facts={"kind": f"source ({ref.format})"})


def _endpoint(name: str, runner: Runner) -> Side:
    parameters = runner.info.parameters
    bounds = declared_tolerance(parameters)
    kind = "live endpoint" if bounds is None else f"live endpoint: {parameters.get('portinf_kind', 'an emulation')}"
    to_float = None if bounds is None else Tolerance.of(*bounds)
    return Side(name=name, runner=runner, signature=runner.signature, endpoint=True, facts={"kind": kind}, to_float=to_float)


def _onnx(name: str, path: Path, stack: ExitStack, options: OnnxOptions) -> Side:
    runner = stack.enter_context(options.open(path))
    artifact = read_onnx(path)
    facts = _onnx_facts(artifact)
    return Side(name=name, runner=runner, signature=artifact.signature, described=True, facts=facts, onnx=path)


def _packaged(ref: ModelRef, stack: ExitStack, options: OnnxOptions) -> Side:
    """Open a packaged version: its ONNX file, or the folder of a target in it; a version of others has no manifest."""
    folder = ref.path
    assert folder is not None
    if ref.target is None or ref.folder is None:
        side = _onnx(ref.text, folder / MODEL, stack, options)
        recorded = load_goldens(folder / GOLDENS) if (folder / GOLDENS).is_file() else []
    else:
        try:
            side = replace(ref.target.open(ref.folder, None, stack), name=ref.text)
            recorded = load_goldens(folder / GOLDENS)
        except UnreadableError as error:
            raise damaged(folder, error) from error
    if ref.target is None and not (folder / MANIFEST).is_file():
        return replace(side, recorded=recorded)
    manifest = read_manifest(folder)
    kind = {"kind": str(manifest.emulation["kind"])} if manifest.emulation else {}
    return replace(
        side,
        signature=manifest.signature,
        recorded=recorded,
        tolerance=Tolerance.of(manifest.tolerance.get("rtol"), manifest.tolerance.get("atol")),
        notes=verify(folder),
        version=manifest.version,
        facts={**side.facts, **kind, "packaged": f"{manifest.name}, version {manifest.version}, {manifest.created}"},
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
