"""The table of converters: which module offers the routes of which source, resolved when used."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portinf.errors import CannotError
from portinf.plugins import source_plugins
from portinf.signature import Signature

__all__ = ["CONVERTERS", "ExportOptions", "Route", "routes_of"]

# framework of the loaded source -> "module:attribute" of a function (source, ExportOptions) -> Iterable[Route]
CONVERTERS: dict[str, str] = {
    "keras": "portinf.converters.tensorflow:routes",
    "tensorflow": "portinf.converters.tensorflow:routes",
    "pytorch": "portinf.converters.pytorch:routes",
    "torchscript": "portinf.converters.torchscript:routes",
    "pt2": "portinf.converters.pt2:routes",
    "graphdef": "portinf.converters.graphdef:routes",
    "tflite": "portinf.converters.tflite:routes",
    "onnx": "portinf.converters.onnx:routes",
    "sklearn": "portinf.converters.estimators:routes",
    "xgboost": "portinf.converters.estimators:routes",
    "lightgbm": "portinf.converters.estimators:routes",
}


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What every converter is told.

    Attributes:
        signature: names, types, fixed and dynamic axes that the result must have.
        example: path of an npz with one batch of inputs under the user's names.
        opset: version of the default ONNX domain to aim at.
    """

    signature: Signature
    example: Path
    opset: int


@dataclass(frozen=True, kw_only=True)
class Route:
    """One way to ONNX.

    Attributes:
        name: short name for the provenance, for example ``torch.onnx dynamo``.
        export: writes an ONNX file into the folder given and returns its path; None where the route cannot be taken.
        reason: why it cannot be taken.
    """

    name: str
    export: Callable[[Path], Path] | None = None
    reason: str | None = None


def routes_of(framework: str, source: Any, options: ExportOptions) -> Iterable[Route]:
    """Return the routes of a loaded source, in order of trust.

    Raises:
        CannotError: no converter is registered for the framework.
    """
    plugins = source_plugins()
    if framework in plugins and framework not in CONVERTERS:
        return plugins[framework].routes(source, options)
    if framework not in CONVERTERS:
        raise CannotError(f"no converter for '{framework}'; there are: {', '.join(sorted([*CONVERTERS, *plugins]))}")
    module, _, attribute = CONVERTERS[framework].partition(":")
    offer: Callable[[Any, ExportOptions], Iterable[Route]] = getattr(importlib.import_module(module), attribute)
    return offer(source, options)
