"""Float layers and samples -> a fixed-point network whose answers were judged, or the layer at which it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from portinf.core.batch import Array, Arrays, Batch, check_batch
from portinf.core.errors import CannotError, DisagreementError, UsageError
from portinf.core.progress import Progress
from portinf.core.signature import Signature
from portinf.fixedpoint.casting import Watch, to_real
from portinf.fixedpoint.emulator import Emulator
from portinf.fixedpoint.formats import FixedPointError, Format
from portinf.fixedpoint.network import Network
from portinf.runners import Runner
from portinf.runners.onnx import OnnxRuntimeRunner
from portinf.targets.fpga.quantize.formats import HEADROOM, Range, integer_bits, quantised, uniform, weights_out_of_range
from portinf.targets.fpga.quantize.layer_errors import LayerError, check_layers, layer_errors, ranges_of, worst_layer
from portinf.targets.fpga.quantize.search import SearchGoal, search
from portinf.targets.fpga.reader.plan import Plan
from portinf.targets.fpga.runners.emulator import EmulatorRunner
from portinf.validation import Comparison, PhysicsOptions, Tolerance, compare, make_checks

__all__ = ["EMULATED", "SEEN", "Judged", "Read", "choose", "first_rows", "judge"]

SEEN = 20_000  # rows that the search and the watch for overflows look at
TRIES = 4  # one bit more each, where rows that the search did not see are out of tolerance
EMULATED = "FPGA (exact emulation)"
Read = Callable[[], Iterator[Batch]]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A network and what was found out about it.

    Attributes:
        network: fixed-point.
        emulated: the emulator computes it; where not, the C simulation has still to be judged.
        why_not: what the emulator says; empty where it does.
        comparison: the comparison with the float model; None where it is not emulated.
        ranges: of inputs and layers.
        errors: by layer.
        samples: some rows, for further comparisons.
        read: reads all rows again.
        before: comparisons of the model's conversion.
        notes: what the user should know.
    """

    network: Network
    emulated: bool
    why_not: str
    comparison: Comparison | None
    ranges: Mapping[str, Range]
    errors: Sequence[LayerError]
    samples: Arrays
    read: Read
    before: tuple[Comparison, ...] = ()
    notes: Sequence[str] = field(default=())


def choose(
    plan: Plan, model: Path, signature: Signature, read: Read, precision: str, tolerance: Tolerance, progress: Progress
) -> Judged:
    """Choose formats and judge them on all rows.

    Args:
        plan: the layers.
        model: the float model.
        signature: its inputs and outputs.
        read: reads the samples.
        precision: ``auto`` or a format.
        tolerance: when two numbers are equal.
        progress: called with each step.

    Raises:
        DisagreementError: out of range or tolerance; names the layer.
        CannotError: ``auto``, and the emulator does not compute the network.
        UsageError: there are no rows.
    """
    progress("looking at the samples")
    goal = first_rows(model, signature, read, tolerance)
    ranges = ranges_of(plan, model, read())
    _finite(plan, ranges)
    check_layers(plan, model, goal.inputs)
    if precision != "auto":
        return _given(plan, model, signature, read, Format.parse(precision), tolerance, goal, ranges, progress)
    judged = None
    for more in range(TRIES):
        choice = search(plan, ranges, goal, model, progress, more)
        network = quantised(plan, choice)
        judged = _judged(network, model, signature, read, tolerance, goal, ranges, progress)
        if judged.comparison is not None and judged.comparison.verdict == "equal":
            return judged
    assert judged is not None
    raise _missed(model, plan, judged, "auto")


def first_rows(model: Path, signature: Signature, read: Read, tolerance: Tolerance) -> SearchGoal:
    """Collect the first rows and the float model's answers."""
    parts: dict[str, list[Array]] = {spec.name: [] for spec in signature.inputs}
    rows = 0
    for batch in read():
        check_batch(signature, batch)
        for name, array in batch.inputs.items():
            parts[name].append(array[: SEEN - rows])
        rows += batch.rows
        if rows >= SEEN:
            break
    if not rows:
        raise UsageError("--inputs: there are no rows in the samples")
    inputs = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    with OnnxRuntimeRunner(model, level="none") as runner:
        expected = runner.infer(inputs)
    rtol, atol = tolerance.for_dtype("float32")
    return SearchGoal(inputs=inputs, expected=expected, rtol=rtol, atol=atol)


