"""A fixed-point network -> an hls4ml project (Vitis backend) that computes exactly the same, read back and compared with it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from portinf.core.child import run_module
from portinf.core.errors import CannotError, first_line
from portinf.core.optional import available, missing, require
from portinf.fixedpoint.casting import to_real
from portinf.fixedpoint.formats import Format
from portinf.fixedpoint.network import Layer, Network, load
from portinf.targets.fpga.firmware.check import AXES, ENDS, SOFTMAX, check_firmware

__all__ = ["PROJECT", "ProjectOptions", "check_packages", "write_project"]

PROJECT = "portinf_model"
SECONDS = 1800.0
# Passes of hls4ml that make another network: they drop a batch norm that rounds to 1 but changes the format, and turn the axes of
# inputs and of flattened images as if channels had been first.
LEFT_OUT = {
    "convert": ("remove_single_channel_transpose", "remove_transpose_before_flatten"),
    "optimize": ("remove_nop_batch_normalization",),
}
STRATEGIES = {"latency": "Latency", "resource": "Resource", "distributed_arithmetic": "distributed_arithmetic"}


@dataclass(frozen=True, kw_only=True)
class ProjectOptions:
    """Options of hls4ml.

    Attributes:
        part: the device.
        clock: nanoseconds.
        reuse: how many products one multiplier computes.
        strategy: ``latency``, ``resource`` or ``distributed_arithmetic``.
        stream: ``io_stream`` instead of ``io_parallel``.
    """

    part: str = "xcvu13p-flga2577-2-e"
    clock: float = 5.0
    reuse: int = 1
    strategy: str = "latency"
    stream: bool = False


def check_packages(strategy: str) -> None:
    """Refuse what is not installed, importing nothing.

    Raises:
        MissingPackageError: hls4ml, or da4ml for distributed arithmetic.
    """
    if not available("hls4ml"):
        raise missing("hls4ml", "fpga")
    if strategy == "distributed_arithmetic" and not available("da4ml"):
        raise missing("da4ml", "fpga")


def write_project(network: Path, folder: Path, options: ProjectOptions) -> None:
    """Write the project of a saved network into a folder, and compare the C++ with the network.

    hls4ml imports whole frameworks, so it writes in a process of its own.

    Args:
        network: folder that `portinf.fixedpoint.network.save` wrote.
        folder: of the project; made.
        options: of hls4ml.

    Raises:
        MissingPackageError: hls4ml, or da4ml for distributed arithmetic, is not installed.
        CannotError: hls4ml refuses the network, or wrote another one; the message names the layer.
    """
    check_packages(options.strategy)
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": os.environ.get("KERAS_BACKEND", "numpy")}
    arguments = (str(network), str(folder), json.dumps(asdict(options)))
    run_module(
        "portinf.targets.fpga.tools.hls4ml",
        *arguments,
        tool="hls4ml",
        task="write the project",
        seconds=SECONDS,
        environment=environment,
    )
    asked = load(network)
    check_firmware(asked, folder, PROJECT, _names(asked))


def main(network: str, folder: str, options: str) -> None:
    """Write a project here: the child's side."""
    _write(load(Path(network)), Path(folder), ProjectOptions(**json.loads(options)))


def _write(network: Network, folder: Path, options: ProjectOptions) -> None:
    hls4ml = require("hls4ml", "fpga")
    for layer in network.layers:
        if options.strategy != "latency" and "weight" in layer.numbers and layer.formats["accum"].overflow != "WRAP":
            raise CannotError(
                f"layer {layer.name}: its sums saturate ({layer.formats['accum']}), and --strategy {options.strategy} takes them in "
                "another order than the emulator: use --strategy latency"
            )
    config = hls4ml.utils.config.create_config(
        output_dir=str(folder),
        project_name=PROJECT,
        backend="Vitis",
        part=options.part,
        clock_period=options.clock,
        io_type="io_stream" if options.stream else "io_parallel",
    )
    names = _names(network)
    config["HLSConfig"] = _config(network, names, options)
    layers = [_input(names[item.name], item.inner_shape) for item in network.inputs]
    layers += [_entry(network, layer, names) for layer in network.layers]
    outputs = [names[layer] for layer in dict.fromkeys(network.outputs.values())]
    try:
        for flow, passes in LEFT_OUT.items():
            require("hls4ml.model.flow", "fpga").update_flow(flow, remove_optimizers=passes)
        make = require("hls4ml.model.graph", "fpga").ModelGraph.from_layer_list
        make(config, layers, [names[item.name] for item in network.inputs], outputs).write()
    except Exception as error:
        raise CannotError(f"hls4ml {hls4ml.__version__} refuses the network: {first_line(error)}") from error


