"""From an ONNX file to one that ONNX Runtime runs better, kept only if it computes the same."""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from portinf.conversion.randomness import refuse_random_file
from portinf.core.batch import Batch
from portinf.core.errors import CannotError, DisagreementError, UnreadableError, UsageError, first_line
from portinf.core.progress import Progress
from portinf.mixed_precision.lower import Lowered, LowerRequest, Precision, lower
from portinf.onnx_graph.model_file import Artifact, load_proto, read_onnx, write_onnx
from portinf.runners.float64 import Float64
from portinf.runners.onnx import OnnxRuntimeRunner
from portinf.samples import StreamOptions
from portinf.samples.case_set import CaseSet
from portinf.targets.onnxruntime.proposal import Proposal
from portinf.targets.onnxruntime.proposals import proposals
from portinf.targets.onnxruntime.timing import paired, slower, timing_batch
from portinf.validation import Comparison, PhysicsOptions, Tolerance, compare
from portinf.validation.rounding.opinion import rounding_notes

__all__ = ["OptimizeResult", "optimize", "original", "rewritten"]

SLOWER = 1.05  # times the time before: a rewriting that takes longer is left out


@dataclass(frozen=True, kw_only=True)
class Step:
    """What became of one proposal that changes the file.

    Attributes:
        name: of the proposal.
        guarantee: ``exact`` or ``reassociated``.
        kept: it computes the same and is not slower.
        text: the largest error, or why it was left out.
        before, after: median seconds of one request of the largest sample without and with it; 0 where it was not timed.
    """

    name: str
    guarantee: str
    kept: bool
    text: str
    before: float = 0.0
    after: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class OptimizeResult:
    """The result.

    Attributes:
        artifact: the file written.
        comparison: its comparison with the original; None where the original was returned.
        steps: the proposals that change the file, in the order in which they were tried.
        operators: number of operators before and after.
        notes: how the samples' files were read, which sizes were too large to compare at, on how many threads it must run.
        lowered: the result of the requested precision; None without one.
        timing: median seconds of one request before and after lowering.
    """

    artifact: Artifact
    comparison: Comparison | None
    steps: Sequence[Step]
    operators: tuple[int, int]
    notes: Sequence[str] = ()
    lowered: Lowered | None = None
    timing: tuple[float, float] = (0.0, 0.0)

    @property
    def changed(self) -> list[str]:
        """Names of the proposals that were kept."""
        return [step.name for step in self.steps if step.kept]

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "output": str(self.artifact.path),
            "files": dict(self.artifact.files),
            "changed": self.changed,
            "steps": [step.to_json() for step in self.steps],
            "one_thread": self.artifact.one_thread,
            "operators_before": self.operators[0],
            "operators_after": self.operators[1],
            "notes": list(self.notes),
            "lowered": self.lowered and self.lowered.to_json(),
            "seconds_before": self.timing[0],
            "seconds_after": self.timing[1],
            "validation": self.comparison and self.comparison.to_json(),
        }


def optimize(
    model: Path,
    out: Path,
    *,
    inputs: Sequence[Path] = (),
    streams: StreamOptions | None = None,
    tolerance: Tolerance,
    threads: int = 0,
    precision: Precision | None = None,
    physics: PhysicsOptions | None = None,
    progress: Progress = lambda _: None,
) -> OptimizeResult:
    """Try the proposals one after the other, each on what the ones before it left, and keep those that compute the same.

    Args:
        model: the ONNX file.
        out: the file to write.
        inputs: files with samples; sizes are generated from the stored roles in any case.
        streams: how the files' columns become inputs.
        tolerance: when two numbers are equal. With a precision it applies to that step; the rewritings before it
            keep the defaults.
        threads: intra-op threads on which the file will run; 0 for not known.
        precision: to compute in after the rewritings; None for the model's own.
        physics: metrics that decide about the precision beside the tolerance.
        progress: called with each step.

    Raises:
        CannotError: the model cannot be lowered.
        DisagreementError: every proposal computes something else, or the precision does; nothing is at ``out``.
    """
    if out.is_dir():
        raise UsageError(f"{out}: a folder; expected the name of the ONNX file to write")
    if precision == "int8" and not inputs:
        raise UsageError("--precision int8 requires samples for calibration; give some with --inputs")
    physics = physics or PhysicsOptions()
    cases = CaseSet.of_files(read_onnx(model).signature, inputs, streams or StreamOptions(), columns=physics.columns)
    if precision is None:
        return rewritten(model, out, cases, tolerance=tolerance, threads=threads, progress=progress)
    return _lowered(
        model, out, cases, precision=precision, tolerance=tolerance, physics=physics, threads=threads, progress=progress
    )


