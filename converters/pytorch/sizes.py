"""Reads off an exported program what torch.export assumed of the lengths of axes, such as ``n <= 200`` from a Python ``if``."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from portinf.converters.pytorch.reasons import user_line
from portinf.converters.size_limits import REACH, assumption_of, example_sizes
from portinf.core.optional import require
from portinf.core.signature import Signature
from portinf.sources.routes import Assumption, ExportOptions

__all__ = ["Condition", "assumptions", "watched"]


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A condition on sizes in torch's own symbols, and the line of the user's code that asked for it."""

    expression: Any
    place: str = ""


@contextmanager
def watched() -> Iterator[list[Condition]]:
    """Record every condition that torch decides by the example's sizes while it exports: the program keeps no lines of them."""
    environment: Any = require("torch.fx.experimental.symbolic_shapes", "torch").ShapeEnv
    context: Any = require("torch._guards", "torch").TracingContext
    found: list[Condition] = []
    original = environment._log_guard

    def record(self: Any, prefix: str, g: Any, **named: Any) -> None:
        if "suppressed" not in prefix:
            run = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_stack(None)]
            followed = [(frame.filename, frame.lineno or 0) for frame in context.extract_stack()]  # by dynamo, strict
            found.append(Condition(expression=g, place=user_line([*reversed(followed), *run])))
        original(self, prefix, g, **named)

    environment._log_guard = record
    try:
        yield found
    finally:
        environment._log_guard = original


def assumptions(program: Any, recorded: Sequence[Condition], options: ExportOptions) -> list[Assumption]:
    """Return what a program assumes and the signature does not say.

    Args:
        program: the exported program, its user inputs in the signature's order.
        recorded: conditions in its symbols, or in those of an earlier attempt on the same inputs.
        options: labels, limits of lengths, and the example.
    """
    symbols, base = _Symbols(program, options.signature, recorded), example_sizes(options)
    found: dict[tuple[object, ...], Assumption] = {}
    for condition in [*recorded, *symbols.of_inputs(recorded), *_of_program(program)]:
        expression = symbols.in_labels(condition.expression)
        if expression is None:
            continue
        text, labels, holds = symbols.read(expression)
        assumption = assumption_of(text, condition.place, holds, labels, options, base)
        if assumption is not None:
            key = (assumption.label, str(assumption.elsewhere))
            if key not in found or not found[key].place:
                found[key] = assumption
    return list(found.values())


def _of_program(program: Any) -> Iterator[Condition]:
    """Yield the conditions that a program states by itself: its assertions, and the ranges of its sizes."""
    sympy = require("sympy", "torch")
    for node in program.graph.nodes:
        if node.op == "call_function" and "_assert_scalar" in str(node.target):
            value: Any = getattr(node.args[0], "meta", {}).get("val")
            if hasattr(value, "node"):
                yield Condition(expression=value.node.expr)
    for size, bounds in program.range_constraints.items():
        if bounds.lower == bounds.upper:
            yield Condition(expression=sympy.Eq(size, bounds.lower))
            continue
        if bounds.upper.is_integer and bounds.upper < REACH:
            yield Condition(expression=sympy.Le(size, bounds.upper))
        if bounds.lower.is_integer and bounds.lower > 2:
            yield Condition(expression=sympy.Ge(size, bounds.lower))


