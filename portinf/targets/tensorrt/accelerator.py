"""Turns a Triton release into the ``tensorrt`` accelerator of the ONNX Runtime backend with parameters that it reads.

An unknown parameter fails the load of the model, so none is written that the release's own source does not name
(`accelerators.json`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from portinf.core.errors import CannotError
from portinf.triton.config import Accelerator
from portinf.triton.releases import Release

__all__ = ["accepted", "check_parameters", "tensorrt_accelerator"]


@cache
def _table() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(
        files("portinf.targets.tensorrt").joinpath("accelerators.json").read_text(encoding="utf-8")
    )
    return data


def _month(name: str) -> tuple[int, int]:
    year, month = name.split(".")
    return int(year), int(month)


def accepted(release: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the parameters that a release reads, and the values of ``precision_mode`` among them; empty before 21.06."""
    rows = [row for row in _table()["rows"] if _month(row["from"]) <= _month(release)]
    keys = frozenset(key for row in rows for key in row["adds"])
    return keys, frozenset(rows[-1]["precision_modes"] if rows else ())


def check_parameters(release: str, parameters: Mapping[str, str]) -> None:
    """Refuse what a release would refuse when it loads the model.

    Raises:
        CannotError: the message names the parameter and the first release that reads it.
    """
    keys, modes = accepted(release)
    for key, value in parameters.items():
        if key not in keys:
            since = next((row["from"] for row in _table()["rows"] if key in row["adds"]), None)
            when = f"from {since} on" if since else "in no known release"
            raise CannotError(
                f"Triton {release}: its ONNX Runtime backend does not read '{key}', which would fail the load; {when}"
            )
        if key == "precision_mode" and value not in modes:
            raise CannotError(f"Triton {release}: precision_mode {value} is not one of {', '.join(sorted(modes))}")


def tensorrt_accelerator(
    release: Release, *, precision: str, flags: bool, cache_path: str, shapes: Mapping[str, str]
) -> tuple[Accelerator, list[str]]:
    """Return the accelerator and what it cannot say on this release.

    Args:
        release: of Triton.
        precision: ``fp32``, ``fp16``, ``bf16`` or ``int8``.
        flags: the TensorRT inside still has precision flags (before 11); from then on the types in the graph decide.
        cache_path: folder on the server for built engines.
        shapes: ``min``, ``opt`` and ``max``, each ``in1:1x3,...``; empty texts for a model of fixed shapes.

    Raises:
        CannotError: the release has no such precision.
    """
    keys, _ = accepted(release.name)
    parameters = {"precision_mode": precision.upper()} if flags and precision != "fp32" else {}
    wished = {"trt_engine_cache_enable": "1", "trt_engine_cache_path": cache_path}
    wished |= {"trt_timing_cache_enable": "1", "trt_timing_cache_path": cache_path}
    if shapes["max"]:
        wished |= {f"trt_profile_{which}_shapes": text for which, text in shapes.items()}
    parameters |= {key: value for key, value in wished.items() if key in keys}
    check_parameters(release.name, parameters)
    notes = []
    if shapes["max"] and "trt_profile_max_shapes" not in keys:
        notes.append(
            f"Triton {release.name} reads no shape ranges for the accelerator: it builds anew when a request is longer than any before"
        )
    looked_at = _table()["looked_at"]
    if _month(release.name) > _month(looked_at):
        notes.append(
            f"the accelerator's parameters are those of Triton {looked_at}, the newest release whose source was checked"
        )
    return Accelerator(name="tensorrt", parameters=parameters), notes