def rewritten(
    model: Path, out: Path, cases: CaseSet, *, tolerance: Tolerance, threads: int, progress: Progress
) -> OptimizeResult:
    """Try proposals one after the other; see `optimize`.

    Each is judged on the first rows of files that are read in parts, and on all generated cases; what they come to is judged on all
    rows. Where it does not hold there, each is tried again on all of them.
    """
    artifact = read_onnx(model)
    refuse_random_file(model)
    with OnnxRuntimeRunner(model):
        progress(f"opened {model}")  # a damaged file is refused here, before anything is made of it
    with tempfile.TemporaryDirectory(prefix="portinf-optimize-") as folder, Float64() as float64:

        def tried(batches: Iterable[Batch]) -> _Trial:
            work = _Trial(
                artifact=artifact,
                batches=batches,
                timed=timing_batch(artifact.signature, cases.given),
                tolerance=tolerance,
                float64=float64,
                threads=threads,
                folder=Path(folder),
                progress=progress,
            )
            for proposal in proposals(threads):
                work.consider(proposal)
            work.weed()
            return work

        work = tried(cases.first())
        if work.comparison is not None and not cases.whole:
            progress("comparing on all rows")
            work = work if work.judge(cases) else tried(cases)
        if work.comparison is None:
            if work.wrong and len(work.wrong) == len(work.steps):
                raise DisagreementError(f"{model}: {work.wrong[0].name}: nothing was written: {work.wrong[0].text}")
            return replace(original(artifact, out), steps=work.steps, notes=[*cases.notes, *cases.left_out])
        said = [*cases.notes, *cases.left_out, *_threads_note(work.path), *rounding_notes(work.comparison)]
        return _kept(artifact, work, out, said)


def _lowered(
    model: Path,
    out: Path,
    cases: CaseSet,
    *,
    precision: Precision,
    tolerance: Tolerance,
    physics: PhysicsOptions,
    threads: int,
    progress: Progress,
) -> OptimizeResult:
    """Rewrite, then lower the precision, and time both files alternately."""
    artifact = read_onnx(model)
    with tempfile.TemporaryDirectory(prefix="portinf-optimize-") as folder:
        path = Path(folder) / out.name
        try:
            result: OptimizeResult | None = rewritten(
                model, path, cases, tolerance=Tolerance(), threads=threads, progress=progress
            )
        except DisagreementError as error:
            progress(first_line(error))
            result, path = None, model

        request = LowerRequest(
            precision=precision,
            flavour="cpu",
            batches=cases,
            tolerance=tolerance,
            physics=physics,
            threads=threads,
            original=model,
        )
        try:
            lowered = lower(path, out, request, progress)
        except DisagreementError:
            if result is None or not any(step.kept and step.guarantee == "reassociated" for step in result.steps):
                raise
            progress("trying without the rewrites, which change the order of rounding")
            result, lowered = None, lower(model, out, request, progress)
        progress("timing the original and the file in lower precision alternately")
        timed = timing_batch(artifact.signature, cases.given)
        before, after = paired(model, out, timed.inputs, threads=threads)
    written = read_onnx(out)
    on = f"{threads or 'all'} thread{'s' * (threads != 1)}"
    slow = [f"slower than the original on this CPU, on {on}"] if slower(before, after, 1.0) else []
    return OptimizeResult(
        artifact=written,
        comparison=lowered.comparison,
        steps=result.steps if result else [],
        operators=_counts(artifact, written),
        notes=[*(result.notes if result else []), *lowered.notes, *slow],
        lowered=lowered,
        timing=(statistics.median(before), statistics.median(after)),
    )


def _threads_note(path: Path) -> list[str]:
    if not read_onnx(path).one_thread:
        return []
    return [
        "correct on one intra-op thread only (ScatterND with a reduction): portinf runs and packages it so; "
        "elsewhere set intra_op_num_threads = 1"
    ]