class _Symbols:
    """What torch's symbols in an exported program mean in lengths of the signature's axes.

    Args:
        program: the program.
        signature: its user inputs in order.
        recorded: conditions in its symbols, or in those of an earlier attempt.
    """

    def __init__(self, program: Any, signature: Signature, recorded: Sequence[Condition]) -> None:
        self._sympy = require("sympy", "torch")
        self._printer: Any = require("torch.utils._sympy.printers", "torch").PythonPrinter()
        self._axes = {label: self._sympy.Symbol(f"n{k}", integer=True) for k, label in enumerate(signature.axes)}
        self._known: dict[str, Any] = {}  # length by the name of torch's symbol: an earlier attempt gives it other properties
        self._equal: list[Any] = []
        values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
        shapes = [values[name].shape for name in program.graph_signature.user_inputs if hasattr(values.get(name), "shape")]
        fixed = []
        for spec, shape in zip(signature.inputs, shapes, strict=False):
            for axis, size in zip(spec.shape or (), shape, strict=False):
                length = self._sympy.Integer(axis.size) if axis.label is None else self._axes[axis.label]
                if hasattr(size, "node"):
                    self._learn(size.node.expr, length, size.node.shape_env.replacements)
                elif axis.label is not None:
                    self._equal.append(self._sympy.Eq(length, int(size)))
                    fixed.append(length)
        self._guess(fixed, recorded)

    def _guess(self, fixed: Sequence[Any], recorded: Sequence[Condition]) -> None:
        """Learn the symbol that one axis had in an earlier attempt, before its length became a number."""
        unknown = {str(symbol) for condition in recorded for symbol in condition.expression.free_symbols} - set(self._known)
        if len(set(fixed)) == len(unknown) == 1:
            self._known[unknown.pop()] = fixed[0]

    def _learn(self, size: Any, length: Any, replaced: Mapping[Any, Any]) -> None:
        """Learn the symbols behind the size of an axis; two axes of one symbol, and a size such as 2*s, are conditions."""
        for symbol in [size, *(old for old, new in replaced.items() if new == size)]:
            if symbol.is_Symbol and self._known.setdefault(str(symbol), length) != length:
                self._equal.append(self._sympy.Eq(self._known[str(symbol)], length))
        for old, new in replaced.items():
            self._known.setdefault(str(old), new)
        if size.is_Mul and size.args[0].is_Integer:
            remainder: Any = require("torch.utils._sympy.functions", "torch").PythonMod
            self._equal.append(self._sympy.Eq(remainder(length, size.args[0]), 0))

    def of_inputs(self, recorded: Sequence[Condition]) -> Iterator[Condition]:
        """Yield what the inputs of the program say; of a size that became a number, with the line that needed one."""
        for equal in self._equal:
            asked = [c.place for c in recorded if c.place and _is_number(c.expression, equal.rhs)]
            about = [
                c.place for c in recorded if c.place and equal.lhs in getattr(self.in_labels(c.expression), "free_symbols", ())
            ]
            yield Condition(expression=equal, place=next(iter([*asked, *about]), ""))

    def in_labels(self, expression: Any) -> Any:
        """Return a condition in lengths of axes; None where it is about anything else, or true of every length."""
        axes = set(self._axes.values())
        for _ in range(8):  # a symbol may stand for another
            named = {symbol: self._known.get(str(symbol)) for symbol in expression.free_symbols - axes}
            if None in named.values():
                return None
            expression = expression.xreplace(named)
        return expression if expression.free_symbols and expression.free_symbols <= axes else None

    def read(self, expression: Any) -> tuple[str, list[str], Callable[[Mapping[str, int]], bool]]:
        """Return a condition as text, the labels of the axes that it is about, and a function that evaluates it."""
        torch = require("torch", "torch")
        code = self._printer.doprint(expression)

        def holds(sizes: Mapping[str, int]) -> bool:
            lengths = {self._axes[label]: n for label, n in sizes.items()}
            try:
                return bool(eval(code, {"math": math, "torch": torch}, {str(symbol): n for symbol, n in lengths.items()}))
            except ZeroDivisionError:
                return False
            except (NameError, AttributeError, TypeError, SyntaxError):  # what torch's printer cannot write in Python
                numbers = {symbol: self._sympy.Integer(n) for symbol, n in lengths.items()}
                return bool(expression.xreplace(numbers) == self._sympy.true)

        labels = [label for label, symbol in self._axes.items() if symbol in expression.free_symbols]
        shown = expression.xreplace({symbol: self._sympy.Symbol(label) for label, symbol in self._axes.items()})
        return str(self._printer.doprint(shown)), labels, holds


def _is_number(expression: Any, number: Any) -> bool:
    return bool(getattr(expression, "is_Equality", False) and expression.lhs.is_Symbol and expression.rhs == number)
