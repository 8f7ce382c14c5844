"""What a network needs and what the C++ of its project does, side by side: the first difference is refused with its name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from portinf.core.errors import CannotError
from portinf.fixedpoint.casting import to_real
from portinf.fixedpoint.formats import Format
from portinf.fixedpoint.linear import sum_range
from portinf.fixedpoint.network import Layer, Network
from portinf.targets.fpga.firmware.generated import GRID, sums_of
from portinf.targets.fpga.firmware.reader import Call, Firmware, plain

__all__ = ["PRODUCT", "FirmwareComparison", "Pads"]

PRODUCT = {"product": "product::mult<x_T, y_T>"}  # hls4ml has others, for weights of one or two bits
Pads = tuple[tuple[int, int], ...]


class FirmwareComparison:
    """A comparison under way.

    Args:
        network: as the emulator computes it.
        firmware: what was written of it.

    Attributes:
        holds: by variable, whose numbers it has, and what was put around them.
        done: layers that were found.
    """

    def __init__(self, network: Network, firmware: Firmware) -> None:
        self.network, self.firmware = network, firmware
        self.layers = {layer.name: layer for layer in network.layers}
        self.holds: dict[str, tuple[str, Pads]] = {}
        self.done: set[str] = set()

    def root(self, name: str) -> str:
        """Return the layer or input whose numbers these are: reshaping and casting to the same format compute nothing."""
        layer = self.layers.get(name)
        while layer is not None and layer.kind in ("reshape", "linear"):
            if layer.result != self.network.format_of(layer.inputs[0]):
                return layer.name
            name = layer.inputs[0]
            layer = self.layers.get(name)
        return name

    def named(self, variable: str) -> str:
        """Return the variable of which this one is a second name."""
        while variable in self.firmware.same:
            variable = self.firmware.same[variable]
        return variable

    def held(self, variable: str) -> tuple[str, Pads]:
        variable = self.named(variable)
        if variable not in self.holds:
            raise CannotError(f"what hls4ml wrote cannot be read back: nothing computes its variable {variable}")
        return self.holds[variable]

    def type_of(self, variable: str) -> Format:
        return self.firmware.types[self.firmware.variables[self.named(variable)]].format

    def same(self, name: str, what: str, expected: Any, found: Any) -> None:
        if found != expected:
            where = f"layer {name}" if name in self.layers else name
            raise CannotError(
                f"{where}: hls4ml changed the {what} from {expected} to {found}, so the firmware would not compute what the emulator "
                "does; not supported (try another --strategy or --io)"
            )

    def refuse(self, layer: Layer, why: str) -> CannotError:
        """Return the error that names a layer."""
        return CannotError(f"layer {layer.name}: {why}: not supported")

    def settings(self, layer: str, struct: str, expected: Mapping[str, Any]) -> None:
        """Compare settings: formats, numbers and words."""
        settings = self.firmware.settings.get(struct, {})
        for name, value in expected.items():
            text = settings.get(name, "nothing")
            if isinstance(value, Format):
                type = self.firmware.types.get(text)
                word = "alpha" if name == "param_t" else name.removesuffix("_t")
                self.same(layer, f"{word} type", value, type.format if type is not None else text)
            else:
                self.same(layer, name, value, plain(text))

    def constants(self, layer: Layer, role: str, variable: str, *, turned: bool = False) -> None:
        """Compare numbers, one by one in their order, and their type."""
        found = self.firmware.constants.get(variable)
        if found is None:
            raise self.refuse(layer, f"hls4ml wrote no {role} ({variable})")
        self.same(layer.name, f"{role} type", layer.formats[role], self.firmware.types[found.type].format)
        expected = to_real(layer.numbers[role], layer.formats[role])
        inside = np.arange(expected.size).reshape(-1, expected.shape[-1])
        places = (inside.T if turned else inside).ravel()
        for array in (found.built, found.loaded):
            if array.shape != places.shape:
                raise self.refuse(layer, f"hls4ml wrote {array.size} numbers as its {role}, expected {places.size}")
            other = np.flatnonzero(array != expected.ravel()[places])
            if other.size:
                where = [int(k) for k in np.unravel_index(places[other[0]], expected.shape)]
                self.same(layer.name, f"{role} {where}", float(expected.ravel()[places[other[0]]]), float(array[other[0]]))

    def weighted(self, layer: Layer, call: Call, config: str) -> None:
        """Compare weights, biases and sums of a dense layer or a convolution."""
        settings = self.firmware.settings.get(config, {})
        inner = settings.get("mult_config", config)
        kernel = self.firmware.settings.get(inner, {}).get("kernel", "")
        function = next((text for text in (call.function, settings.get("dense_da", ""), kernel) if "dense_da_" in text), None)
        if function is not None:
            self.distributed(layer, re.sub(r"^.*dense_da_(?:wrapper_)?(\d+).*$", r"dense_da_\1", function))
            return
        turned = plain(settings.get("strategy", "")) == "resource"
        if f"Dense{'Resource' if turned else 'Latency'}" not in kernel:
            raise self.refuse(layer, f"hls4ml computes it by {kernel or 'nothing that is known'}")
        for struct in dict.fromkeys((config, inner)):
            self.settings(layer.name, struct, {f"{role}_t": layer.formats[role] for role in ("accum", "bias", "weight")})
        self.settings(layer.name, inner, PRODUCT)
        for role, variable in zip(("weight", "bias"), call.arguments[2:], strict=True):
            self.constants(layer, role, variable, turned=turned and role == "weight")

    def distributed(self, layer: Layer, function: str) -> None:
        """Compare the sums that were laid out as additions and shifts."""
        given, formats = self.network.format_of(layer.inputs[0]), layer.formats
        weight = layer.numbers["weight"].reshape(-1, layer.numbers["weight"].shape[-1])
        up = GRID - formats["weight"].fraction - given.fraction
        whole = weight.astype(object) * (1 << up)
        start = layer.numbers["bias"].astype(object) * (1 << (GRID - formats["bias"].fraction))
        unit = 1 << (GRID - formats["accum"].fraction)
        low, high = sum_range(whole, start, given)
        if any(number % unit for number in (*whole.ravel(), *start)) or not formats["accum"].holds(low // unit, high // unit):
            raise CannotError(
                f"layer {layer.name}: {formats['accum']} does not hold all of its sums, which distributed arithmetic does not cut: use "
                "--strategy latency"
            )
        try:
            found = sums_of(self.firmware.code, function, given)
        except (ValueError, SyntaxError) as error:
            raise CannotError(f"layer {layer.name}: what hls4ml wrote of it cannot be read back: {error}") from error
        self.same(layer.name, "number of outputs", weight.shape[1], len(found))
        for number, one in enumerate(found):
            unit = 1 << (GRID - given.fraction)
            for place, factor in enumerate(whole[:, number]):
                made = one.factors.get(place, 0)
                self.same(layer.name, f"weight [{place}, {number}]", factor / unit, made / unit)
            self.same(layer.name, f"bias [{number}]", start[number] / (1 << GRID), one.start / (1 << GRID))
