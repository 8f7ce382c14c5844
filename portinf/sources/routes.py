"""The table of converters: which module offers the routes of which source, resolved when used."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portinf.core.errors import CannotError
from portinf.core.signature import Signature
from portinf.sources.plugins import source_plugins

__all__ = ["CONVERTERS", "Assumption", "ExportOptions", "Route", "routes_of"]

# framework of the loaded source -> "module:attribute" of a function (source, ExportOptions) -> Iterable[Route]
CONVERTERS: dict[str, str] = {
    "keras": "portinf.converters.tensorflow.routes:routes",
    "tensorflow": "portinf.converters.tensorflow.routes:routes",
    "pytorch": "portinf.converters.pytorch.routes:routes",
    "torchscript": "portinf.converters.pytorch.torchscript:routes",
    "pt2": "portinf.converters.pytorch.pt2:routes",
    "graphdef": "portinf.converters.tensorflow.graphdef:routes",
    "tflite": "portinf.converters.tensorflow.tflite:routes",
    "onnx": "portinf.converters.onnx:routes",
    "sklearn": "portinf.converters.trees.estimators:routes",
    "xgboost": "portinf.converters.trees.estimators:routes",
    "lightgbm": "portinf.converters.trees.estimators:routes",
}


@dataclass(frozen=True, kw_only=True)
class Assumption:
    """A condition on lengths under which an exporter made its file: where it does not hold, the source may do something else.

    Attributes:
        text: the condition, axes by their labels, for example ``tracks_0 <= 200``.
        place: line of the user's code that asked for it; empty where that is not known.
        elsewhere: lengths of all axes that should be tried, for it does not hold there, the nearest to the example first.
        broken: the lengths of `ExportOptions.compared` at which it does not hold.
        label: the axis, where it is about one alone.
        least, largest: it holds from and up to these lengths of that axis.
        multiple: it holds at multiples of this alone.
        sure: the exporter said so; else it is a hint, such as a number in the model's code.
    """

    text: str
    place: str = ""
    elsewhere: tuple[Mapping[str, int], ...] = ()
    broken: tuple[Mapping[str, int], ...] = ()
    label: str | None = None
    least: int | None = None
    largest: int | None = None
    multiple: int = 1
    sure: bool = True

    @property
    def fixed(self) -> bool:
        """Whether the length of an axis became a number."""
        return self.least is not None and self.least == self.largest

    def holds(self, sizes: Mapping[str, int]) -> bool:
        """Whether it holds at these lengths, as far as is known."""
        if dict(sizes) in [dict(setting) for setting in (*self.broken, *self.elsewhere)]:
            return False
        if self.label is None or self.label not in sizes:
            return True
        n = sizes[self.label]
        below = self.least is not None and n < self.least
        beyond = self.largest is not None and n > self.largest
        return not (below or beyond or n % self.multiple or n in [setting[self.label] for setting in self.elsewhere])

    def __str__(self) -> str:
        """Show the condition and the line that asked for it."""
        return f"{self.text}{f' ({self.place})' if self.place else ''}"


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """The options of every converter.

    Attributes:
        signature: names, types, fixed and dynamic axes that the result must have.
        example: path of an npz with one batch of inputs under the user's names.
        opset: version of the default ONNX domain to write.
        compared: lengths of the dynamic axes in the cases on which the result is compared anyway.
        assumed: takes what the exporter assumed of the lengths of axes.
    """

    signature: Signature
    example: Path
    opset: int
    compared: Sequence[Mapping[str, int]] = ()
    assumed: list[Assumption] = field(default_factory=list)


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
