"""Symbolic functions of torch's TorchScript exporter for operators that it writes wrongly, or right only in the middle."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import numpy as np

from portinf.converters import formulas
from portinf.converters.formulas import write
from portinf.core.optional import require

__all__ = ["exact_symbolics"]

FORMULAS: dict[str, Callable[..., Any]] = {
    "log1p": formulas.log1p,
    "log2": formulas.log2,
    "log10": formulas.log10,
    "expm1": formulas.expm1,
    "log_sigmoid": formulas.log_sigmoid,
    "erfc": formulas.erfc,
    "special_erfcx": formulas.erfcx,
    "sign": formulas.sign,
    "signbit": formulas.signbit,
    "logaddexp": formulas.logaddexp,
    "logaddexp2": formulas.logaddexp2,
    "hypot": formulas.hypot,
    "atan2": formulas.atan2,
    "floor_divide": formulas.floor_divide,
    "remainder": formulas.remainder,
    "fmod": formulas.fmod,
    "maximum": formulas.larger,
    "relu": formulas.relu,
    "minimum": formulas.smaller,
    "xlogy": formulas.xlogy_or_nan,
    "special_xlog1py": formulas.xlog1py_or_nan,
    "heaviside": formulas.heaviside,
    "__rshift_": formulas.right_shift,
    "bitwise_right_shift": formulas.right_shift,
}


@contextmanager
def exact_symbolics(opset: int) -> Iterator[None]:
    """Put these functions in the exporter's table while a model is exported at an opset."""
    onnx = require("torch.onnx", "torch")
    functions: dict[str, Callable[..., Any]] = {name: partial(_formula, formula) for name, formula in FORMULAS.items()}
    functions |= {"softplus": _softplus, "logit": _logit, "div": _div, "clamp": _clamp, "any": _any}
    functions |= {"clamp_min": _clamp_min, "clamp_max": _clamp_max, "softshrink": _softshrink, "hardshrink": _hardshrink}
    functions |= {"cosine_similarity": _cosine, "pairwise_distance": _distance, "binary_cross_entropy_with_logits": _entropy}
    with ExitStack() as stack:
        for name, function in functions.items():
            onnx.register_custom_op_symbolic(f"aten::{name}", function, opset)
            stack.callback(onnx.unregister_custom_op_symbolic, f"aten::{name}", opset)
        yield


class _Script:
    """A `portinf.converters.formulas.Writer` into a graph of the TorchScript exporter."""

    def __init__(self, graph: Any, dtype: Any) -> None:
        self._graph, self._dtype = graph, dtype
        self.kind = np.dtype(str(dtype).removeprefix("torch.").replace("bfloat16", "float16"))

    def __getattr__(self, operator: str) -> Callable[..., Any]:
        return lambda *inputs, **named: self._graph.op(operator, *inputs, **{f"{name}_i": n for name, n in named.items()})

    def number(self, value: float) -> Any:
        return self._graph.op("Constant", value_t=require("torch", "torch").tensor(value, dtype=self._dtype))

    def cast(self, value: Any) -> Any:
        types = require("torch.onnx", "torch").JitScalarType
        return self._graph.op("Cast", value, to_i=types.from_dtype(self._dtype).onnx_type())

    def in_float32(self) -> _Script:
        return _Script(self._graph, require("torch", "torch").float32)

    def given(self, value: Any) -> Any:
        """Return an operand in the writer's type; numbers of Python come as float64 or int64."""
        return value if _dtype(value) == self._dtype else self.cast(value)

    def sum(self, value: Any, dim: int, keepdims: int = 0) -> Any:
        """Add a sum over one axis."""
        return _helper()._reducesum_helper(self._graph, value, axes_i=[dim], keepdims_i=keepdims)


def _helper() -> Any:
    return require("torch.onnx.symbolic_helper", "torch")


def _dtype(*values: Any) -> Any:
    """Return the type of the first value of which it is known; a script does not record all of them."""
    types = require("torch.onnx", "torch").JitScalarType
    known = [kind for kind in (types.from_value(value, types.UNDEFINED) for value in values) if kind != types.UNDEFINED]
    return (known[0] if known else types.FLOAT).dtype()


def _formula(formula: Callable[..., Any], graph: Any, *values: Any) -> Any:
    """Write a formula in the type that the operator gave when the model was traced."""
    typed = () if formula is formulas.signbit else (graph.original_node.output(),)
    op = _Script(graph, _dtype(*typed, values[0]))
    return write(op, formula, *[op.given(value) for value in values])


def _softplus(graph: Any, x: Any, beta: Any, threshold: Any) -> Any:
    numbers = {"beta": _helper()._get_const(beta, "f", "beta"), "threshold": _helper()._get_const(threshold, "f", "threshold")}
    return _formula(partial(formulas.scaled_softplus, **numbers), graph, x)


