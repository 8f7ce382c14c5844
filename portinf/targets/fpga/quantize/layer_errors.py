"""Samples and a float model -> the range of every input and layer, and the errors of a fixed-point network layer by layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from portinf.core.batch import Array, Arrays, Batch
from portinf.core.errors import CannotError, DisagreementError
from portinf.ort.trace import trace_onnx
from portinf.targets.fpga.quantize.formats import Range
from portinf.targets.fpga.reader.numbers import NUMBERS
from portinf.targets.fpga.reader.plan import Plan
from portinf.targets.fpga.runners.emulator import EmulatorRunner
from portinf.validation import CheckResult, Figure, Series

__all__ = ["LayerError", "check_layers", "layer_check", "layer_errors", "ranges_of", "worst_layer"]

ROWS = 2048  # rows on which layers are compared
DRAWN = 16  # rows on which layers are compared before they have formats
MISREAD = 0.05  # of the largest number of a tensor: rounding stays far below, an exchanged axis far above


@dataclass(frozen=True, kw_only=True)
class LayerError:
    """How far one layer of the fixed-point network is from the float model.

    Attributes:
        name, kind: of the layer.
        tensor: of the float model.
        largest: size of the largest float number.
        error: largest difference.
        mean: mean size of the differences.
        result: the format.
    """

    name: str
    kind: str
    tensor: str
    largest: float
    error: float
    mean: float
    result: str

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)


def ranges_of(plan: Plan, model: Path, batches: Iterable[Batch]) -> dict[str, Range]:
    """Return smallest and largest number of each input and layer over the batches.

    Args:
        plan: the layers.
        model: the ONNX file that they were made from.
        batches: samples.

    Raises:
        CannotError: the float model lacks the tensor of a layer.
    """
    tensors = {layer.origin for layer in plan.layers if layer.origin}
    seen: dict[str, Range] = {}
    for batch in batches:
        for name, array in [*batch.inputs.items(), *trace_onnx(model, batch.inputs, tensors, name=str(model))]:
            if array.size:
                low, high = seen.get(name, (np.inf, -np.inf))
                seen[name] = min(low, float(array.min())), max(high, float(array.max()))
    found = {item.name: seen[item.name] for item in plan.inputs}
    for layer in plan.layers:
        if layer.origin:
            if layer.origin not in seen:
                raise CannotError(f"{model}: {layer.title}: the float model has no such tensor: its range is unknown")
            found[layer.name] = seen[layer.origin]
        else:  # a step that the float model does not have, such as one of several concatenations
            ends = [found[name] for name in layer.inputs]
            found[layer.name] = min(low for low, _ in ends), max(high for _, high in ends)
    return found


def check_layers(plan: Plan, model: Path, samples: Mapping[str, Array]) -> None:
    """Compare the float layers with the model's tensors, on rows drawn up to the size of each input, of both signs.

    Samples may be constant just where axes were exchanged; these rows are not. Every layer reads what the model itself has
    before it, so that rounding does not pile up.

    Args:
        plan: the layers.
        model: the ONNX file that they were made from.
        samples: rows by input, which give size and type of its numbers.

    Raises:
        DisagreementError: a layer computes something else; the message names it.
    """
    draw = np.random.default_rng(0)
    inputs: Arrays = {}
    for item in plan.inputs:
        given = samples[item.name]
        largest = max(1.0, float(np.abs(given).max()))
        inputs[item.name] = draw.uniform(-largest, largest, (DRAWN, *item.shape)).astype(given.dtype)
    tensors = {layer.origin for layer in plan.layers} | set(plan.outputs)
    expected = dict(trace_onnx(model, inputs, tensors, name=str(model)))
    values = {item.name: _turned(inputs[item.name].astype(np.float64), item.axes) for item in plan.inputs}
    for layer in plan.layers:
        values[layer.name] = NUMBERS[layer.kind](layer, [values[name] for name in layer.inputs])
        if layer.origin in expected:
            real = _turned(expected[layer.origin].astype(np.float64), layer.axes)
            _near(f"{model}: {layer.title}", values[layer.name], real)
            values[layer.name] = real
    for name, source in plan.outputs.items():
        found = values[source]
        _near(f"{model}: output '{name}'", _turned(found, plan.axes.get(name, range(found.ndim - 1))), expected[name])


def _turned(array: Array, axes: Iterable[int]) -> Array:
    return array.transpose(0, *(1 + axis for axis in axes))


def _near(title: str, found: Array, real: Array) -> None:
    gap = np.abs(found - real).max(initial=0.0) if found.shape == real.shape else np.inf
    if gap > MISREAD * np.abs(real).max(initial=0.0):
        raise DisagreementError(
            f"{title}: the layer as read differs from the model (largest difference {gap:.3g} on {DRAWN} drawn rows): not supported "
            "on --target hls4ml"
        )


def layer_errors(runner: EmulatorRunner, model: Path, batches: Sequence[Batch]) -> list[LayerError]:
    """Compare every layer with the float model's tensor, on the first rows of the batches."""
    first = [_cut(batch.inputs) for batch in batches[:1]]
    if not first:
        return []
    found = dict(runner.trace(first[0]))
    expected = dict(trace_onnx(model, first[0], set(found), name=str(model)))
    errors = []
    for layer in runner.emulator.network.layers:
        if layer.origin in expected and layer.origin in found:
            real, fixed = expected[layer.origin].astype(np.float64), found.pop(layer.origin)
            fixed = fixed.reshape(real.shape)
            gap = np.abs(real - fixed)
            errors.append(
                LayerError(
                    name=layer.name,
                    kind=layer.kind,
                    tensor=layer.origin,
                    largest=float(np.abs(real).max(initial=0.0)),
                    error=float(gap.max(initial=0.0)),
                    mean=float(gap.mean()) if gap.size else 0.0,
                    result=str(layer.result),
                )
            )
    return errors


def _cut(inputs: Mapping[str, Array]) -> Arrays:
    return {name: array[:ROWS] for name, array in inputs.items()}


def worst_layer(errors: Sequence[LayerError]) -> LayerError | None:
    """Return the layer at which the error grows most, against the size of its numbers."""
    share = [item.error / item.largest if item.largest else 0.0 for item in errors]
    growth = [after / max(before, 1e-12) if after > 1e-3 else 0.0 for before, after in zip([1e-3, *share], share, strict=False)]
    return errors[int(np.argmax(growth))] if errors else None


def layer_check(errors: Sequence[LayerError]) -> tuple[CheckResult, Figure]:
    """Return what a report says and draws of the errors by layer."""
    worst = max(errors, key=lambda item: item.error)
    text = f"{len(errors)} layers; the largest error is {worst.error:.2g} at {worst.name} (numbers up to {worst.largest:.3g})"
    figures: dict[str, Any] = {}
    for item in errors:
        figures |= {f"{item.name} error": item.error, f"{item.name} mean": item.mean, f"{item.name} largest": item.largest}
    places = [float(k) for k in range(len(errors))]
    figure = Figure(
        kind="lines",
        title="Errors by layer",
        x_label="layer",
        y_label="size",
        series=[
            Series(name="largest float number", x=places, y=[item.largest for item in errors]),
            Series(name="largest error", x=places, y=[item.error for item in errors]),
            Series(name="mean error", x=places, y=[item.mean for item in errors]),
        ],
        log_y=True,
        ticks=[item.name for item in errors],
    )
    return CheckResult(name="errors by layer", status="reported", text=text, figures=figures), figure
