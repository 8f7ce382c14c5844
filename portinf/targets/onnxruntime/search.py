"""Rewritings, precisions, graph levels, threads and providers, each timed beside the original -> the fastest that still holds."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from portinf.conversion.randomness import refuse_random_file
from portinf.core.batch import Array, Arrays, Batch
from portinf.core.errors import CannotError, DisagreementError, PortinfError, UsageError, first_line
from portinf.core.optional import require
from portinf.core.progress import Progress
from portinf.mixed_precision.lower import LowerRequest, Precision, lower
from portinf.onnx_graph.model_file import Artifact, load_proto, read_onnx, write_onnx
from portinf.runners.float64 import Float64
from portinf.runners.onnx import GraphLevel, OnnxRuntimeRunner
from portinf.samples import StreamOptions
from portinf.samples.case_set import CaseSet
from portinf.targets.onnxruntime.optimize import original, rewritten
from portinf.targets.onnxruntime.timing import in_turns, timing_batch
from portinf.validation import Comparison, PhysicsOptions, Tolerance, compare, make_checks

__all__ = ["SearchResult", "Setting", "Tried", "search"]

PRECISIONS: tuple[Precision, ...] = ("fp16", "bf16", "int8")
LEVELS: tuple[GraphLevel, ...] = ("extended", "basic", "none")  # beside "all", for the fastest files
LEVELLED = 2  # files whose other graph levels are tried
WORTH = 1.05  # times faster than the original: less is not worth another file
ALIKE = 0.9  # of the fastest's speed: less is slower, however wide the spread
ORIGINAL = "original"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One way to run the model.

    Attributes:
        file: what was made of the model, ``original`` for nothing.
        threads: intra-op threads.
        level: how far ONNX Runtime may rewrite the graph.
        provider: execution provider.
    """

    file: str
    threads: int
    level: GraphLevel = "all"
    provider: str = "cpu"

    def __str__(self) -> str:
        threads = f"{self.threads} thread{'s' * (self.threads != 1)}"
        return f"{self.file}, {threads}, graph level {self.level}, {self.provider}"


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What became of a setting.

    Attributes:
        setting: it.
        holds: its answers are within the tolerance and no check failed.
        error: largest share of the tolerance that an element of the samples uses up; above 1 it does not hold.
        text: the comparison in one line, or why it was not made.
        seconds: median of one request of the largest sample; 0 where it was not timed.
        faster: median, over the pairs, of the original's time over its own; 0 where it was not timed.
        spread: quartiles of that ratio.
        front: no other setting that holds is both faster and closer to the original.
    """

    setting: Setting
    holds: bool
    text: str
    error: float = 0.0
    seconds: float = 0.0
    faster: float = 0.0
    spread: tuple[float, float] = (0.0, 0.0)
    front: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """The result.

    Attributes:
        artifact: the file written.
        rows: all settings, the fastest first; what does not hold or could not be made last.
        pick: the setting chosen.
        reason: why.
        comparison: comparison of the pick with the original on all samples; None where the original itself was picked as it is.
        notes: how the samples were read, what the file needs.
    """

    artifact: Artifact
    rows: Sequence[Tried]
    pick: Tried
    reason: str
    comparison: Comparison | None
    notes: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "output": str(self.artifact.path),
            "files": dict(self.artifact.files),
            "pick": self.pick.to_json(),
            "reason": self.reason,
            "rows": [row.to_json() for row in self.rows],
            "notes": list(self.notes),
            "validation": self.comparison and self.comparison.to_json(),
        }


@dataclass(kw_only=True)
class _Files:
    """Files that were made, by name, and why others were not."""

    made: dict[str, Path]
    reassociated: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)


def search(
    model: Path,
    out: Path,
    *,
    inputs: Sequence[Path],
    streams: StreamOptions | None = None,
    tolerance: Tolerance,
    physics: PhysicsOptions | None = None,
    threads: int = 0,
    precisions: Sequence[Precision] = PRECISIONS,
    progress: Progress = lambda _: None,
) -> SearchResult:
    """Try the settings and write the file of the best one.

    Every setting is timed in turns with the original, as ONNX Runtime runs that by itself on the same number of threads or more,
    on the largest sample. The choice is the closest to the original among those whose times cannot be distinguished from the fastest's (of
    equally near ones that with fewer threads); it is compared once more on all samples before it is written.

    Args:
        model: the ONNX file.
        out: the file to write.
        inputs: files with samples.
        streams: how the files' columns become inputs.
        tolerance: when two numbers are equal.
        physics: metrics that decide beside it.
        threads: the only number of intra-op threads to try; 0 tries one and all.
        precisions: to try beside the model's own.
        progress: called with each step.

    Raises:
        UsageError: no samples, or ``out`` is a folder.
    """
    if not inputs:
        raise UsageError("--search requires samples; give some with --inputs")
    if out.is_dir():
        raise UsageError(f"{out}: a folder; expected the name of the ONNX file to write")
    artifact, physics = read_onnx(model), physics or PhysicsOptions()
    refuse_random_file(model)
    cases = CaseSet.of_files(artifact.signature, inputs, streams or StreamOptions(), columns=physics.columns)
    with tempfile.TemporaryDirectory(prefix="portinf-search-") as name, Float64() as float64:
        made = {"tolerance": tolerance, "physics": physics, "threads": threads, "precisions": precisions, "progress": progress}
        files = _made(model, Path(name), cases, **made)  # type: ignore[arg-type]
        counts = [threads] if threads else sorted({1, len(os.sched_getaffinity(0))})
        timed = timing_batch(artifact.signature, cases.given)
        bench = _Bench(files, cases.first(), timed, tolerance, physics, float64, progress)
        bench.run(counts)
        rows = _ranked(bench.rows, files)
        pick, comparison, rows = _picked(rows, bench, cases)
        reason = _reason(pick, rows)
        said = [*cases.notes, *cases.left_out, *_needs(pick, files)]
        if pick.setting.file == ORIGINAL:
            written = original(artifact, out).artifact
        else:
            written = _written(artifact, files.made[pick.setting.file], out, rows, pick, reason)
    return SearchResult(artifact=written, rows=rows, pick=pick, reason=reason, comparison=comparison, notes=said)


def _made(
    model: Path,
    folder: Path,
    cases: CaseSet,
    *,
    tolerance: Tolerance,
    physics: PhysicsOptions,
    threads: int,
    precisions: Sequence[Precision],
    progress: Progress,
) -> _Files:
    """Rewrite the model, and lower what that left."""
    files = _Files(made={ORIGINAL: model})
    for name, count in (("rewritten", 0), ("rewritten, by row", 1)):
        path = folder / f"rewritten-{count}.onnx"
        try:
            result = rewritten(model, path, cases, tolerance=tolerance, threads=count, progress=progress)
        except PortinfError as error:
            files.refused[name] = first_line(error)
            continue
        if result.changed and (count == 0 or result.artifact.one_thread or "rewritten" not in files.made):
            files.made[name] = path
            files.reassociated.add(name)
    base = files.made.get("rewritten", model)
    request = LowerRequest(
        precision="fp16",
        flavour="cpu",
        batches=cases,
        tolerance=tolerance,
        physics=physics,
        threads=threads,
        original=model,
    )
    for precision in precisions:
        path = folder / f"{precision}.onnx"
        try:
            lower(base, path, replace(request, precision=precision), progress)
        except (CannotError, DisagreementError) as error:
            files.refused[precision] = first_line(error)
            continue
        files.made[precision] = path
    return files


class _Answered:
    """A model that runs each request once and keeps its answers."""

    def __init__(self, runner: OnnxRuntimeRunner) -> None:
        self._runner, self._known = runner, dict[int, tuple[Mapping[str, Array], Arrays | PortinfError]]()
        self.name, self.signature, self.info = runner.name, runner.signature, runner.info

    def infer(self, inputs: Mapping[str, Array]) -> Arrays:
        """Answer, from memory where the same inputs were run before."""
        if id(inputs) not in self._known:
            try:
                self._known[id(inputs)] = inputs, self._runner.infer(inputs)
            except PortinfError as error:
                self._known[id(inputs)] = inputs, error
        answer = self._known[id(inputs)][1]
        if isinstance(answer, PortinfError):
            raise answer
        return answer

    def __enter__(self) -> _Answered:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the runner to whoever opened it."""