def _names(network: Network) -> dict[str, str]:
    """Return a name that C++ takes by input and layer."""
    names = {item.name: "in_" + re.sub(r"\W", "_", item.name, flags=re.ASCII) for item in network.inputs}
    if len({name.lower() for name in names.values()}) < len(names):  # hls4ml looks types up by names in lower case
        names = {item.name: f"in_{number}" for number, item in enumerate(network.inputs)}
    return {**names, **{layer.name: layer.name for layer in network.layers}}


def _type(format: Format) -> str:
    return str(format).removeprefix("ap_").replace("AP_", "")


def _config(network: Network, names: Mapping[str, str], options: ProjectOptions) -> dict[str, Any]:
    by_name: dict[str, Any] = {
        names[item.name]: {"Precision": {"result": _type(item.format)}, "Trace": False} for item in network.inputs
    }
    for layer in network.layers:
        by_name[layer.name] = {
            "Precision": {"result": _type(layer.result), **_precisions(layer)},
            "ReuseFactor": options.reuse,
            "Trace": False,
            **_extra(layer),
        }
        if "weight" in layer.numbers:
            by_name[layer.name]["Strategy"] = STRATEGIES[options.strategy]
        if layer.kind == "reshape":  # in streams, under a name of hls4ml's own
            by_name[f"repack_{layer.name}"] = by_name[layer.name]
    plain = "resource" if options.strategy == "resource" else "latency"
    model = {"Precision": {"default": "fixed<16,6>"}, "ReuseFactor": options.reuse, "Strategy": STRATEGIES[plain]}
    return {"Model": model, "LayerName": by_name}


def _precisions(layer: Layer) -> dict[str, str]:
    """Return types by the words that hls4ml has for them; one that is missing here would become its default of 16 bits."""
    words = {"weight": "weight", "bias": "bias", "scale": "scale", "accum": "accum", "alpha": "param"}
    roles = [role for role in words if role in layer.formats and layer.kind != "softmax"]
    return {words[role]: _type(layer.formats[role]) for role in roles}


def _extra(layer: Layer) -> dict[str, Any]:
    """Return keys that hls4ml reads beside ``Precision``: of table types it takes these alone."""
    if layer.kind == "table":
        return {"table_t": _type(layer.formats["table"]), "TableSize": len(layer.numbers["table"])}
    if layer.kind != "softmax" or not layer.formats:
        return {}
    return {
        **{key: _type(layer.formats[role]) for role, key in SOFTMAX.items() if role in layer.formats},
        "exp_table_size": len(layer.numbers["exp"]),
        "inv_table_size": len(layer.numbers["inverse"]),
    }


def _input(name: str, shape: Sequence[int]) -> dict[str, Any]:
    return {"class_name": "InputLayer", "name": name, "input_shape": list(shape)}


def _entry(network: Network, layer: Layer, names: Mapping[str, str]) -> dict[str, Any]:
    """Return what hls4ml's own readers make of a layer."""
    shape = network.shape_of(layer.inputs[0])
    given = {
        "name": layer.name,
        "inputs": [names[name] for name in layer.inputs],
        "outputs": [layer.name],
        "data_format": "channels_last",
        "n_in": int(np.prod(shape)),
    }
    return {**given, **_ENTRIES[layer.kind](layer, shape)}


def _real(layer: Layer, role: str) -> Any:
    return to_real(layer.numbers[role], layer.formats[role])


def _dense(layer: Layer, shape: Sequence[int]) -> dict[str, Any]:
    weight = _real(layer, "weight")
    sizes = {"n_in": weight.shape[0], "n_out": weight.shape[1]}
    return {"class_name": "Dense", **sizes, "weight_data": weight, "bias_data": _real(layer, "bias")}


