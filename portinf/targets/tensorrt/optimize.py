"""From an ONNX file to a folder from which a site builds a TensorRT engine, checks it and serves it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from portinf.conversion.randomness import refuse_random_file
from portinf.core.batch import Batch, check_batch
from portinf.core.errors import CannotError, UsageError
from portinf.core.files import whole_folder
from portinf.core.optional import require
from portinf.core.progress import Progress
from portinf.core.versions import installed, now
from portinf.mixed_precision.lower import Lowered, LowerRequest, Precision, lower
from portinf.onnx_graph.model_file import Artifact, load_proto, read_onnx, write_onnx
from portinf.runners.onnx import OnnxRuntimeRunner
from portinf.samples import StreamOptions
from portinf.samples.case_set import CaseSet
from portinf.targets.tensorrt.engine import MANIFEST, build_here
from portinf.targets.tensorrt.kit_folder import Recorded, check_types, write_site
from portinf.targets.tensorrt.operator_rules import walk
from portinf.targets.tensorrt.operators import Checked, check_operators
from portinf.targets.tensorrt.profiles import Profile, Span, profile_of
from portinf.targets.tensorrt.repository import write_accelerated, write_engine_config
from portinf.targets.tensorrt.requests import record
from portinf.targets.tensorrt.rtx_check import ProxyReport, ask_proxy
from portinf.targets.tensorrt.versions import Version, parse_version
from portinf.triton.config import check_model_name, config_of, safe_name
from portinf.triton.manifest import MODEL
from portinf.triton.releases import Release, release
from portinf.triton.writer import Entry
from portinf.validation import PhysicsOptions, Tolerance
from portinf.validation.batch_independence import choose_batch_size, servable

__all__ = ["TensorrtOptions", "TensorrtResult", "optimize_tensorrt"]

CACHE = "/tmp/portinf-tensorrt-"  # and the name: the server's folder for engines; ONNX Runtime makes one level, no more


@dataclass(frozen=True, kw_only=True)
class TensorrtOptions:
    """What the user chose.

    Attributes:
        tensorrt: version of TensorRT; None for that of the release.
        release: of Triton; None where only the version counts, and then no accelerator is configured.
        precision: of the graph.
        physics: metrics that decide about the precision beside the tolerance.
        max_batch_size: None for 64 where the rows are verified independent, else 0.
        spans: shapes by axis label that come before the rule.
        name: of the model in the repository; None for the stem of the file.
        check: run the proxy.
        build: run the kit here.
        cache: start of the name of the server's folder for the engines that ONNX Runtime builds; the model's name follows.
    """

    tensorrt: str | None = None
    release: str | None = None
    precision: Literal["fp32"] | Precision = "fp32"
    physics: PhysicsOptions = field(default_factory=PhysicsOptions)
    max_batch_size: int | None = None
    spans: Mapping[str, Span] = field(default_factory=dict)
    name: str | None = None
    check: bool = False
    build: bool = False
    cache: str = CACHE


@dataclass(frozen=True, kw_only=True)
class TensorrtResult:
    """What was written, and what is not known before an engine was built from it.

    Attributes:
        folder: what was written.
        name: of the model.
        version, release: for which it was written.
        precision: of the graph.
        max_batch_size, batching: of the configuration, and the reason.
        profile: shapes of the engine.
        checked: the tables that the operators were checked against.
        recorded: number of requests that the engine must answer.
        lowered: what became of the precision; None for fp32.
        proxy: the proxy's result; None where it was not run.
        built: the kit ran here.
        notes: on the folder.
    """

    folder: Path
    name: str
    version: Version
    release: str | None
    precision: str
    max_batch_size: int
    batching: str
    profile: Profile
    checked: Checked
    recorded: int
    lowered: Lowered | None
    proxy: ProxyReport | None
    built: bool
    notes: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "output": str(self.folder),
            "name": self.name,
            "tensorrt": str(self.version),
            "release": self.release,
            "precision": self.precision,
            "max_batch_size": self.max_batch_size,
            "batching": self.batching,
            "shapes": {which: self.profile.text(which) for which in ("min", "opt", "max")},
            "ranges": {label: str(span) for label, span in self.profile.spans.items()},
            "operators": list(self.checked.sources),
            "recorded": self.recorded,
            "lowered": self.lowered and self.lowered.to_json(),
            "proxy": self.proxy and self.proxy.to_json(),
            "engine": "built" if self.built else "not built",
            "notes": list(self.notes),
        }


def optimize_tensorrt(
    model: Path,
    out: Path,
    options: TensorrtOptions,
    *,
    inputs: Sequence[Path] = (),
    streams: StreamOptions | None = None,
    tolerance: Tolerance,
    progress: Progress = lambda _: None,
) -> TensorrtResult:
    """Write the folder.

    Args:
        model: the ONNX file.
        out: the folder to write; must not exist yet, or be empty.
        options: see there.
        inputs: files with samples: they give the shapes, the recorded requests and the test of independent rows.
        streams: how the files' columns become inputs.
        tolerance: of the engine's answers, and of the test of independent rows except for a lower precision.
        progress: called with each step.

    Raises:
        UsageError: an option does not fit; ``out`` holds something.
        CannotError: TensorRT cannot run the model, or would run it wrongly; the engine could not be built here.
        DisagreementError: the lower precision does not hold the tolerance, or the engine's answers differ.
    """
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise UsageError(f"{out}: exists; name a folder that is not there yet")
    job = _prepared(model, options, inputs, streams or StreamOptions(), tolerance, progress)
    with whole_folder(out) as work:
        result = _filled(job, work, out)
    if not options.build:
        return result
    build_here(out, progress)
    return replace(result, built=True)


@dataclass(frozen=True, kw_only=True)
class _Job:
    """All that is known before anything is written."""

    model: Path
    artifact: Artifact
    options: TensorrtOptions
    tolerance: Tolerance
    progress: Progress
    row: Release | None
    version: Version
    name: str
    cases: CaseSet
    samples: Sequence[Batch]
    max_batch_size: int
    batching: str
    profile: Profile
    said: Sequence[str]


def _prepared(
    model: Path,
    options: TensorrtOptions,
    inputs: Sequence[Path],
    streams: StreamOptions,
    tolerance: Tolerance,
    progress: Progress,
) -> _Job:
    """Refuse what cannot be done, and choose batch size and shapes."""
    row, version = _versions(options)
    if options.precision == "bf16" and version.major < 10:
        raise CannotError(f"--precision bf16: TensorRT {version} has no bfloat16; take fp16, or TensorRT 10 or newer")
    artifact = read_onnx(model)
    refuse_random_file(model)
    place = model.resolve().parent
    stem = place.parent.name if model.name == MODEL and place.name.isdigit() else model.stem  # of a packaged model its name
    name = check_model_name(options.name) if options.name is not None else safe_name(stem)
    with OnnxRuntimeRunner(model):
        progress(f"opened {model}")  # a damaged file is refused here
    check_operators(_typed(model), version, str(model))
    said = check_types(artifact.signature, version)
    cases = CaseSet.of_files(artifact.signature, inputs, streams, columns=options.physics.columns)
    given = cases.given
    strict = tolerance if options.precision == "fp32" else Tolerance()  # a lower precision's bound would hide an influence
    with OnnxRuntimeRunner(artifact.path, name="the model") as runner:
        size, why = choose_batch_size(runner, artifact.signature, given, options.max_batch_size, strict, str(model), progress)
    config_of(name, artifact.signature, size)  # types and ranks, before the costly steps
    samples = [replace(batch, expected=None) for batch in servable(given, size)]
    lengths = [check_batch(artifact.signature, batch) for batch in samples]
    profile = profile_of(artifact.signature, lengths, size, options.spans)
    return _Job(
        model=model,
        artifact=artifact,
        options=options,
        tolerance=tolerance,
        progress=progress,
        row=row,
        version=version,
        name=name,
        cases=cases,
        samples=samples,
        max_batch_size=size,
        batching=why,
        profile=profile,
        said=[*said, *cases.notes, *_guesses(profile)],
    )


def _filled(job: _Job, work: Path, out: Path) -> TensorrtResult:
    """Write everything into a folder and return notes on it."""
    options, model, precision = job.options, job.model, job.options.precision
    written, lowered = _write_model(job, work)
    checked = check_operators(_typed(written.path), job.version, f"{model} in {precision}")
    proxy = ask_proxy(written.path, job.profile, _blind(written)) if options.check else None
    if proxy is not None and proxy.verdict == "refuses":
        raise CannotError(f"{model}: {proxy.text()}")
    job.progress("recording the answers that the engine must reproduce")
    recorded, left_out = record(model, job.artifact.signature, job.samples, job.profile, job.tolerance)
    write_site(work, name=job.name, version=job.version, precision=precision, profile=job.profile, recorded=recorded)
    write_engine_config(work, job.name, job.artifact.signature, job.max_batch_size, job.version)
    said = _write_accelerated(job, work, written, recorded, lowered)
    result = TensorrtResult(
        folder=out,
        name=job.name,
        version=job.version,
        release=options.release,
        precision=precision,
        max_batch_size=job.max_batch_size,
        batching=job.batching,
        profile=job.profile,
        checked=checked,
        recorded=len(recorded),
        lowered=lowered,
        proxy=proxy,
        built=False,
        notes=[*job.said, *said, *(lowered.notes if lowered else ()), *checked.notes, *left_out],
    )
    _write_manifest(work, result, written)
    return result


def _write_accelerated(
    job: _Job, work: Path, written: Artifact, recorded: Sequence[Recorded], lowered: Lowered | None
) -> list[str]:
    if job.row is None:
        return [
            "no Triton release given: no configuration of the ONNX Runtime accelerator was written; --triton-release adds it"
        ]
    entry = Entry(
        name=job.name,
        artifact=written,
        max_batch_size=job.max_batch_size,
        goldens=[one.batch for one in recorded],
        tolerance={"rtol": job.tolerance.rtol, "atol": job.tolerance.atol},
        validation=lowered.comparison.to_json() if lowered else None,
        batching=job.batching,
        options={"target": "tensorrt", "release": job.row.name, "precision": job.options.precision},
    )
    return write_accelerated(work, entry, job.row, job.version, job.profile, job.options.precision, job.options.cache)


def _versions(options: TensorrtOptions) -> tuple[Release | None, Version]:
    row = release(options.release) if options.release is not None else None
    asked = parse_version(options.tensorrt) if options.tensorrt is not None else None
    if row is None and asked is None:
        raise UsageError("--target tensorrt requires --triton-release YY.MM or --tensorrt VERSION")
    if row is None or row.tensorrt is None:
        if asked is None:
            raise CannotError(
                f"Triton {options.release}: the TensorRT version of this release is unknown; add --tensorrt VERSION "
                "(in the container: echo $TRT_VERSION)"
            )
        return row, asked
    known = parse_version(row.tensorrt)
    if asked is not None and asked != known:
        raise UsageError(
            f"--tensorrt {asked}: Triton {row.name} holds TensorRT {row.tensorrt}; leave one of the two options out"
        )
    return row, known


def _typed(path: Path) -> Any:
    """Parse a file and add what types can be inferred; a file whose types cannot be inferred stays as it is."""
    proto = load_proto(path)
    try:
        return require("onnx.shape_inference", "").infer_shapes(proto)
    except Exception:  # noqa: BLE001 (inference is a help for the notes, and no judge)
        return proto


def _guesses(profile: Profile) -> list[str]:
    guessed = {label: span for label, span in profile.spans.items() if span.guessed}
    if not guessed:
        return []
    shown = ", ".join(f"{label}={span}" for label, span in guessed.items())
    return [
        f"the samples do not show the lengths of these axes, so defaults were used: {shown}; set them with --inputs or --axis-range"
    ]


def _write_model(job: _Job, work: Path) -> tuple[Artifact, Lowered | None]:
    out, signature, options = work / MODEL, job.artifact.signature, job.options
    if options.precision == "fp32":
        return write_onnx(load_proto(job.model), job.model, out, signature, job.artifact.provenance), None
    request = LowerRequest(
        precision=options.precision,
        flavour="tensorrt",
        batches=job.cases,
        tolerance=job.tolerance,
        physics=options.physics,
    )
    lowered = lower(job.model, out, request, job.progress)
    return read_onnx(out), lowered


def _blind(artifact: Artifact) -> bool:
    if "NonZero" in artifact.operators:
        return True
    nodes = walk(load_proto(artifact.path).graph)
    return any(
        node.op_type == "ScatterElements" and any(a.name == "reduction" and a.s != b"none" for a in node.attribute)
        for node, _ in nodes
    )


def _write_manifest(work: Path, result: TensorrtResult, written: Artifact) -> None:
    record = {
        "schema": 1,
        "created": now(),
        "versions": installed(),
        **{key: value for key, value in result.to_json().items() if key not in ("output", "engine")},
        "files": dict(written.files),
        "signature": written.signature.to_json(),
        "engine": "not built when this was written: repository/*/1/engine.json says what became of it",
    }
    (work / MANIFEST).write_text(json.dumps(record, indent=1, default=str) + "\n", encoding="utf-8")