class _Bench:
    """Judges and times settings.

    Attributes:
        rows: of the settings so far.
    """

    def __init__(
        self,
        files: _Files,
        batches: Sequence[Batch],
        timed: Batch,
        tolerance: Tolerance,
        physics: PhysicsOptions,
        float64: Float64,
        progress: Progress,
    ) -> None:
        self._files, self._batches, self._timed = files, batches, timed
        self._tolerance, self._physics, self._float64, self._progress = tolerance, physics, float64, progress
        self.rows: list[Tried] = []

    def run(self, counts: Sequence[int]) -> None:
        """Try every file on every number of threads and provider, then other graph levels of the fastest files."""
        model = self._files.made[ORIGINAL]
        with (
            OnnxRuntimeRunner(model, level="none", name=ORIGINAL) as exact,
            OnnxRuntimeRunner(model, threads=max(counts), name=ORIGINAL) as plain,
        ):
            reference = _Answered(exact)
            for setting in self._settings(counts):
                self._try(setting, reference, plain)
            for setting in self._levels():
                self._try(setting, reference, plain)

    def _settings(self, counts: Sequence[int]) -> Iterator[Setting]:
        providers = ["cpu"]
        if "OpenVINOExecutionProvider" in require("onnxruntime", "").get_available_providers():
            providers.append("openvino")
        for name, path in self._files.made.items():
            one = read_onnx(path).one_thread
            for provider in providers:
                if one and provider != "cpu":
                    continue  # whether its scatters are right there is not known
                for threads in [1] if one else counts:
                    yield Setting(file=name, threads=threads, provider=provider)

    def _levels(self) -> Iterator[Setting]:
        best: dict[str, Tried] = {}
        for row in sorted(
            (row for row in self.rows if row.holds and row.setting.provider == "cpu"), key=lambda row: row.seconds
        ):
            best.setdefault(row.setting.file, row)
        for row in list(best.values())[:LEVELLED]:
            for level in LEVELS:
                yield replace(row.setting, level=level)

    def _try(self, setting: Setting, reference: _Answered, plain: OnnxRuntimeRunner) -> None:
        self._progress(f"trying: {setting}")
        try:
            with self.opened(setting) as runner:
                comparison = self._judged(reference, runner, setting)
                row = Tried(
                    setting=setting, holds=comparison.verdict == "equal", text=comparison.summary(), error=_share(comparison)
                )
                if row.holds:
                    row = _timed(row, plain, runner, self._timed)
        except PortinfError as error:
            row = Tried(setting=setting, holds=False, text=first_line(error))
        self.rows.append(row)

    def _judged(self, reference: _Answered, runner: OnnxRuntimeRunner, setting: Setting) -> Comparison:
        checks = make_checks(self._physics, self._tolerance)
        float64 = self._second(setting)
        return compare(reference, runner, self._batches, tolerance=self._tolerance, checks=checks, float64=float64)

    def _second(self, setting: Setting) -> Float64 | None:
        """Where sums are reassociated, rounding may be the reason of a difference."""
        return self._float64 if setting.file in self._files.reassociated else None

    def opened(self, setting: Setting) -> OnnxRuntimeRunner:
        """Open a file as a setting says."""
        path = self._files.made[setting.file]
        given: dict[str, Any] = {"level": setting.level, "threads": setting.threads, "provider": setting.provider}
        return OnnxRuntimeRunner(path, name=str(setting), **given)

    def judged_on_all(self, setting: Setting, batches: CaseSet) -> Comparison:
        """Compare a setting with the original on all samples."""
        model = self._files.made[ORIGINAL]
        with OnnxRuntimeRunner(model, level="none", name=str(model)) as exact, self.opened(setting) as runner:
            return compare(
                exact,
                runner,
                batches,
                tolerance=self._tolerance,
                checks=make_checks(self._physics, self._tolerance),
                float64=self._second(setting),
            )