def _conv(layer: Layer, shape: Sequence[int]) -> dict[str, Any]:
    weight = _real(layer, "weight")
    window = weight.shape[:-2]
    return {
        "class_name": f"Conv{len(window)}D",
        "n_chan": weight.shape[-2],
        "n_filt": weight.shape[-1],
        "weight_data": weight,
        "bias_data": _real(layer, "bias"),
        "padding": "same" if any(map(any, layer.options["pads"])) else "valid",
        **_lengths(layer, shape, window, "filt"),
        **{f"dilation_{axis}": 1 for axis in AXES[len(window)]},
    }


def _lengths(layer: Layer, shape: Sequence[int], window: Sequence[int], what: str) -> dict[str, Any]:
    """Return lengths of input, output and window, strides and pads by axis."""
    found: dict[str, Any] = {}
    for number, axis in enumerate(AXES[len(window)]):
        before, after = layer.options["pads"][number]
        found |= {
            f"in_{axis}": shape[number],
            f"out_{axis}": layer.shape[number],
            f"{what}_{axis}": window[number],
            f"stride_{axis}": layer.options["strides"][number],
            f"pad_{ENDS[axis][0]}": before,
            f"pad_{ENDS[axis][1]}": after,
        }
    return found


def _pool(layer: Layer, shape: Sequence[int]) -> dict[str, Any]:
    window = layer.options["window"]
    kind = "Max" if layer.options["operation"] == "max" else "Average"
    found: dict[str, Any] = {"n_filt": shape[-1]}
    if layer.options.get("whole"):
        found |= {"class_name": f"Global{kind}Pooling{len(window)}D", "n_in": shape[0], "n_out": 1, "keepdims": False}
        return {**found, **{f"in_{axis}": shape[number] for number, axis in enumerate(AXES[len(window)])}}
    found |= {"class_name": f"{kind}Pooling{len(window)}D", "count_pad": layer.options["count_pad"]}
    found |= {"padding": "same" if any(map(any, layer.options["pads"])) else "valid"}
    found |= _lengths(layer, shape, window, "pool")
    return {**found, "n_in": shape[0], "n_out": layer.shape[0]} if len(window) == 1 else found


def _activation(layer: Layer, shape: Sequence[int]) -> dict[str, Any]:
    name = layer.options.get("function", layer.kind)
    return {"class_name": "Activation", "activation": name}


def _leaky_relu(layer: Layer, shape: Sequence[int]) -> dict[str, Any]:
    return {"class_name": "LeakyReLU", "activation": "leakyrelu", "activ_param": float(_real(layer, "alpha").item())}


def _softmax(layer: Layer, shape: Sequence[int]) -> dict[str, Any]:
    outer = int(np.prod(shape[:-1]))
    return {
        "class_name": "Softmax",
        "activation": "softmax",
        "axis": -1,
        "implementation": layer.options["implementation"],
        "n_outer": outer,
        "n_inner": 1,
    }


def _scale(layer: Layer, shape: Sequence[int]) -> dict[str, Any]:
    channels = -1 if len(shape) == 1 else shape[-1]
    return {
        "class_name": "BatchNormalization",
        "n_filt": channels,
        "n_out": int(np.prod(shape)),
        "scale_data": _real(layer, "scale"),
        "bias_data": _real(layer, "bias"),
    }


def _merge(kind: str) -> Any:
    return lambda layer, shape: {"class_name": "Merge", "op": kind}


def _concatenate(layer: Layer, shape: Sequence[int]) -> dict[str, Any]:
    return {"class_name": "Concatenate", "op": f"concatenate{len(shape)}d", "axis": layer.options["axis"] + 1}


_ENTRIES: dict[str, Any] = {
    "add": _merge("add"),
    "concatenate": _concatenate,
    "conv": _conv,
    "dense": _dense,
    "leaky_relu": _leaky_relu,
    "linear": _activation,
    "multiply": _merge("multiply"),
    "pool": _pool,
    "relu": _activation,
    "reshape": lambda layer, shape: {"class_name": "Reshape", "target_shape": list(layer.shape)},
    "scale": _scale,
    "softmax": _softmax,
    "subtract": _merge("subtract"),
    "table": _activation,
    "transpose": lambda layer, shape: {"class_name": "Transpose", "perm": list(layer.options["order"])},
}
