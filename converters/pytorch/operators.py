"""Translations of torch operators for which torch's dynamo exporter has none, or a wrong one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from portinf.converters.pytorch.formulas import formula_translations
from portinf.core.optional import require

__all__ = ["translations"]


def translations() -> dict[Any, Callable[..., Any]]:
    """Return functions that write ONNX nodes by the torch operator they stand for."""
    aten = require("torch", "torch").ops.aten
    return {
        **formula_translations(),
        aten.sort.stable: _sort_stable,
        aten.sort.default: _sort,
        aten.argsort.stable: _argsort_stable,
        require("torch", "torch").ops.prims.prod.default: _prod,
        aten._cdist_forward.default: _cdist,
        aten.scatter_reduce.two: _scatter_reduce,
        aten.scaled_dot_product_attention.default: _attention,
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
    gap = op.Abs(op.Sub(op.Unsqueeze(x1, op.Constant(value_ints=[-2])), op.Unsqueeze(x2, op.Constant(value_ints=[-3]))))
    if p == 1.0:
        return op.ReduceSum(gap, last, keepdims=0)
    if p == float("inf"):
        return op.ReduceMax(gap, last, keepdims=0)
    if p == 2.0:
        return op.Sqrt(op.ReduceSum(op.Mul(gap, gap), last, keepdims=0))
    power = op.CastLike(op.Constant(value_float=p), x1)
    return op.Pow(op.ReduceSum(op.Pow(gap, power), last, keepdims=0), op.Reciprocal(power))


def _scatter_reduce(self: Any, dim: int, index: Any, src: Any, reduce: str, include_self: bool = True) -> Any:
    """Write the mean as sum over count; torch's own translation leaves the reduction out.

    A maximum or minimum without its own start begins at infinity, where torch's translation takes the last finite number.
    """
    core = require("onnxscript.function_libs.torch_lib.ops.core", "torch")
    op = _op()
    ends = {"amax": float("-inf"), "amin": float("inf")}
    if reduce in ends and not include_self and len(self.shape) and self.dtype.is_floating_point():
        start = op.ConstantOfShape(op.Shape(src), value=require("onnx_ir", "torch").tensor([ends[reduce]], dtype=self.dtype))
        first, then = ("min", "max") if reduce == "amax" else ("max", "min")
        begun = op.ScatterElements(self, index, start, axis=dim, reduction=first)
        return op.ScatterElements(begun, index, src, axis=dim, reduction=then)
    if reduce != "mean":
        return core.aten_scatter_reduce(self, dim, index, src, reduce, include_self)
    one = op.CastLike(op.Constant(value_float=1.0), self)
    nothing = op.Expand(op.CastLike(op.Constant(value_float=0.0), self), op.Shape(self))
    ones = op.Expand(one, op.Shape(src))
    total = op.ScatterElements(self if include_self else nothing, index, src, axis=dim, reduction="add")
    begin = op.Add(nothing, one) if include_self else nothing
    count = op.ScatterElements(begin, index, ones, axis=dim, reduction="add")
    mean = op.Div(total, op.Max(count, one))
    return mean if include_self else op.Where(op.Greater(count, nothing), mean, self)


def _attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: Any = None,
    enable_gqa: bool = False,
) -> Any:
    """Write attention with a mask so that a row without any permitted key gives zeros, as torch's own does, and not NaN."""
    if attn_mask is None or is_causal or enable_gqa:
        nn = require("onnxscript.function_libs.torch_lib.ops.nn", "torch")
        return nn.aten_scaled_dot_product_attention(query, key, value, attn_mask, 0.0, is_causal, scale, enable_gqa)
    op = _op()
    rank = len(key.shape)
    swapped = op.Transpose(key, perm=[*range(rank - 2), rank - 1, rank - 2])
    factor = op.CastLike(op.Constant(value_float=float(scale or int(query.shape[-1]) ** -0.5)), query)
    never = op.CastLike(op.Constant(value_float=float("-inf")), query)
    none = op.CastLike(op.Constant(value_float=0.0), query)
    added = op.Where(attn_mask, none, never) if attn_mask.dtype == _boolean() else attn_mask
    scores = op.Add(op.Mul(op.MatMul(query, swapped), factor), added)
    nowhere = op.Equal(op.ReduceMax(scores, op.Constant(value_ints=[-1]), keepdims=1), never)
    return op.MatMul(op.Where(nowhere, none, op.Softmax(scores, axis=-1)), value)


def _boolean() -> Any:
    return require("onnx_ir", "torch").DataType.BOOL
