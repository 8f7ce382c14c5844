"""A fixed-point network as plain data: layers, formats and whole numbers; a folder with JSON and npz, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from portinf.fixedpoint.casting import Array
from portinf.fixedpoint.formats import FixedPointError, Format

__all__ = ["FILE", "SCHEMA", "Input", "Layer", "Network", "load", "save"]

SCHEMA = 1
FILE = "network.json"
NUMBERS = "network.npz"


@dataclass(frozen=True, kw_only=True)
class Input:
    """An input of the network.

    Attributes:
        name: the user's.
        shape: of one row as the user gives it, without the batch axis.
        axes: order in which those axes are put (from 0, without the batch axis): convolutions want channels last.
        format: what its numbers become.
    """

    name: str
    shape: tuple[int, ...]
    axes: tuple[int, ...]
    format: Format

    @property
    def inner_shape(self) -> tuple[int, ...]:
        """The shape of one row inside the network."""
        return tuple(self.shape[axis] for axis in self.axes)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer, in the order of computation.

    Attributes:
        name: a name that C++ takes.
        kind: key of `portinf.fixedpoint.emulator.OPERATIONS`.
        inputs: names of inputs or of earlier layers.
        shape: of one row of the result, channels last.
        result: format of the result.
        formats: of weights, sums and tables, by role.
        options: plain numbers, texts and lists, by name.
        numbers: whole numbers on the grids of ``formats``, by role.
        origin: name of the float tensor that it should equal; empty for none.
        axes: order of the float tensor's axes (without the batch axis) in the result.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    result: Format
    formats: Mapping[str, Format] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    numbers: Mapping[str, Array] = field(default_factory=dict)
    origin: str = ""
    axes: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Network:
    """Inputs, layers, and which layers are outputs.

    Attributes:
        inputs: in the user's order.
        layers: each after those that it reads.
        outputs: name of a layer by the user's name of the output, in the user's order.
        axes: order of a layer's axes (without the batch axis) in the output, by the output's name.
    """

    inputs: tuple[Input, ...]
    layers: tuple[Layer, ...]
    outputs: Mapping[str, str]
    axes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def format_of(self, name: str) -> Format:
        """Return the format of an input or a layer."""
        return (
            next(item.format for item in self.inputs if item.name == name) if self._is_input(name) else self.layer(name).result
        )

    def shape_of(self, name: str) -> tuple[int, ...]:
        """Return the shape of one row of an input (inside) or a layer."""
        if self._is_input(name):
            return next(item.inner_shape for item in self.inputs if item.name == name)
        return self.layer(name).shape

    def layer(self, name: str) -> Layer:
        """Return one layer."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise FixedPointError(f"no layer '{name}'; there are: {', '.join(layer.name for layer in self.layers)}")

    def _is_input(self, name: str) -> bool:
        return any(item.name == name for item in self.inputs)


def save(network: Network, folder: Path) -> None:
    """Write a network; the JSON file comes last."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = {f"{layer.name}/{role}": array for layer in network.layers for role, array in layer.numbers.items()}
    np.savez_compressed(folder / NUMBERS, **{key: array.astype(np.int64) for key, array in numbers.items()})  # type: ignore[arg-type]
    (folder / FILE).write_text(json.dumps(_plain(network), indent=1) + "\n", encoding="utf-8")


def load(folder: Path) -> Network:
    """Read what `save` wrote.

    Raises:
        FixedPointError: a file is missing, damaged or of another version.
    """
    try:
        data = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if data["schema"] != SCHEMA:
            raise FixedPointError(f"{folder / FILE}: schema {data['schema']}, expected {SCHEMA}: written by another version")
        with np.load(folder / NUMBERS, allow_pickle=False) as archive:
            numbers = {key: archive[key] for key in archive.files}
        return _network(data, numbers)
    except FixedPointError:
        raise
    except OSError as error:
        raise FixedPointError(f"{error.filename or folder}: {error.strerror or error}") from error
    except Exception as error:
        raise FixedPointError(f"{folder}: not a network of portinf, or damaged ({type(error).__name__}: {error})") from error


def _plain(network: Network) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "inputs": [
            {"name": item.name, "shape": list(item.shape), "axes": list(item.axes), "format": str(item.format)}
            for item in network.inputs
        ],
        "outputs": [
            {"name": name, "layer": layer, "axes": list(network.axes.get(name, ()))} for name, layer in network.outputs.items()
        ],
        "layers": [
            {
                "name": layer.name,
                "kind": layer.kind,
                "inputs": list(layer.inputs),
                "shape": list(layer.shape),
                "result": str(layer.result),
                "formats": {role: str(format) for role, format in layer.formats.items()},
                "options": dict(layer.options),
                "numbers": list(layer.numbers),
                "origin": layer.origin,
                "axes": list(layer.axes),
            }
            for layer in network.layers
        ],
    }


def _network(data: Mapping[str, Any], numbers: Mapping[str, Array]) -> Network:
    return Network(
        inputs=tuple(
            Input(name=item["name"], shape=tuple(item["shape"]), axes=tuple(item["axes"]), format=Format.parse(item["format"]))
            for item in data["inputs"]
        ),
        layers=tuple(_layer(item, numbers) for item in data["layers"]),
        outputs={item["name"]: item["layer"] for item in data["outputs"]},
        axes={item["name"]: tuple(item["axes"]) for item in data["outputs"] if item["axes"]},
    )


def _layer(item: Mapping[str, Any], numbers: Mapping[str, Array]) -> Layer:
    return Layer(
        name=item["name"],
        kind=item["kind"],
        inputs=tuple(item["inputs"]),
        shape=tuple(item["shape"]),
        result=Format.parse(item["result"]),
        formats={role: Format.parse(text) for role, text in item["formats"].items()},
        options=item["options"],
        numbers={role: numbers[f"{item['name']}/{role}"] for role in item["numbers"]},
        origin=item["origin"],
        axes=tuple(item["axes"]),
    )
