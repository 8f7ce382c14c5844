"""Finds in a model's own Python code where it may decide by a size: lengths to try where an exporter does not report what it assumed."""

from __future__ import annotations

import dis
import inspect
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from portinf.converters.pytorch.reasons import is_library, user_line
from portinf.converters.size_limits import example_sizes
from portinf.samples.generate import FACTOR
from portinf.sources.routes import Assumption, ExportOptions

__all__ = ["TRACING", "branches_on_sizes"]

SIZES = {"shape", "size", "len", "numel", "nelement", "get_shape", "shape_as_list"}
CHOICES = {"min", "max", "range", "minimum", "maximum", "clip", "clamp"}
TRACING = {"is_tracing", "is_scripting", "is_exporting", "is_compiling", "is_dynamo_compiling", "is_in_onnx_export"}
NUMBERS = 8  # of the code that become lengths to try
STEPS = 3  # lengths beyond the example's, each eight times the last


@dataclass(kw_only=True)
class _Found:
    """What was read in the code: whether it asks for sizes, decides, asks whether it is traced; numbers that it decides with."""

    sizes: bool = False
    place: str = ""
    names: set[str] = field(default_factory=set)
    numbers: set[int] = field(default_factory=set)


def branches_on_sizes(
    parts: Iterable[Any], options: ExportOptions, *, only_if: set[str] | None = None, always: bool = False
) -> Iterator[Assumption]:
    """Yield lengths to try where the code of a model asks for sizes and compares numbers: only a hint, because it may be harmless.

    Args:
        parts: modules, layers and functions of the model; those of frameworks are known to be right.
        options: signature and example.
        only_if: the code must also use one of these names.
        always: yield long ones even where nothing was found in the code.
    """
    found = _Found()
    seen: set[CodeType] = set()
    for part in parts:
        for function in _functions(part):
            _read(function, part, found, seen)
    reported = found.sizes and bool(found.place) and (only_if is None or bool(found.names & only_if))
    if not (reported or always):
        return
    base = example_sizes(options)
    for label in options.signature.axes:
        numbers = sorted(found.numbers if reported else (), key=lambda n: (n <= base[label], n))[:NUMBERS]
        lengths = [near for n in numbers for near in (n, n + 1, n - 1)] + [base[label] * FACTOR**k for k in range(1, STEPS + 1)]
        elsewhere = tuple({**base, label: n} for n in dict.fromkeys(lengths) if n != base[label])
        text = f"one length of {label}" + (", and Python code may decide by it" if reported else "")
        yield Assumption(text=text, place=found.place if reported else "", elsewhere=elsewhere, label=label, sure=False)


def _functions(part: Any) -> Iterator[FunctionType]:
    """Yield the functions of the user's own that a part of a model is made of."""
    held: list[Mapping[str, Any]] = [getattr(part, "__dict__", {}), *(vars(kind) for kind in type(part).__mro__)]
    for value in [part, *(value for mapping in held for value in mapping.values())]:
        plain = value
        if isinstance(value, property | classmethod | staticmethod):
            plain = value.fget if isinstance(value, property) else value.__func__
        elif type(value).__module__.startswith("tensorflow."):
            plain = getattr(value, "python_function", None)
        function = inspect.unwrap(plain) if isinstance(plain, FunctionType) else plain
        if isinstance(function, FunctionType) and _is_own(function.__code__):
            yield function


def _is_own(code: CodeType) -> bool:
    return not is_library(code.co_filename) and Path(code.co_filename).is_file()


def _read(function: FunctionType, part: Any, found: _Found, seen: set[CodeType]) -> None:
    """Read a function and those of the user's own that it calls."""
    if function.__code__ in seen:
        return
    known = {**function.__globals__, **_enclosed(function)}
    for code in _nested(function.__code__):
        seen.add(code)
        found.sizes |= bool(SIZES & set(code.co_names))
        found.names |= set(code.co_names)
        line = _decision(code)
        if line:
            found.place = found.place or user_line([(code.co_filename, line)])
            named = [known.get(name, getattr(part, "__dict__", {}).get(name)) for name in (*code.co_names, *code.co_freevars)]
            numbers = [*code.co_consts, *named, *(function.__defaults__ or ())]
            found.numbers |= {n for n in numbers if isinstance(n, int) and not isinstance(n, bool) and n > 1}
        for name in code.co_names:
            other = known.get(name)
            if isinstance(other, FunctionType) and _is_own(other.__code__):
                _read(other, part, found, seen)


def _enclosed(function: FunctionType) -> dict[str, Any]:
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # an empty cell
            found[name] = cell.cell_contents
    return found


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _decision(code: CodeType) -> int | None:
    """Return the first line that compares, or takes the smaller, the larger or a range; None for none."""
    line = code.co_firstlineno
    for instruction in dis.get_instructions(code):
        started = getattr(instruction, "line_number", None) or instruction.starts_line  # the former from Python 3.13 on
        line = int(started) if started else line
        if instruction.opname in ("COMPARE_OP", "CONTAINS_OP") or instruction.argval in CHOICES:
            return line
    return None
