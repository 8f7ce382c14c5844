"""Writes the folder from which a site builds and checks an engine in its own container: settings, recorded requests, the kit."""

from __future__ import annotations

import json
import math
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from portinf.core.batch import Array, Batch
from portinf.core.errors import CannotError
from portinf.core.files import sha256
from portinf.core.signature import Signature
from portinf.targets.tensorrt.profiles import Profile
from portinf.targets.tensorrt.versions import Version

__all__ = ["ENGINE", "KIT", "PLAN", "Recorded", "check_types", "write_site"]

KIT = ("build_engine.sh", "replay.py")
ENGINE = "engine.json"
PLAN = "model.plan"
TYPES = ("bool", "uint8", "int32", "int64", "float16", "float32")  # that an engine has as inputs and outputs, unchanged


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One request with its right answer.

    Attributes:
        batch: inputs, and the outputs of the original as ``expected``.
        rtol: by output.
        atol: by output, in a shape that broadcasts to the output's own.
    """

    batch: Batch
    rtol: Mapping[str, float]
    atol: Mapping[str, Array]


def check_types(signature: Signature, version: Version) -> list[str]:
    """Refuse inputs and outputs that an engine has in another type, or not at all; return notes on the others.

    Raises:
        CannotError: a type is not supported; the message names the tensor.
    """
    narrowed = []
    for spec in (*signature.inputs, *signature.outputs):
        if spec.dtype == "float64":
            raise CannotError(
                f"tensor '{spec.name}' is float64, and an engine would have it as float32: cast it at the model's edge, and convert again"
            )
        if spec.dtype not in TYPES:
            raise CannotError(f"tensor '{spec.name}' is {spec.dtype}; an engine's inputs and outputs are {', '.join(TYPES)}")
        if spec.optional:
            raise CannotError(
                f"input '{spec.name}' is optional: TensorRT makes a constant of its default; make it required or fixed"
            )
        if spec.dtype == "int64" and not version.native_int64:
            narrowed.append(spec.name)
    if not narrowed:
        return []
    return [
        f"int64 becomes int32 in an engine of TensorRT {version}: clients must send and read {', '.join(narrowed)} as INT32, "
        "as config.pbtxt says"
    ]


def write_site(
    folder: Path, *, name: str, version: Version, precision: str, profile: Profile, recorded: Sequence[Recorded]
) -> None:
    """Write the kit beside ``model.onnx``, which is already there.

    Args:
        folder: to write into.
        name: of the model in the repository.
        version: of TensorRT for which the model was checked.
        precision: ``fp32``, ``fp16``, ``bf16`` or ``int8``: what the types in the graph are.
        profile: shapes of the engine.
        recorded: the requests that the engine must answer.
    """
    for kit in KIT:
        with files("portinf.targets.tensorrt").joinpath("kit", kit).open("rb") as source, (folder / kit).open("wb") as target:
            shutil.copyfileobj(source, target)
    (folder / KIT[0]).chmod(0o755)
    settings = {
        "MODEL_NAME": name,
        "PRECISION": precision,
        "CHOSEN": str(version),
        "MIN_SHAPES": profile.text("min"),
        "OPT_SHAPES": profile.text("opt"),
        "MAX_SHAPES": profile.text("max"),
    }
    lines = ["# shellcheck shell=bash disable=SC2034", *(f"{key}={shlex.quote(value)}" for key, value in settings.items())]
    (folder / "settings.sh").write_text("\n".join(lines) + "\n", encoding="utf-8")
    _write_goldens(folder, profile, recorded)
    known = sorted(
        path for path in folder.rglob("*") if path.is_file() and path.name != KIT[0] and "repository" not in _top(folder, path)
    )
    sums = "".join(f"{sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in known)
    (folder / "files.sha256").write_text(sums, encoding="utf-8")
    place = folder / "repository" / name / "1"
    place.mkdir(parents=True)
    (place / ENGINE).write_text(json.dumps({"schema": 1, "state": "not built"}, indent=1) + "\n", encoding="utf-8")


def _top(folder: Path, path: Path) -> str:
    return path.relative_to(folder).parts[0]


def _write_goldens(folder: Path, profile: Profile, recorded: Sequence[Recorded]) -> None:
    dynamic = {spec.name for spec in profile.inputs}
    cases = []
    for number, case in enumerate(recorded):
        place = folder / "goldens" / str(number)
        place.mkdir(parents=True)
        inputs = [
            {**_stored(folder, place / f"input-{k}.bin", array), "name": name, "dynamic": name in dynamic}
            for k, (name, array) in enumerate(case.batch.inputs.items())
        ]
        outputs: list[dict[str, Any]] = []
        for k, (name, array) in enumerate((case.batch.expected or {}).items()):
            rule = {"rtol": case.rtol[name], **_absolute(case.atol[name], array)}
            outputs.append({**_stored(folder, place / f"output-{k}.bin", array), "name": name, **rule})
        cases.append({"name": case.batch.name, "inputs": inputs, "outputs": outputs})
    (folder / "goldens" / "goldens.json").write_text(json.dumps(cases, indent=1) + "\n", encoding="utf-8")


def _absolute(atol: Array, array: Array) -> dict[str, Any]:
    """Return the absolute parts of a tolerance and, for each axis along which they differ, its stride in the flat array and its length."""
    lengths = (1,) * (array.ndim - atol.ndim) + atol.shape
    strides = [math.prod(array.shape[axis + 1 :]) for axis in range(array.ndim)]
    columns = [[strides[axis], length] for axis, length in enumerate(lengths) if length > 1]
    return {"atol": atol.ravel().tolist(), "columns": columns}


def _stored(folder: Path, path: Path, array: Array) -> dict[str, Any]:
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    path.write_bytes(little.tobytes())
    return {"file": path.relative_to(folder).as_posix(), "dtype": str(array.dtype), "shape": list(array.shape)}