def _finite(plan: Plan, ranges: Mapping[str, Range]) -> None:
    for name, (low, high) in ranges.items():
        if not np.isfinite([low, high]).all():
            layer = plan.layer(name)
            where = f"input '{name}'" if layer is None else layer.title
            raise DisagreementError(f"{where}: the float model itself gives NaN or infinity there; no format holds it")


def _given(
    plan: Plan,
    model: Path,
    signature: Signature,
    read: Read,
    format: Format,
    tolerance: Tolerance,
    goal: SearchGoal,
    ranges: Mapping[str, Range],
    progress: Progress,
) -> Judged:
    """Judge one format for all."""
    choice = uniform(plan, format, max(goal.atol, 1e-6))
    weights_out_of_range(plan, choice)
    network = quantised(plan, choice)
    _overflows(plan, network, goal, ranges)
    judged = _judged(network, model, signature, read, tolerance, goal, ranges, progress)
    if judged.comparison is not None and judged.comparison.verdict != "equal":
        raise _missed(model, plan, judged, str(format))
    return replace(judged, notes=_slopes(plan, network))


def _slopes(plan: Plan, network: Network) -> list[str]:
    """Say which slopes a format changes by a tenth or more: samples may not come where that shows."""
    said = []
    for layer in plan.layers:
        if "alpha" in layer.weights:
            goal, fixed = float(layer.weights["alpha"]), network.layer(layer.name)
            found = float(to_real(fixed.numbers["alpha"], fixed.formats["alpha"]))
            if abs(found - goal) >= 0.1 * abs(goal) and goal:
                said.append(
                    f"{layer.title}: its slope {goal:g} becomes {found:g} in {fixed.formats['alpha'].with_modes('TRN', 'WRAP')}"
                )
    return said


def _overflows(plan: Plan, network: Network, goal: SearchGoal, ranges: Mapping[str, Range]) -> None:
    """Refuse a network whose numbers wrap round on the samples."""
    watch = Watch()
    try:
        Emulator(network).run(goal.inputs, watch)
    except FixedPointError:
        return
    for name, count in watch.counts.items():
        format = network.format_of(name)
        if format.overflow != "WRAP":
            continue
        layer = plan.layer(name)
        where = f"input '{name}'" if layer is None else layer.title
        low, high = ranges[name]
        needed = integer_bits(low, high, signed=format.signed)
        raise DisagreementError(
            f"{where}: {count:,} numbers wrap round, the largest {watch.worst[name]:.6g}: {format} holds {format.smallest:.6g} to "
            f"{format.largest:.6g}; they need {needed} integer bits: use --precision auto"
        )


def _judged(
    network: Network,
    model: Path,
    signature: Signature,
    read: Read,
    tolerance: Tolerance,
    goal: SearchGoal,
    ranges: Mapping[str, Range],
    progress: Progress,
) -> Judged:
    found = {"network": network, "ranges": ranges, "samples": goal.inputs, "read": read}
    try:
        runner = EmulatorRunner(network, signature, EMULATED)
    except CannotError as error:
        return Judged(emulated=False, why_not=str(error), comparison=None, errors=(), **found)  # type: ignore[arg-type]
    progress("comparing the fixed-point network with the float model")
    comparison = judge(model, runner, read, tolerance)
    errors = layer_errors(runner, model, [Batch(name="samples", inputs=dict(goal.inputs))])
    return Judged(emulated=True, why_not="", comparison=comparison, errors=errors, **found)  # type: ignore[arg-type]


def judge(model: Path, runner: Runner, read: Read, tolerance: Tolerance) -> Comparison:
    """Compare a runner of the network with the float model on all rows."""
    with OnnxRuntimeRunner(model, level="none", name=str(model)) as reference:
        checks = make_checks(PhysicsOptions(), tolerance, batched=True)
        return compare(reference, runner, read(), tolerance=tolerance, signature=reference.signature, checks=checks)


def _missed(model: Path, plan: Plan, judged: Judged, precision: str) -> DisagreementError:
    """Return the error that names the layer at which the error grows most."""
    assert judged.comparison is not None
    worst = worst_layer(judged.errors)
    where = ""
    if worst is not None:
        layer = plan.layer(worst.name)
        title = layer.title if layer is not None else worst.name
        where = f"; the error grows most at {title}, {worst.result}: {worst.error:.3g} on numbers up to {worst.largest:.3g}"
    return DisagreementError(f"{model}: --precision {precision} misses the tolerance: {judged.comparison.reason}{where}")


def headroom() -> str:
    """Say what ``auto`` leaves above the largest number seen."""
    return f"{HEADROOM} bit above the largest number seen"