class _Trial:
    """A file on its way through the proposals.

    Attributes:
        path: the file as it stands.
        comparison: its comparison with the original; None where it still is the original.
        wrong: steps that computed something else.
    """

    def __init__(
        self,
        *,
        artifact: Artifact,
        batches: Iterable[Batch],
        timed: Batch,
        tolerance: Tolerance,
        float64: Float64,
        threads: int,
        folder: Path,
        progress: Progress,
    ) -> None:
        self._artifact, self._batches, self._timed, self._tolerance = artifact, batches, timed, tolerance
        self._float64, self._threads, self._folder, self._progress = float64, threads, folder, progress
        self._kept: dict[str, tuple[Proposal, Step]] = {}
        self._left_out: list[Step] = []
        self.path = artifact.path
        self.comparison: Comparison | None = None
        self.wrong: list[Step] = []

    @property
    def steps(self) -> list[Step]:
        """What became of the proposals."""
        return [*(step for _, step in self._kept.values()), *self._left_out, *self.wrong]

    def consider(self, proposal: Proposal) -> None:
        """Try one proposal on the file as it stands; it stays if the file still computes the same."""
        self._progress(f"trying: {proposal.name}")
        try:
            path = self._made(proposal, self.path)
        except CannotError as error:
            self._left_out.append(Step(name=proposal.name, guarantee=proposal.guarantee, kept=False, text=first_line(error)))
            return
        if path is None:
            return
        comparison = self._judged(path, self._batches, proposal.guarantee)
        step = Step(
            name=proposal.name, guarantee=proposal.guarantee, kept=comparison.verdict == "equal", text=comparison.summary()
        )
        if step.kept:
            self._kept[proposal.name] = proposal, step
            self.path, self.comparison = path, comparison
        else:
            self.wrong.append(step)

    def weed(self) -> None:
        """Time the file without each of its steps, the last one first, and leave out those that cost more than they save."""
        for name, (proposal, step) in reversed(self._kept.items()):
            self._progress(f"timing without: {name}")
            others = [other for other, _ in self._kept.values() if other is not proposal]
            path = self._chain(others)
            without, with_it = paired(path, self.path, self._timed.inputs, threads=self._threads)
            before, after = statistics.median(without), statistics.median(with_it)
            step = replace(step, before=before, after=after)
            comparison = self._judged(path, self._batches, _weakest(others)) if others else None
            if not slower(without, with_it, SLOWER) or (comparison is not None and comparison.verdict != "equal"):
                self._kept[name] = proposal, step
                continue
            self._left_out.append(replace(step, kept=False, text=f"with it {after / before:.2f} times the time without"))
            self._kept = {key: value for key, value in self._kept.items() if key != name}
            self.path, self.comparison = path, comparison

    def judge(self, batches: Iterable[Batch]) -> bool:
        """Compare the file as it stands on other batches; that is its comparison from now on if it computes the same there."""
        comparison = self._judged(self.path, batches)
        if comparison.verdict == "equal":
            self.comparison = comparison
        return comparison.verdict == "equal"

    def _judged(self, path: Path, batches: Iterable[Batch], guarantee: str = "exact") -> Comparison:
        """Compare a file with the original; where sums are reassociated, rounding may be the reason of a difference."""
        guarantees = [guarantee, *(other.guarantee for other, _ in self._kept.values())]
        with (
            OnnxRuntimeRunner(self._artifact.path, level="none", name=str(self._artifact.path)) as left,
            OnnxRuntimeRunner(path, name="optimised") as right,
        ):
            float64 = self._float64 if "reassociated" in guarantees else None
            return compare(left, right, batches, tolerance=self._tolerance, float64=float64)

    def _chain(self, proposals: Sequence[Proposal]) -> Path:
        """Apply proposals to the original."""
        path = self._artifact.path
        for proposal in proposals:
            path = self._made(proposal, path) or path
        return path

    def _made(self, proposal: Proposal, path: Path) -> Path | None:
        folder = self._folder / str(len(list(self._folder.iterdir())))
        folder.mkdir()
        made = proposal.make(path, folder)
        same = made is None or dict(read_onnx(made).operators) == dict(read_onnx(path).operators)
        return None if same else made


def _weakest(proposals: Sequence[Proposal]) -> str:
    return "reassociated" if any(proposal.guarantee == "reassociated" for proposal in proposals) else "exact"


def _kept(artifact: Artifact, work: _Trial, out: Path, said: Sequence[str]) -> OptimizeResult:
    assert work.comparison is not None
    step = {
        "optimised": [step.name for step in work.steps if step.kept],
        "from_sha256": next(iter(artifact.files.values())),
        "validation": {"verdict": work.comparison.verdict, "summary": work.comparison.summary()},
        "notes": list(said),
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    steps = [*artifact.provenance.get("steps", []), step]
    provenance = {**artifact.provenance, "steps": steps}
    written = write_onnx(load_proto(work.path), work.path, out, artifact.signature, provenance)
    counts = _counts(artifact, written)
    return OptimizeResult(artifact=written, comparison=work.comparison, steps=work.steps, operators=counts, notes=said)


def _counts(before: Artifact, after: Artifact) -> tuple[int, int]:
    return sum(before.operators.values()), sum(after.operators.values())


def original(artifact: Artifact, out: Path) -> OptimizeResult:
    """Return the original, byte for byte, its data files first."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        for name in reversed(list(artifact.files)):
            source = artifact.root / name
            target = out if source == artifact.path else out.parent / name
            if target.exists() and target.samefile(source):
                continue
            temporary = target.parent / f".{target.name}.partial"
            try:
                shutil.copyfile(source, temporary)
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UnreadableError(f"{out}: cannot be written: {error.strerror}") from error
    return OptimizeResult(artifact=read_onnx(out), comparison=None, steps=[], operators=_counts(artifact, artifact))