def _share(comparison: Comparison) -> float:
    """Return the largest share of its bound that an element uses up, over the samples; over all cases where there are none."""
    given = [case for case in comparison.cases if case.origin == "given"] or list(comparison.cases)
    worst = [output.tally.worst.score for case in given for output in case.outputs if output.tally.worst is not None]
    return max(worst, default=0.0)


def _timed(row: Tried, plain: OnnxRuntimeRunner, runner: OnnxRuntimeRunner, batch: Batch) -> Tried:
    before, after = in_turns(plain, runner, batch.inputs)
    ratios = [one / other for one, other in zip(before, after, strict=False)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return replace(row, seconds=statistics.median(after), faster=middle, spread=(low, high))


def _ranked(rows: Sequence[Tried], files: _Files) -> list[Tried]:
    """Order the rows, mark the front, and add what could not be made."""
    right = sorted((row for row in rows if row.holds), key=lambda row: -row.faster)
    marked = [replace(row, front=not any(_better(other, row) for other in right)) for row in right]
    wrong = [row for row in rows if not row.holds]
    missing = [Tried(setting=Setting(file=name, threads=0), holds=False, text=why) for name, why in files.refused.items()]
    return [*marked, *wrong, *missing]


def _better(one: Tried, other: Tried) -> bool:
    no_worse = one.faster >= other.faster and one.error <= other.error
    return no_worse and (one.faster > other.faster or one.error < other.error)


def _picked(rows: list[Tried], bench: _Bench, cases: CaseSet) -> tuple[Tried, Comparison | None, list[Tried]]:
    """Return the best setting that also holds on all samples, its comparison, and the rows with those that did not."""
    while True:
        pick = _best(rows)
        plain = pick.setting.file == ORIGINAL
        comparison = None if plain else bench.judged_on_all(pick.setting, cases)
        if comparison is None or comparison.verdict == "equal":
            return pick, comparison, rows
        lost = replace(pick, holds=False, front=False, text=f"on all samples: {comparison.summary()}")
        rows = [*(row for row in rows if row is not pick), lost]


def _best(rows: Sequence[Tried]) -> Tried:
    right = [row for row in rows if row.holds]
    if not right:
        raise DisagreementError(f"the original model is not deterministic: {rows[0].text}")
    fastest = max(right, key=lambda row: row.faster)
    plain = [row for row in right if row.setting.file == ORIGINAL]
    if fastest.faster < WORTH and plain:
        return max(plain, key=lambda row: row.faster)
    alike = [row for row in right if row.spread[1] >= fastest.spread[0] and row.faster >= ALIKE * fastest.faster]
    return min(alike, key=lambda row: (row.error, row.setting.threads, row.setting.level != "all", -row.faster))


def _reason(pick: Tried, rows: Sequence[Tried]) -> str:
    fastest = max((row for row in rows if row.holds), key=lambda row: row.faster)
    if pick.setting.file == ORIGINAL and pick.faster < WORTH:
        return f"nothing within the tolerance is {WORTH:g} times faster than the original"
    if pick is fastest:
        return f"the fastest within the tolerance: {pick.faster:.2f} times the original's speed, {pick.error:.2g} of the tolerance used up"
    better = "closer to the original" if pick.error < fastest.error else "simpler to run"
    return (
        f"as fast as the fastest ({fastest.setting}) within the spread, and {better}: "
        f"{pick.faster:.2f} times the original's speed, {pick.error:.2g} of the tolerance used up"
    )


def _needs(pick: Tried, files: _Files) -> list[str]:
    setting = pick.setting
    if read_onnx(files.made[setting.file]).one_thread:
        return [
            "the choice is correct on one intra-op thread only (ScatterND with a reduction); portinf runs and packages it so"
        ]
    return [f"to run it as it was timed: intra_op_num_threads = {setting.threads}, graph optimisation level '{setting.level}'"]


def _written(artifact: Artifact, path: Path, out: Path, rows: Sequence[Tried], pick: Tried, reason: str) -> Artifact:
    steps = list(read_onnx(path).provenance.get("steps", []))
    step = {
        "searched": [row.to_json() for row in rows],
        "pick": asdict(pick.setting),
        "reason": reason,
        "from_sha256": next(iter(artifact.files.values())),
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    return write_onnx(load_proto(path), path, out, artifact.signature, {**artifact.provenance, "steps": [*steps, step]})
