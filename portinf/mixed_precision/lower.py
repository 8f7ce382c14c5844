"""An ONNX file -> the same in fewer bits, with as few nodes in float32 as a tolerance needs, checked against the original."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from portinf.core.batch import Batch
from portinf.core.errors import CannotError, DisagreementError, RunnerError, UnreadableError, UsageError, first_line
from portinf.core.optional import require
from portinf.core.progress import Progress, quiet
from portinf.mixed_precision import Found, Trial, find_islands, load_whole, measure_ranges
from portinf.mixed_precision.recipe import HalfRecipe, IntegerRecipe, Level, Recipe
from portinf.onnx_graph.model_file import Artifact, load_proto, read_onnx, write_onnx
from portinf.ort.basic_level import basic
from portinf.ort.session import PlainSession
from portinf.runners.onnx import OnnxRuntimeRunner
from portinf.validation import Comparison, Pair, PhysicsOptions, Tolerance, compare, compare_chain, make_checks
from portinf.validation.batch_independence import why_not_batched

__all__ = ["Flavour", "LowerRequest", "Lowered", "Precision", "lower"]

Precision = Literal["fp16", "bf16", "int8"]
Flavour = Literal["cpu", "tensorrt"]
ELEMENTS = 8_000_000  # of the inputs that each trial of the search is judged on
CASES = 24
CRASH_TRIALS = 40
CRASH = "ONNX Runtime's CPU crashes on it when it loads the file"


@dataclass(frozen=True, kw_only=True)
class Lowered:
    """The result.

    Attributes:
        path: the file written, metadata included.
        precision: of the nodes that were lowered.
        flavour: what it is meant for.
        islands: nodes kept in float32 for the tolerance's sake.
        reasons: why, by island.
        lowered: number of nodes that were lowered; for int8, of products of quantised operands.
        trials: how many choices of islands were tried.
        comparison: the comparison of the file (fp16, bf16: of the graph that rounds where it does) with the original.
        notes: what stays in float32 by rule, and what was tested.
    """

    path: Path
    precision: Precision
    flavour: Flavour
    islands: Sequence[str]
    reasons: Mapping[str, str] = field(default_factory=dict)
    lowered: int
    trials: int
    comparison: Comparison
    notes: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "output": str(self.path),
            "precision": self.precision,
            "flavour": self.flavour,
            "islands": [{"node": name, "reason": self.reasons.get(name, "")} for name in self.islands],
            "lowered": self.lowered,
            "trials": self.trials,
            "notes": list(self.notes),
            "validation": self.comparison.to_json(),
        }


@dataclass(frozen=True, kw_only=True)
class LowerRequest:
    """What a lowered file is to be.

    Attributes:
        precision: what to compute in.
        flavour: ``cpu`` for ONNX Runtime's CPU kernels, ``tensorrt`` for TensorRT's recipe.
        batches: to calibrate and to compare on; read several times, one at a time. int8 is calibrated on those that were given.
        tolerance: when two numbers are equal.
        physics: metrics that decide beside it; their columns come with the batches.
        threads: intra-op threads; 0 lets ONNX Runtime choose.
        original: what to compare with, where the model is a rewriting of it.
    """

    precision: Precision
    flavour: Flavour
    batches: Iterable[Batch]
    tolerance: Tolerance
    physics: PhysicsOptions = field(default_factory=PhysicsOptions)
    threads: int = 0
    original: Path | None = None


def lower(model: Path, out: Path, request: LowerRequest, progress: Progress = quiet) -> Lowered:
    """Write a model in fewer bits.

    Inputs and outputs keep their names and types. The file is judged on all batches with the checks of a validation; fp16
    and bf16 by a float32 graph that rounds every weight, operand and result of the lowered nodes (ONNX Runtime on a CPU computes
    them in float32 and would show no error), and the file itself as well.

    Args:
        model: the ONNX file to lower.
        out: the file to write.
        request: see there.
        progress: called with each step.

    Raises:
        UsageError: int8 without a batch that was given.
        CannotError: this model cannot be lowered, or the target does not run it; a quantiser that quantised nothing.
        DisagreementError: no choice of islands holds the tolerance; nothing is written.
    """
    precision, flavour = request.precision, request.flavour
    if out.is_dir():
        raise UsageError(f"{out}: a folder; expected the name of the ONNX file to write")
    if precision == "int8" and not any(batch.origin == "given" for batch in request.batches):
        raise UsageError("int8 requires samples for calibration; none were given")
    artifact = read_onnx(model)
    with tempfile.TemporaryDirectory(prefix="portinf-lower-") as name:
        folder = Path(name)
        judge = _Judge(artifact, request.original or model, request, folder)
        progress("measuring the ranges of the tensors")
        recipe = _recipe(model, request, folder)
        if precision == "bf16" and flavour == "cpu":
            _check_opens(recipe, folder)
        _check_guess(recipe, precision)
        _keep_from_crashing(recipe, precision, folder / "opens.onnx")
        chosen = _search(recipe, judge, progress)
        path, count = recipe.write(chosen.islands, folder / "lowered.onnx")
        _check_file(path, model)
        notes = [*recipe.notes, *_tested(precision, flavour)]
        step = {
            "lowered": precision,
            "flavour": flavour,
            "nodes": count,
            "islands": chosen.reasons,
            "trials": chosen.trials,
            "tolerance": str(request.tolerance),
            "from_sha256": next(iter(artifact.files.values())),
            "validation": {"verdict": chosen.comparison.verdict, "summary": chosen.comparison.summary()},
            "notes": notes,
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        provenance = {**artifact.provenance, "steps": [*artifact.provenance.get("steps", []), step]}
        written = write_onnx(load_proto(path), path, out, artifact.signature, provenance)
    return Lowered(
        path=written.path,
        precision=precision,
        flavour=flavour,
        islands=list(chosen.reasons),
        reasons=chosen.reasons,
        lowered=count,
        trials=chosen.trials,
        comparison=chosen.comparison,
        notes=notes,
    )


@dataclass(frozen=True, kw_only=True)
class _Chosen:
    islands: frozenset[str]
    reasons: dict[str, str]
    trials: int
    comparison: Comparison


class _Judge:
    """Compares any file with the original: on a bounded part of the batches while searching, on all of them in the end."""

    def __init__(self, artifact: Artifact, original: Path, request: LowerRequest, folder: Path) -> None:
        self._artifact, self._original, self._request = artifact, original, request
        self._threads = 1 if artifact.one_thread else request.threads
        self.folder = folder
        self._few = self._answered()

    def _answered(self) -> list[Batch]:
        """Return batches with the original's answers, as many as a trial takes."""
        found: list[Batch] = []
        elements = 0
        with OnnxRuntimeRunner(self._original, level="none") as runner:
            for batch in self._request.batches:
                if any(array.size == 0 for array in batch.inputs.values()):
                    continue
                elements += sum(array.size for array in batch.inputs.values())
                if found and (elements > ELEMENTS or len(found) >= CASES):
                    break
                try:
                    found.append(replace(batch, expected=runner.infer(batch.inputs)))
                except RunnerError:
                    continue
        if not found:
            raise CannotError(f"{self._original}: it fails on all samples, so a lower precision cannot be tested")
        return found

    def few(self, path: Path, level: Level) -> Comparison:
        """Compare on a bounded part."""
        with self._runner(path, level, "lowered") as runner:
            return compare(None, runner, self._few, reference_name=str(self._original), checks=self._checks(), **self._given())

    def all(self, *candidates: tuple[Path, Level]) -> list[Comparison]:
        """Compare on everything; the original answers once for all candidates."""
        with ExitStack() as stack:
            sides = [stack.enter_context(OnnxRuntimeRunner(self._original, level="none", name=str(self._original)))]
            sides += [stack.enter_context(self._runner(path, level, "lowered")) for path, level in candidates]
            pairs = [Pair(reference=0, candidate=n, checks=self._checks()) for n in range(1, len(sides))]
            return compare_chain(sides, pairs, self._request.batches, **self._given())

    def _runner(self, path: Path, level: Level, name: str) -> OnnxRuntimeRunner:
        return OnnxRuntimeRunner(path, level=level, threads=self._threads, name=name, signature=self._artifact.signature)

    def _checks(self) -> list[Any]:
        batched = not why_not_batched(self._artifact.signature)
        return list(make_checks(self._request.physics, self._request.tolerance, batched=batched))

    def _given(self) -> dict[str, Any]:
        return {"tolerance": self._request.tolerance, "signature": self._artifact.signature}


