"""Translations of torch operators for which torch's dynamo exporter has none, or a wrong one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from portinf.lazy import require

__all__ = ["translations"]


def translations() -> dict[Any, Callable[..., Any]]:
    """Return functions that write ONNX nodes by the torch operator they stand for."""
    aten = require("torch", "torch").ops.aten
    return {
        aten.sort.stable: _sort_stable,
        aten.sort.default: _sort,
        aten.argsort.stable: _argsort_stable,
        require("torch", "torch").ops.prims.prod.default: _prod,
        aten._cdist_forward.default: _cdist,
        aten.scatter_reduce.two: _scatter_reduce,
    }


def _op() -> Any:
    return require("onnxscript", "torch").opset18


def _sort_stable(self: Any, *, stable: Any = None, dim: int = -1, descending: bool = False) -> Any:
    return _sort(self, dim, descending)


def _argsort_stable(self: Any, *, stable: bool = True, dim: int = -1, descending: bool = False) -> Any:
    return _sort(self, dim, descending)[1]


def _sort(self: Any, dim: int = -1, descending: bool = False) -> Any:
    """Write TopK over the whole axis: of equal values the lower index comes first, which makes it a stable sort."""
    op = _op()
    length = op.Gather(op.Shape(self), op.Constant(value_ints=[dim % max(1, len(self.shape))]))
    return op.TopK(self, length, axis=dim, largest=1 if descending else 0, sorted=1)


def _prod(self: Any, dims: Any, *, output_dtype: Any = None) -> Any:
    op = _op()
    return op.ReduceProd(self, op.Constant(value_ints=list(dims)), keepdims=0)


def _cdist(x1: Any, x2: Any, p: float, compute_mode: Any = None) -> Any:
    """Write the differences out: exact near zero, where the product form of torch's fast path is not."""
    op = _op()
    last = op.Constant(value_ints=[-1])
    apart = op.Abs(op.Sub(op.Unsqueeze(x1, op.Constant(value_ints=[-2])), op.Unsqueeze(x2, op.Constant(value_ints=[-3]))))
    if p == 1.0:
        return op.ReduceSum(apart, last, keepdims=0)
    if p == float("inf"):
        return op.ReduceMax(apart, last, keepdims=0)
    if p == 2.0:
        return op.Sqrt(op.ReduceSum(op.Mul(apart, apart), last, keepdims=0))
    power = op.CastLike(op.Constant(value_float=p), x1)
    return op.Pow(op.ReduceSum(op.Pow(apart, power), last, keepdims=0), op.Reciprocal(power))


def _scatter_reduce(self: Any, dim: int, index: Any, src: Any, reduce: str, include_self: bool = True) -> Any:
    """Write the mean as sum over count; torch's own translation leaves the reduction out. The others are torch's own."""
    core = require("onnxscript.function_libs.torch_lib.ops.core", "torch")
    if reduce != "mean":
        return core.aten_scatter_reduce(self, dim, index, src, reduce, include_self)
    op = _op()
    one = op.CastLike(op.Constant(value_float=1.0), self)
    nothing = op.Expand(op.CastLike(op.Constant(value_float=0.0), self), op.Shape(self))
    ones = op.Expand(one, op.Shape(src))
    total = op.ScatterElements(self if include_self else nothing, index, src, axis=dim, reduction="add")
    begin = op.Add(nothing, one) if include_self else nothing
    count = op.ScatterElements(begin, index, ones, axis=dim, reduction="add")
    mean = op.Div(total, op.Max(count, one))
    return mean if include_self else op.Where(op.Greater(count, nothing), mean, self)
