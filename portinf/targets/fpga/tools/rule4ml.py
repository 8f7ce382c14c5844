"""A fixed-point network -> rule4ml's prediction of LUTs, flip-flops, DSPs, BRAM and clocks: an estimate, in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from portinf.core.child import run_module
from portinf.core.errors import CannotError, first_line
from portinf.core.optional import require
from portinf.fixedpoint.network import Layer, Network

__all__ = ["BOARDS", "predicted"]

BOARDS = {"xc7z020": "pynq-z2", "xczu9eg": "zcu102", "xcvu9p": "alveo-u200", "xcu200": "alveo-u200"}
BOARDS |= {"xcvu13p": "alveo-u250", "xcu250": "alveo-u250"}
FIGURES = ("LUT", "FF", "DSP", "BRAM", "CYCLES")  # INTERVAL is left out: what it gives for one is far off
SECONDS = 600.0
LARGEST = 512  # inputs or outputs of a dense layer
PINNED = {"hls4ml_versions": "1.1.0", "vivado_versions": "2023.2"}  # the newest that rule4ml 0.2 was trained on


def predicted(network: Network, part: str, strategy: str, reuse: int) -> tuple[str, Mapping[str, float]]:
    """Predict.

    Args:
        network: of dense layers, batch norms and activations in a row.
        part: the device.
        strategy: ``latency`` or ``resource``; distributed arithmetic is predicted as latency.
        reuse: products that one multiplier computes.

    Returns:
        What was predicted, in words, and the figures by name.

    Raises:
        CannotError: rule4ml does not predict such a network, or for this part.
    """
    board = next((board for start, board in BOARDS.items() if part.lower().startswith(start)), None)
    if board is None:
        raise CannotError(f"rule4ml knows no board with the part {part}; it knows {', '.join(sorted(set(BOARDS.values())))}")
    plan = "resource" if strategy == "resource" else "latency"
    results = [layer.result for layer in network.layers]
    integer = max(result.integer + (not result.signed) for result in results)
    width = integer + max(result.fraction for result in results)
    precision = f"ap_fixed<{width},{integer}>"
    config = {"board": board, "model": {"strategy": plan, "precision": precision, "reuse_factor": reuse}}
    request = {"size": network.inputs[0].inner_shape, "layers": _layers(network), "config": config}
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": ""}
    module = "portinf.targets.fpga.tools.rule4ml"
    said = run_module(module, json.dumps(request), tool="rule4ml", task="answer", seconds=SECONDS, environment=environment)
    try:
        figures = json.loads(said.strip().splitlines()[-1])
    except (ValueError, IndexError) as error:
        raise CannotError(f"rule4ml failed: {first_line(error)}") from error
    return f"{board}, strategy {plan}, {precision}, hls4ml 1.1.0", figures


def _layers(network: Network) -> list[dict[str, Any]]:
    """Return dense layers, batch norms and activations in their order."""
    before = network.inputs[0].name
    found: list[dict[str, Any]] = []
    for layer in network.layers:
        if layer.inputs != (before,) or len(network.inputs) > 1 or len(layer.shape) > 1 or layer.kind not in _KINDS:
            raise CannotError(f"{layer.name}: rule4ml supports only a sequence of dense layers, batch norms and activations")
        found.append({"kind": layer.kind, "units": layer.shape[0], "function": _function(layer)})
        before = layer.name
    if max(layer.shape[0] for layer in network.layers) > LARGEST:
        raise CannotError(f"rule4ml was trained on layers of up to {LARGEST} numbers")
    return found


_KINDS = ("dense", "scale", "relu", "softmax", "table", "linear")


def _function(layer: Layer) -> str:
    return str(layer.options.get("function", layer.kind))


def main(request: str) -> None:
    """Predict here and print the figures as JSON; activations go into the dense layer before them, as rule4ml wants them."""
    data = json.loads(request)
    keras = require("keras", "tensorflow")
    wrappers = require("rule4ml.models.wrappers", "")
    model = keras.Sequential([keras.Input(tuple(data["size"]))])
    entries = data["layers"]
    for number, entry in enumerate(entries):
        behind = entries[number + 1]["kind"] if number + 1 < len(entries) else ""
        if entry["kind"] == "dense":
            taken = behind in ("relu", "softmax", "table")
            model.add(keras.layers.Dense(entry["units"], entries[number + 1]["function"] if taken else None))
        elif entry["kind"] == "scale":
            model.add(keras.layers.BatchNormalization())
    model.build((None, *data["size"]))
    predictor = wrappers.MultiModelWrapper()
    predictor.load_default_models()
    table = predictor.predict(model, hls_configs=data["config"], **PINNED)
    print(json.dumps({name: float(table[name].iloc[0]) for name in FIGURES}))