def _recipe(model: Path, request: LowerRequest, folder: Path) -> Recipe:
    if request.precision != "int8":
        whole = load_whole(model)
        return HalfRecipe(whole, measure_ranges(whole, request.batches), request.precision)
    (folder / "folded").mkdir()
    try:
        whole = load_whole(basic(model, folder / "folded"))  # normalisations fold into the convolutions before them
    except CannotError:
        whole = load_whole(model)
    ranges = measure_ranges(whole, (batch for batch in request.batches if batch.origin == "given"))
    return IntegerRecipe(whole, ranges, request.flavour)


def _check_opens(recipe: Recipe, folder: Path) -> None:
    path, _ = recipe.write(frozenset(recipe.guess), folder / "opens.onnx")
    try:
        PlainSession(path, level="all", threads=1, name="bf16").close()
    except UnreadableError as error:
        why = first_line(error.__cause__ or error)
        raise CannotError(f"bf16: ONNX Runtime does not run it on this CPU: {why}") from error


def _dies(path: Path) -> bool:
    """Whether ONNX Runtime crashed when it opens a file as it is run: tried in a separate process."""
    code = "import onnxruntime, sys; onnxruntime.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])"
    return subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=False).returncode < 0


def _keep_from_crashing(recipe: Recipe, precision: Precision, path: Path) -> None:
    """Put the transpositions on which ONNX Runtime crashes among the guess.

    Seen (1.31.1, CPU, level all): it dies while it opens some graphs with a Transpose between casts from and to float16.

    Raises:
        CannotError: it crashes for another reason.
    """

    def dies(islands: Iterable[str]) -> bool:
        return _dies(recipe.write({*recipe.guess, *islands}, path)[0])

    if not dies(()):
        return
    bad = recipe.named("Transpose")
    if not bad or dies(bad):
        raise CannotError(f"{precision}: {CRASH}: nothing was written")
    for name in list(bad)[:CRASH_TRIALS]:
        if not dies(other for other in bad if other != name):
            bad.remove(name)
    recipe.guess = {**recipe.guess, **dict.fromkeys(bad, CRASH)}


