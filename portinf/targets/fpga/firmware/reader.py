"""The C++ that hls4ml wrote -> what it says as plain data: types, settings, calls and constants, read from the files as they stand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from portinf.core.batch import Array
from portinf.core.errors import CannotError
from portinf.fixedpoint.formats import FixedPointError, Format

__all__ = ["Call", "Constants", "Firmware", "Type", "plain", "read_firmware"]

FOLDER = "firmware"
TYPES, SETTINGS, CODE = "defines.h", "parameters.h", "nnet_utils/nnet_code_gen.h"


@dataclass(frozen=True, kw_only=True)
class Type:
    """A declared type.

    Attributes:
        format: of one number.
        pack: how many numbers one element of a stream holds; None for a plain number.
    """

    format: Format
    pack: int | None


@dataclass(frozen=True, kw_only=True)
class Call:
    """One line of the top function: ``nnet::function<types>(arguments); // layer``."""

    layer: str
    function: str
    types: tuple[str, ...]
    arguments: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Constants:
    """A file of constants.

    Attributes:
        type: name of their type.
        built: what synthesis takes, from the header.
        loaded: what the C simulation loads, from the text beside it.
    """

    type: str
    built: Array
    loaded: Array


@dataclass(frozen=True, kw_only=True)
class Firmware:
    """What the files say.

    Attributes:
        types: by name.
        variables: name of the type by name of the variable.
        ports: variables of the top function, inputs first.
        same: variable that another one is a second name of, by that name.
        calls: in their order.
        settings: of each ``struct``: value as text by name; a ``typedef`` gives the name of the type.
        constants: by variable.
        code: functions that were generated for single layers, as text.
    """

    types: Mapping[str, Type]
    variables: Mapping[str, str]
    ports: tuple[str, ...]
    same: Mapping[str, str]
    calls: tuple[Call, ...]
    settings: Mapping[str, Mapping[str, str]]
    constants: Mapping[str, Constants]
    code: str


def plain(text: str) -> str | int:
    """Return a setting's value: ``7*6*3`` and ``-1`` as a number, ``nnet::Max`` without its namespace."""
    text = " ".join(text.replace("nnet::", "").split())
    if re.fullmatch(r"-?\d+(\s*\*\s*\d+)*", text):
        return int(np.prod([int(part) for part in text.split("*")]))
    return text


def read_firmware(project: Path, name: str) -> Firmware:
    """Read a project of hls4ml's Vitis backend.

    Args:
        project: its folder.
        name: its name.

    Raises:
        CannotError: a file is missing, or has a line that is not understood.
    """
    folder = project / FOLDER
    try:
        top, code = (_text(folder / file) for file in (f"{name}.cpp", CODE))
        settings = _settings(_text(folder / SETTINGS))
        variables, same, calls = _body(top.partition("insert layers\n")[2])
        ports = _ports(top, name)
        return Firmware(
            types=_types(_text(folder / TYPES)),
            variables={**variables, **ports},
            ports=tuple(ports),
            same=same,
            calls=calls,
            settings=settings,
            constants=_constants(folder / "weights", top),
            code=code,
        )
    except (OSError, ValueError) as error:
        raise CannotError(f"what hls4ml wrote cannot be read back: {error}") from error


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _types(text: str) -> dict[str, Type]:
    found: dict[str, Type] = {}
    for line in re.findall(r"^typedef .*;", text, re.MULTILINE):
        match = re.fullmatch(r"typedef (?:nnet::array<)?(ap_u?(?:fixed|int)<[^<>]*>)(?:, ([\d*]+)>)? (\w+);", line)
        if match is None:
            raise ValueError(f"{TYPES}: {line}")
        pack = plain(match[2]) if match[2] else None
        found.setdefault(match[3], Type(format=_format(match[1]), pack=int(pack) if pack is not None else None))
    return found


def _format(text: str) -> Format:
    try:
        return Format.parse(re.sub(r",\s*0>$", ">", text) if text.count(",") == 4 else text)  # saturation bits: none
    except FixedPointError as error:
        raise ValueError(f"{TYPES}: {error}") from error


def _settings(text: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for name, body in re.findall(r"^struct (\w+)[^{;]*\{(.*?)^\};", text, re.MULTILINE | re.DOTALL):
        given = dict(re.findall(r"(?:static (?:const|constexpr) [\w:]+|static auto|using)\s+(\w+)\s*=\s*([^;]+);", body))
        given |= {name: type for type, name in re.findall(r"typedef ([^;]+?) (\w+);", body)}
        found[name] = given
        for array, values in re.findall(rf"^unsigned {name}_(\w+)\[\d+\] = \{{([^}}]*)\}};", text, re.MULTILINE):
            given[array] = values
    return found


def _ports(top: str, name: str) -> dict[str, str]:
    match = re.search(rf"void {name}\((.*?)\) \{{", top, re.DOTALL)
    found = re.findall(r"(?:hls::stream<)?(\w+)(?:>\s*&)?\s*(\w+)(?:\[[\d*]+\])?(?:,|$)", match[1].strip()) if match else []
    if not found:
        raise ValueError(f"{name}.cpp: no arguments of its top function")
    return {variable: type for type, variable in found}


def _body(text: str) -> tuple[dict[str, str], dict[str, str], tuple[Call, ...]]:
    variables, same, calls = {}, {}, []
    for line in map(str.strip, text.splitlines()):
        if not line or line == "}" or line.startswith(("#pragma", "//")):
            continue
        if call := re.fullmatch(r"nnet::(\w+)<([^()]*)>\((.*)\);(?: // (\w+))?", line):
            parts = [tuple(part.strip() for part in call[number].split(",")) for number in (2, 3)]
            calls.append(Call(layer=call[4] or "", function=call[1], types=parts[0], arguments=parts[1]))
        elif alias := re.fullmatch(r"auto& (\w+) = (\w+);", line):
            same[alias[1]] = alias[2]
        elif variable := re.fullmatch(r"(?:hls::stream<)?(\w+)>? (\w+)(?:\[[\d*]+\]|\(\"\w+\"\));", line):
            variables[variable[2]] = variable[1]
        else:
            raise ValueError(f"the top function has the line '{line}'")
    return variables, same, tuple(calls)


def _constants(folder: Path, top: str) -> dict[str, Constants]:
    texts = dict(re.findall(r"load_weights_from_txt<\w+, \d+>\((\w+), \"([^\"]+)\"\);", top))
    found = {}
    for path in sorted(folder.glob("*.h")):
        match = re.search(r"^(\w+) (\w+)\[(\d+)\] = \{([^}]*)\};", _text(path), re.MULTILINE)
        if match is None:
            raise ValueError(f"weights/{path.name}: no constants")
        if match[2] not in texts:
            raise ValueError(f"weights/{path.name}: the C simulation does not load it")
        built, loaded = _numbers(match[4]), _numbers(_text(folder / texts[match[2]]))
        found[match[2]] = Constants(type=match[1], built=built, loaded=loaded)
        if built.size != int(match[3]) or loaded.size != built.size:
            raise ValueError(f"weights/{path.name}: expected {match[3]} numbers")
    return found


def _numbers(text: str) -> Array:
    return np.array([float(part) for part in text.split(",") if part.strip()], dtype=np.float64)