def _logit(graph: Any, x: Any, eps: Any) -> Any:
    number = None if _helper()._is_none(eps) else _helper()._get_const(eps, "f", "eps")
    return _formula(partial(formulas.logit, eps=number), graph, x)


def _div(graph: Any, a: Any, b: Any, mode: Any = None) -> Any:
    if mode is None or _helper()._is_none(mode):
        return require("torch.onnx.symbolic_opset10", "torch").div(graph, a, b)
    floor = _helper()._get_const(mode, "s", "rounding_mode") == "floor"
    return _formula(formulas.floor_divide if floor else formulas.trunc_divide, graph, a, b)


def _clamp(graph: Any, x: Any, low: Any, high: Any) -> Any:
    op = _Script(graph, _dtype(graph.original_node.output(), x))
    bounds = [None if _helper()._is_none(bound) else op.given(bound) for bound in (low, high)]
    return formulas.clamp(op, op.given(x), *bounds)


def _clamp_min(graph: Any, x: Any, low: Any) -> Any:
    return _formula(partial(formulas.clamp, high=None), graph, x, low)


def _clamp_max(graph: Any, x: Any, high: Any) -> Any:
    return _formula(lambda op, x, high: formulas.clamp(op, x, None, high), graph, x, high)


def _any(graph: Any, x: Any, dim: Any = None, keepdim: Any = None) -> Any:
    """Count what is not 0; torch's own symbolic function counts what is not 0 as an integer."""
    op = _Script(graph, require("torch", "torch").int64)
    counted = op.cast(graph.op("Cast", x, to_i=9))
    axes = None if dim is None else [int(d) for d in _helper()._parse_arg(dim, "t").view(-1)]
    keep = 0 if keepdim is None else _helper()._parse_arg(keepdim, "i")
    return op.Greater(_helper()._reducesum_helper(graph, counted, axes_i=axes, keepdims_i=keep), op.number(0))


def _hardshrink(graph: Any, x: Any, size: Any) -> Any:
    number = _helper()._get_const(size, "f", "lambd")
    return _formula(
        lambda op, x: op.Where(op.LessOrEqual(op.Abs(x), op.number(number)), op.number(0.0), x),
        graph,
        x,
    )


def _softshrink(graph: Any, x: Any, size: Any) -> Any:
    number = _helper()._get_const(size, "f", "lambd")
    return _formula(lambda op, x: op.Sub(x, op.Clip(x, op.number(-number), op.number(number))), graph, x)


def _cosine(graph: Any, a: Any, b: Any, dim: Any, eps: Any) -> Any:
    """Bound each length from below, not their product."""
    axis, least = _helper()._get_const(dim, "i", "dim"), _helper()._get_const(eps, "f", "eps")

    def formula(op: Any, a: Any, b: Any) -> Any:
        lengths = [op.Max(op.Sqrt(op.sum(op.Mul(x, x), axis, 1)), op.number(least)) for x in (a, b)]
        return op.sum(op.Mul(op.Div(a, lengths[0]), op.Div(b, lengths[1])), axis)

    return _formula(formula, graph, a, b)


def _distance(graph: Any, a: Any, b: Any, p: Any, eps: Any, keepdim: Any) -> Any:
    """Add eps to the difference, not to the power."""
    power, least = _helper()._get_const(p, "f", "p"), _helper()._get_const(eps, "f", "eps")
    keep = _helper()._get_const(keepdim, "i", "keepdim")

    def formula(op: Any, a: Any, b: Any) -> Any:
        gap = op.Abs(op.Add(op.Sub(a, b), op.number(least)))
        if math.isinf(power):
            raise NotImplementedError("pairwise_distance with p = infinity")
        total = op.sum(op.Pow(gap, op.number(power)), -1, keep)
        return op.Pow(total, op.number(1.0 / power))

    return _formula(formula, graph, a, b)


def _entropy(graph: Any, x: Any, target: Any, weight: Any, positive: Any, reduction: Any) -> Any:
    """Write (1 - t) x - (1 + (p - 1) t) log_sigmoid(x)."""
    op = _Script(graph, _dtype(graph.original_node.output(), x))
    one = op.number(1.0)
    term = formulas.log_sigmoid(op, x)
    if not _helper()._is_none(positive):
        term = op.Mul(term, op.Add(op.Mul(op.Sub(positive, one), target), one))
    loss = op.Sub(op.Mul(op.Sub(one, target), x), term)
    if not _helper()._is_none(weight):
        loss = op.Mul(loss, weight)
    kind = _helper()._get_const(reduction, "i", "reduction")
    return loss if kind == 0 else op.ReduceMean(loss, keepdims=0) if kind == 1 else op.ReduceSum(loss, keepdims=0)