def _check_guess(recipe: Recipe, precision: Precision) -> None:
    """Refuse a model of which nothing that takes time would be left to lower."""
    if recipe.heavy <= set(recipe.guess):
        first = next(name for name in recipe.nodes if name in recipe.heavy)
        raise CannotError(
            f"{precision}: all {len(recipe.heavy)} matrix products overflow on these samples; '{first}': {recipe.guess[first]}; "
            "scale the inputs, or keep float32"
        )


def _search(recipe: Recipe, judge: _Judge, progress: Progress) -> _Chosen:
    """Return islands with which everything holds.

    Raises:
        DisagreementError: there are none.
    """

    def few(islands: frozenset[str]) -> Comparison:
        return judge.few(*recipe.emulation(islands, judge.folder / "trial.onnx"))

    known: dict[frozenset[str], Comparison] = {}

    def everything(islands: frozenset[str]) -> Comparison:
        if islands not in known:
            known[islands] = _proof(recipe, islands, judge, progress)
        return known[islands]

    def trial_by(compared: Callable[[frozenset[str]], Comparison]) -> Callable[[frozenset[str]], Trial]:
        def trial(islands: frozenset[str]) -> Trial:
            progress(f"trying {len(recipe.nodes) - len(islands)} of {len(recipe.nodes)} nodes in lower precision")
            comparison = compared(islands)
            return Trial(holds=comparison.verdict == "equal", excess=_excess(comparison))

        return trial

    trials, reasons = 0, dict(recipe.guess)
    for compared in (few, everything):  # most choices are ruled out by a few batches
        found = find_islands(recipe.nodes, trial_by(compared), guess=reasons, delicate=recipe.delicate)
        trials += found.trials
        if found.islands is None or not recipe.heavy - found.islands:
            raise DisagreementError(_no_choice(recipe, everything(frozenset(recipe.guess)), trials))
        reasons = {name: reasons.get(name) or _reason(name, found) for name in recipe.nodes if name in found.islands}
        comparison = everything(found.islands)
        if comparison.verdict == "equal":
            return _Chosen(islands=found.islands, reasons=reasons, trials=trials, comparison=comparison)
    raise DisagreementError(f"nothing was written: {comparison.summary()}{_would_hold(comparison)}")


