"""A fixed-point network against the C++ that hls4ml wrote of it: every type, setting, constant and connection, by layer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from portinf.core.batch import Array
from portinf.core.errors import CannotError
from portinf.fixedpoint.casting import to_real
from portinf.fixedpoint.linear import windows
from portinf.fixedpoint.network import Layer, Network
from portinf.targets.fpga.firmware.comparison import PRODUCT, FirmwareComparison
from portinf.targets.fpga.firmware.generated import windows_of
from portinf.targets.fpga.firmware.reader import Call, read_firmware

__all__ = ["AXES", "CHECKS", "ENDS", "SOFTMAX", "check_firmware"]

AXES = {1: ("width",), 2: ("height", "width")}
ENDS = {"height": ("top", "bottom"), "width": ("left", "right")}
SOFTMAX = {"norm": "inp_norm_t", "exp": "exp_table_t", "accum": "accum_t", "sum": "inv_inp_t", "inverse": "inv_table_t"}
COPIES = ("clone_stream", "repack_stream")  # functions that hand numbers on


def check_firmware(network: Network, project: Path, name: str, inputs: Mapping[str, str]) -> None:
    """Follow the calls of the top function, and compare each with its layer.

    Args:
        network: as the emulator computes it.
        project: folder that hls4ml wrote.
        name: of the project.
        inputs: C++ name by input.

    Raises:
        CannotError: something differs, or is not understood; the message names the layer, what was expected for and what is written.
    """
    check = FirmwareComparison(network, read_firmware(project, name))
    try:
        _follow(check, inputs)
    except (KeyError, IndexError, ValueError) as error:
        raise CannotError(f"what hls4ml wrote cannot be read back: {type(error).__name__}: {error}") from error


def _follow(check: FirmwareComparison, inputs: Mapping[str, str]) -> None:
    network, ports = check.network, check.firmware.ports
    count = len(network.inputs)
    for item, variable in zip(network.inputs, ports[:count], strict=True):
        check.same(item.name, "name", inputs[item.name], variable)
        check.same(item.name, "type", item.format, check.type_of(variable))
        check.holds[variable] = (item.name, ())
    for call in check.firmware.calls:
        layer = check.layers.get(call.layer)
        passes = call.function == "linear" and layer is not None and check.root(layer.name) != layer.name
        if passes or call.function in COPIES or call.function.startswith("zeropad"):
            _copy(check, call)
        elif layer is None or layer.name in check.done:
            raise CannotError(f"hls4ml wrote a step of its own, {call.function} ({call.layer or 'no layer'}): not supported")
        else:
            _take(check, layer, call)
    for layer in network.layers:
        if layer.name not in check.done and check.root(layer.name) == layer.name:
            raise CannotError(f"hls4ml dropped layer {layer.name} ({layer.kind}): not supported")
    outputs = [check.root(name) for name in dict.fromkeys(network.outputs.values())]
    check.same("the outputs", "layers", outputs, [check.held(variable)[0] for variable in ports[count:]])


def _take(check: FirmwareComparison, layer: Layer, call: Call) -> None:
    """Compare a layer with its call."""
    count = len(layer.inputs)
    given, made = call.arguments[:count], call.arguments[count + (layer.kind == "leaky_relu")]
    for name, variable in zip(layer.inputs, given, strict=True):
        root, pads = check.held(variable)
        check.same(layer.name, "input", check.root(name), root)
        check.same(layer.name, "input type", check.network.format_of(name), check.type_of(variable))
        if pads and layer.kind != "conv":
            raise check.refuse(layer, "hls4ml put padding before it")
    check.same(layer.name, "result type", layer.result, check.type_of(made))
    kept = [check.firmware.variables[check.named(variable)] for variable in (*given, made)]
    check.same(layer.name, "types of the call", kept, [text for text in call.types if text in kept])
    packs = [check.firmware.types[type].pack for type in kept]
    if layer.kind in ELEMENTWISE and len(set(packs)) > 1:
        raise CannotError(
            f"layer {layer.name} ({layer.kind}): hls4ml's streams hand it {packs[:-1]} numbers at a time and take {packs[-1]}, which it "
            "does not compute: use --io parallel"
        )
    CHECKS[layer.kind](check, layer, call)
    check.done.add(layer.name)
    check.holds[made] = (layer.name, ())


def _copy(check: FirmwareComparison, call: Call) -> None:
    """Follow numbers that are passed on: cloned, repacked, or padded for a convolution."""
    given, *made = call.arguments
    name, pads = check.held(given)
    if call.function.startswith("zeropad"):
        shape, settings = check.network.shape_of(name), check.firmware.settings[call.types[-1]]
        axes = AXES[len(shape) - 1]
        pads = tuple((int(settings[f"pad_{ENDS[axis][0]}"]), int(settings[f"pad_{ENDS[axis][1]}"])) for axis in axes)
        sizes = {f"in_{axis}": length for axis, length in zip(axes, shape, strict=False)} | {"n_chan": shape[-1]}
        sizes |= {f"out_{axis}": n + sum(pair) for axis, n, pair in zip(axes, shape, pads, strict=False)}
        check.settings(call.layer, call.types[-1], sizes)
    for variable in made:
        check.same(call.layer, "type", check.type_of(given), check.type_of(variable))
        check.holds[variable] = (name, pads)


Check = Callable[[FirmwareComparison, Layer, Call], None]


def _size(shape: Sequence[int]) -> int:
    return int(np.prod(shape))


def _dense(check: FirmwareComparison, layer: Layer, call: Call) -> None:
    shape, weight = check.network.shape_of(layer.inputs[0]), layer.numbers["weight"]
    config = call.types[-1] if call.types[-1] in check.firmware.settings else call.types[0]
    if len(shape) > 1:
        window = (1,) * (len(shape) - 1)
        _windows(check, layer, call, config, weight.reshape(*window, *weight.shape), [(0, 0)] * len(window), [1] * len(window))
    elif config in check.firmware.settings:
        check.settings(layer.name, config, {"n_in": weight.shape[0], "n_out": weight.shape[1]})
    check.weighted(layer, call, config)


def _conv(check: FirmwareComparison, layer: Layer, call: Call) -> None:
    config = call.types[-1] if call.types[-1] in check.firmware.settings else call.types[0]
    _windows(check, layer, call, config, layer.numbers["weight"], layer.options["pads"], layer.options["strides"])
    check.weighted(layer, call, config)


def _windows(
    check: FirmwareComparison,
    layer: Layer,
    call: Call,
    config: str,
    weight: Array,
    pads: Sequence[Sequence[int]],
    strides: Sequence[int],
) -> None:
    """Compare the windows of a convolution: their sizes, and which numbers they take where that is written out."""
    shape = check.network.shape_of(layer.inputs[0])
    axes, settings = AXES[len(shape) - 1], check.firmware.settings.get(config, {})
    around = check.held(call.arguments[0])[1] or ((0, 0),) * len(axes)
    expected: dict[str, Any] = {"n_chan": shape[-1], "n_filt": weight.shape[-1]}
    for number, axis in enumerate(axes):
        expected |= {
            f"in_{axis}": shape[number] + sum(around[number]),
            f"out_{axis}": layer.shape[number],
            f"filt_{axis}": weight.shape[number],
            f"stride_{axis}": strides[number],
        }
        if "dense_da" not in settings:
            expected |= {f"pad_{end}": pads[number][k] - around[number][k] for k, end in enumerate(ENDS[axis])}
    if "dense_da" not in settings:
        expected["implementation"] = "conv_implementation::linebuffer"
    check.settings(layer.name, config, expected)
    buffer = re.search(r"fill_buffer_\d+", settings.get("fill_buffer", ""))
    if buffer is not None:
        inside = np.arange(1, 1 + _size(shape)).reshape(1, *shape)
        seen = windows(np.pad(inside, [(0, 0), *map(tuple, pads), (0, 0)]), weight.shape[: len(axes)], strides)
        try:
            found = windows_of(check.firmware.code, buffer[0])
        except ValueError as error:
            raise CannotError(f"layer {layer.name}: what hls4ml wrote of it cannot be read back: {error}") from error
        if not np.array_equal(found, seen.reshape(_size(layer.shape[:-1]), -1)):
            raise check.refuse(layer, "hls4ml takes other numbers into its windows than the emulator")
    elif around == ((0, 0),) * len(axes) and any(map(any, pads)):
        raise check.refuse(layer, "hls4ml left its padding out")


def _pool(check: FirmwareComparison, layer: Layer, call: Call) -> None:
    shape, options = check.network.shape_of(layer.inputs[0]), layer.options
    axes, config = AXES[len(shape) - 1], call.types[-1]
    expected: dict[str, Any] = {
        "n_filt": shape[-1],
        "pool_op": "Max" if options["operation"] == "max" else "Average",
        "accum_t": layer.formats["accum"],
    }
    whole, one = bool(options.get("whole")), len(axes) == 1
    for number, axis in enumerate(axes):
        expected["n_in" if one else f"in_{axis}"] = shape[number]
        if not whole:
            expected |= {
                "n_out" if one else f"out_{axis}": layer.shape[number],
                f"pool_{axis}": options["window"][number],
                f"stride_{axis}": options["strides"][number],
                **{f"pad_{end}": options["pads"][number][k] for k, end in enumerate(ENDS[axis])},
            }
    if not whole:
        expected["count_pad"] = "true" if options["count_pad"] else "false"
    check.same(layer.name, "function", f"{'global_' if whole else ''}pooling{len(axes)}d_cl", call.function)
    check.settings(layer.name, config, expected)
    stream = check.firmware.types[check.firmware.variables[check.named(call.arguments[0])]].pack is not None
    other = not one and list(options["window"]) != list(options["strides"])
    if stream and not whole and (any(map(any, options["pads"])) or other):
        raise CannotError(
            f"layer {layer.name}: hls4ml's streams pool without padding, and in 2D only windows that do not overlap: use --io parallel"
        )


def _activation(check: FirmwareComparison, layer: Layer, call: Call) -> None:
    check.same(layer.name, "function", layer.options.get("function", layer.kind), call.function)
    expected: dict[str, Any] = {"n_in": _size(layer.shape)}
    if layer.kind == "table":
        expected |= {"table_size": len(layer.numbers["table"]), "table_t": layer.formats["table"]}
    if layer.kind == "leaky_relu":
        expected["param_t"] = layer.formats["alpha"]
        try:
            found = float(call.arguments[1])
        except ValueError as error:
            raise check.refuse(layer, f"hls4ml wrote {call.arguments[1]} as alpha") from error
        check.same(layer.name, "alpha", float(to_real(layer.numbers["alpha"], layer.formats["alpha"]).item()), found)
        check.same(
            layer.name, "type of the call's alpha", check.firmware.settings[call.types[-1]].get("param_t"), call.types[1]
        )
    check.settings(layer.name, call.types[-1], expected)


def _softmax(check: FirmwareComparison, layer: Layer, call: Call) -> None:
    if call.function not in ("softmax", "softmax_multidim"):
        check.same(layer.name, "function", "softmax", call.function)
    rows, last = _size(layer.shape[:-1]), layer.shape[-1]
    expected: dict[str, Any] = {
        "n_in": rows * last,
        "n_slice": last,
        "n_inner": 1,
        "n_outer": rows,
        "implementation": f"softmax_implementation::{layer.options['implementation']}",
    }
    expected |= {key: layer.formats[role] for role, key in SOFTMAX.items() if role in layer.formats}
    if layer.formats:
        expected |= {
            "exp_table_size": len(layer.numbers["exp"]),
            "inv_table_size": len(layer.numbers["inverse"]),
            "exp_scale": "1.0",
        }
    check.settings(layer.name, call.types[-1], expected)


def _scale(check: FirmwareComparison, layer: Layer, call: Call) -> None:
    check.same(layer.name, "function", "normalize", call.function)
    channels = -1 if len(layer.shape) == 1 else layer.shape[-1]
    formats = {f"{role}_t": layer.formats[role] for role in ("scale", "bias")}
    check.settings(layer.name, call.types[-1], {"n_in": _size(layer.shape), "n_filt": channels, **formats, **PRODUCT})
    for role, variable in zip(("scale", "bias"), call.arguments[2:], strict=True):
        check.constants(layer, role, variable)


def _join(check: FirmwareComparison, layer: Layer, call: Call) -> None:
    check.same(layer.name, "function", layer.kind, call.function)
    check.settings(layer.name, call.types[-1], {"n_elem": _size(layer.shape)})


def _concatenate(check: FirmwareComparison, layer: Layer, call: Call) -> None:
    shapes = [check.network.shape_of(name) for name in layer.inputs]
    check.same(layer.name, "function", f"concatenate{len(layer.shape)}d", call.function)
    expected = {f"n_elem{k}_{axis}": n for k, shape in enumerate(shapes, start=1) for axis, n in enumerate(shape)}
    check.settings(layer.name, call.types[-1], {**expected, "axis": layer.options["axis"] + 1})


def _transpose(check: FirmwareComparison, layer: Layer, call: Call) -> None:
    check.same(layer.name, "function", "transpose", call.function)
    shape, order = check.network.shape_of(layer.inputs[0]), layer.options["order"]
    steps = [_size(shape[axis + 1 :]) for axis in order]
    arrays = {"from_shape": shape, "to_shape": layer.shape, "perm": order, "perm_strides": steps}
    words = {name: ", ".join(map(str, values)) for name, values in arrays.items()}
    check.settings(layer.name, call.types[-1], {"dims": len(shape), "N": _size(shape), **words})


ELEMENTWISE = ("add", "leaky_relu", "linear", "multiply", "relu", "scale", "softmax", "subtract", "table")
CHECKS: Mapping[str, Check] = {
    "add": _join,
    "concatenate": _concatenate,
    "conv": _conv,
    "dense": _dense,
    "leaky_relu": _activation,
    "linear": _activation,
    "multiply": _join,
    "pool": _pool,
    "relu": _activation,
    "scale": _scale,
    "softmax": _softmax,
    "subtract": _join,
    "table": _activation,
    "transpose": _transpose,
}
