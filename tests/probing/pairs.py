"""Functions in numpy beside ONNX graphs, and the probing of such pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from portinf.core.batch import Array, Arrays
from portinf.core.errors import RunnerError
from portinf.core.signature import Axis, Role, Signature, TensorSpec
from portinf.probing.requests import Space
from portinf.probing.search import Finding, Sides, search
from portinf.validation.tolerance import Tolerance

__all__ = ["Function", "Pair", "found", "space_of", "written"]

F32 = np.float32


class Function:
    """A numpy function of named inputs as a source; an exception of numpy is a refusal."""

    def __init__(self, function: Callable[..., Any], *, double: bool = False) -> None:
        self._function, self._double = function, double

    def infer(self, inputs: Mapping[str, Array]) -> Arrays:
        """Answer one request in the type of its inputs, or in float64."""
        wide = {k: a.astype(np.float64) if self._double and a.dtype.kind == "f" else a for k, a in inputs.items()}
        try:
            with np.errstate(all="ignore"):
                answer = self._function(*wide.values())
        except (ValueError, IndexError, ZeroDivisionError) as error:
            raise RunnerError(str(error)) from error
        return {"y": np.asarray(answer if self._double or not _is_double(answer) else answer.astype(F32))}


def _is_double(answer: Any) -> bool:
    return np.asarray(answer).dtype == np.float64


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One function and one graph.

    Attributes:
        name: of the pair.
        graph: text of the nodes, from ``x`` (and more inputs) to ``y``.
        function: in numpy.
        cause: part of the operator's name in what is found; empty where nothing may be found.
        gross: the file must be refused; False for a note.
        inputs: types of the inputs by name; float32 [n, 4] is ``x``.
        output: type of ``y``.
        sample: makes one input from a generator, a name and a type.
        ranges: the user's.
    """

    name: str
    graph: str
    function: Callable[..., Any]
    cause: str = ""
    gross: bool = True
    inputs: Mapping[str, str] = field(default_factory=lambda: {"x": "float[n,4]"})
    output: str = "float[n,4]"
    sample: Callable[[np.random.Generator, str], Any] = lambda rng, _: rng.normal(size=(5, 4))
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def written(pair: Pair, folder: Path) -> Path:
    """Write the graph and return its path."""
    given = ", ".join(f"{kind} {name}" for name, kind in pair.inputs.items())
    text = f'<ir_version: 8, opset_import: ["" : 18]> g ({given}) => ({pair.output} y) {{ {pair.graph} }}'
    path = folder / "model.onnx"
    onnx.save(onnx.parser.parse_model(text), str(path))
    return path


def space_of(pair: Pair, roles: Mapping[str, Role] | None = None) -> Space:
    """Return signature and base of a pair, rows along the axis ``n``."""
    rng = np.random.default_rng(3)
    types = {"float": "float32", "int64": "int64", "int32": "int32", "double": "float64", "float16": "float16"}
    base, specs = {}, []
    for name, kind in pair.inputs.items():
        dtype = types[kind.partition("[")[0]]
        base[name] = np.asarray(pair.sample(rng, name)).astype(dtype)
        shape = tuple(Axis(label="n") if not number else Axis(size=n) for number, n in enumerate(base[name].shape))
        specs.append(TensorSpec(name=name, dtype=dtype, shape=shape, role=(roles or {}).get(name, Role())))
    return Space(signature=Signature(inputs=tuple(specs), outputs=()), base=base, ranges=pair.ranges)


def found(pair: Pair, folder: Path, *, double: bool = False) -> Sequence[Finding]:
    """Probe a pair."""
    space = space_of(pair)
    sides = Sides(
        source=Function(pair.function),
        path=written(pair, folder),
        signature=space.signature,
        truth=Function(pair.function, double=True) if double else None,
        tolerance=Tolerance(),
    )
    return search(sides, space)[0]