def _proof(recipe: Recipe, islands: frozenset[str], judge: _Judge, progress: Progress) -> Comparison:
    """Judge the emulation on everything, then the file as it will be run; return the first that fails, else the emulation's."""
    progress("comparing with the original")
    path, level = recipe.emulation(islands, judge.folder / "emulation.onnx")
    file, _ = recipe.write(islands, judge.folder / "file.onnx")
    other: Level = "all" if level == "none" else "none"
    candidates = [(path, level), (file, other)]
    if _dies(file):
        raise CannotError(f"{CRASH}: nothing was written")
    try:
        PlainSession(file, level=other, threads=1, name="lowered").close()
    except UnreadableError as error:
        if recipe.runs_here:
            raise CannotError(f"the file in lower precision: {first_line(error)}") from error
        candidates.pop()
    comparisons = judge.all(*candidates)
    return next((comparison for comparison in comparisons if comparison.verdict != "equal"), comparisons[0])


def _excess(comparison: Comparison) -> float:
    """Return the largest difference over its bound."""
    scores = [output.tally.worst.score for output in comparison.outputs if output.tally.worst is not None]
    most = max(scores, default=0.0)
    if comparison.verdict != "equal" and not most > 1:
        return 2.0 if any(case.status == "disagrees" for case in comparison.cases) or comparison.failed else 0.0
    return most


def _reason(name: str, found: Found) -> str:
    alone = found.alone.get(name)
    return f"alone it takes {alone:.3g} times the tolerance" if alone is not None and alone > 1 else "found by trials"


def _no_choice(recipe: Recipe, first: Comparison, trials: int) -> str:
    return (
        f"no choice of float32 nodes meets the tolerance ({trials} tried); nothing was written. With "
        f"{len(recipe.nodes) - len(recipe.guess)} nodes in lower precision: {first.reason}{_would_hold(first)}"
    )


def _would_hold(comparison: Comparison) -> str:
    """Say which tolerance would have held."""
    if any(check.name != "best class" for check in comparison.failed) or any(
        not case.outputs for case in comparison.cases if case.status == "disagrees"
    ):
        return ""
    worst = max((output.tally.max_abs for output in comparison.outputs), default=0.0)
    relative = max((output.tally.max_rel for output in comparison.outputs), default=0.0)
    if not 0 < worst < float("inf"):
        return ""
    other = f", or with --rtol {_above(relative)}" if relative < 0.5 else ""
    return f"; these samples would pass with --atol {_above(worst)}{other}"


def _above(value: float) -> str:
    """Return two digits of a number a tenth larger."""
    return f"{float(f'{value * 1.1:.1e}'):g}"


def _check_file(path: Path, model: Path) -> None:
    """Hold a file against ONNX's own checker with strict types, if the original stands it.

    Raises:
        CannotError: it does not.
    """
    checker = require("onnx", "").checker
    try:
        checker.check_model(str(model), full_check=True)
    except Exception:  # noqa: BLE001 (the original has operators that the checker does not know)
        return
    try:
        checker.check_model(str(path), full_check=True)
    except Exception as error:
        raise CannotError(f"{model}: in lower precision it is not a valid ONNX file: {first_line(error)}") from error


def _tested(precision: Precision, flavour: Flavour) -> list[str]:
    if precision == "int8":
        return [] if flavour == "cpu" else ["tested with ONNX Runtime's Q/DQ arithmetic; TensorRT: not run here"]
    return [
        f"tested with a float32 graph that rounds where {precision} does, sums inside one operator in float32; a GPU: not run here"
    ]
