"""Translations of torch's mathematical functions that are right far out too, for torch's dynamo exporter."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from portinf.converters import formulas
from portinf.converters.formulas import write
from portinf.core.optional import require

__all__ = ["formula_translations"]

SELU = (1.6732632423543772848170429916717, 1.0507009873554804934193349852946)  # alpha and scale, as PyTorch defines them


def formula_translations() -> dict[Any, Callable[..., Any]]:
    """Return functions that write ONNX nodes by the torch operator they stand for."""
    torch = require("torch", "torch")
    aten, prims = torch.ops.aten, torch.ops.prims
    one = {
        aten.relu.default: formulas.relu,
        aten.log1p.default: formulas.log1p,
        aten.log2.default: formulas.log2,
        aten.log10.default: formulas.log10,
        aten.expm1.default: formulas.expm1,
        aten.log_sigmoid.default: formulas.log_sigmoid,
        aten.erfc.default: formulas.erfc,
        aten.special_erfc.default: formulas.erfc,
        aten.special_erfcx.default: formulas.erfcx,
        aten.sign.default: formulas.sign,
        aten.sgn.default: formulas.sign,
        aten.signbit.default: formulas.signbit,
        prims.signbit.default: formulas.signbit,
    }
    two = {
        aten.logaddexp.default: formulas.logaddexp,
        aten.logaddexp2.default: formulas.logaddexp2,
        aten.maximum.default: formulas.larger,
        aten.minimum.default: formulas.smaller,
        aten.hypot.default: formulas.hypot,
        aten.atan2.default: formulas.atan2,
        aten.floor_divide.default: formulas.floor_divide,
        aten.floor_divide.Scalar: formulas.floor_divide,
        aten.remainder.Tensor: formulas.remainder,
        aten.remainder.Scalar: formulas.remainder,
        aten.remainder.Scalar_Tensor: formulas.remainder,
        aten.fmod.Tensor: formulas.fmod,
        aten.fmod.Scalar: formulas.fmod,
        aten.xlogy.Tensor: formulas.xlogy_or_nan,
        aten.xlogy.Scalar_Self: formulas.xlogy_or_nan,
        aten.xlogy.Scalar_Other: formulas.xlogy_or_nan,
        aten.special_xlog1py.default: formulas.xlog1py_or_nan,
        aten.special_xlog1py.self_scalar: formulas.xlog1py_or_nan,
        aten.special_xlog1py.other_scalar: formulas.xlog1py_or_nan,
        aten.heaviside.default: formulas.heaviside,
    }
    return {
        **{operator: partial(_of_one, formula) for operator, formula in one.items()},
        **{operator: partial(_of_two, formula) for operator, formula in two.items()},
        aten.clamp.default: _clamp,
        aten.clamp.Tensor: _clamp,
        aten.clamp_min.default: _clamp_min,
        aten.clamp_min.Tensor: _clamp_min,
        aten.clamp_max.default: _clamp_max,
        aten.clamp_max.Tensor: _clamp_max,
        aten.elu.default: _elu,
        aten.celu.default: _celu,
        aten.selu.default: _selu,
        aten.scalar_tensor.default: _scalar,
        aten.softplus.default: _softplus,
        aten.logit.default: _logit,
        aten.div.Tensor_mode: _div_mode,
        aten.div.Scalar_mode: _div_mode,
        aten.logcumsumexp.default: _logcumsumexp,
    }


class _Dynamo:
    """A `portinf.converters.formulas.Writer` into the graph that torch's exporter traces."""

    def __init__(self, dtype: Any) -> None:
        self._dtype = dtype
        self.kind: np.dtype[Any] = dtype.numpy()
        self._opset = require("onnxscript", "torch").opset18

    def __getattr__(self, operator: str) -> Callable[..., Any]:
        return getattr(self._opset, operator)  # type: ignore[no-any-return]

    def number(self, value: float) -> Any:
        return self._opset.Constant(value=require("onnx_ir", "torch").tensor(value, dtype=self._dtype))

    def cast(self, value: Any) -> Any:
        return self._opset.Cast(value, to=int(self._dtype))

    def in_float32(self) -> _Dynamo:
        return _Dynamo(require("onnx_ir", "torch").DataType.FLOAT)


def _core() -> Any:
    return require("onnxscript.function_libs.torch_lib.ops.core", "torch")


def _nn() -> Any:
    return require("onnxscript.function_libs.torch_lib.ops.nn", "torch")


def _of_one(formula: Callable[..., Any], self: Any) -> Any:
    return write(_Dynamo(self.dtype), formula, self)


def _of_two(formula: Callable[..., Any], self: Any, other: Any) -> Any:
    """Write a formula of two tensors, or of a tensor and a number of Python."""
    op = _Dynamo((other if isinstance(self, bool | int | float) else self).dtype)
    return write(
        op, formula, *[op.number(value) if isinstance(value, bool | int | float) else value for value in (self, other)]
    )


def _clamp(self: Any, min: Any = None, max: Any = None) -> Any:
    op = _Dynamo(self.dtype)
    bounds = [op.number(bound) if isinstance(bound, bool | int | float) else bound for bound in (min, max)]
    if op.kind.kind == "f" and all(bound is not None and not bound.shape for bound in bounds):
        return op.Clip(self, *bounds)
    return formulas.clamp(op, self, *bounds)


def _clamp_min(self: Any, min: Any) -> Any:
    return _clamp(self, min, None)


def _clamp_max(self: Any, max: Any) -> Any:
    return _clamp(self, None, max)


def _scalar(s: Any, dtype: int = 1, layout: str = "", device: str = "", pin_memory: bool = False) -> Any:
    """Write a number of Python in its type; torch's own translation takes it through float32."""
    if isinstance(s, bool | int | float):
        return _Dynamo(require("onnx_ir", "torch").DataType(dtype if dtype > 0 else 1)).number(s)
    return _core().aten_scalar_tensor(s, dtype)


def _elu(self: Any, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Any:
    """ONNX keeps the factors in float32."""
    if self.dtype.numpy() != np.float64:
        return _nn().aten_elu(self, alpha, scale, input_scale)
    return _of_one(partial(formulas.elu, alpha=alpha, gamma=scale, width=1.0 / input_scale), self)


def _celu(self: Any, alpha: float = 1.0) -> Any:
    if self.dtype.numpy() != np.float64:
        return _nn().aten_celu(self, alpha)
    return _of_one(partial(formulas.elu, alpha=alpha, width=alpha), self)


def _selu(self: Any) -> Any:
    if self.dtype.numpy() != np.float64:
        return _Dynamo(self.dtype).Selu(self)
    return _of_one(partial(formulas.elu, alpha=SELU[0], gamma=SELU[1]), self)


def _softplus(self: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    return _of_one(partial(formulas.scaled_softplus, beta=beta, threshold=threshold), self)


def _logit(self: Any, eps: Any = None) -> Any:
    return _of_one(partial(formulas.logit, eps=eps), self)


def _div_mode(self: Any, other: Any, *, rounding_mode: Any = None) -> Any:
    """Write a rounded quotient; torch's own translation of integers goes through float32, which holds 24 bits."""
    if rounding_mode is None:
        return _core().aten_div_mode(self, other, None)
    return _of_two(formulas.floor_divide if rounding_mode == "floor" else formulas.trunc_divide, self, other)


# One step of logcumsumexp along AXIS: each entry and the one before it by a step, which doubles; `formulas.logaddexp` of both.
STEP = """step (int64 number, bool go, int64[1] step, TYPE[] x) => (bool more, int64[1] next, TYPE[] y) {
    place = Constant <value_ints: ints = [PLACE]> () axis = Constant <value_ints: ints = [AXIS]> ()
    first = Constant <value_ints: ints = [0]> () two = Constant <value_ints: ints = [2]> ()
    zero = Constant <value: tensor = TYPE {0}> () low = Log (zero) pads = Mul (place, step) padded = Pad (x, pads, low)
    shape = Shape (x) length = Gather (shape, axis) before = Slice (padded, first, length, axis)
    equal = Equal (x, before) difference = Sub (x, before) gap = Where (equal, zero, difference)
    size = Abs (gap) minus = Neg (size) soft = Softplus (minus) larger = Max (x, before) y = Add (larger, soft)
    next = Mul (step, two) shorter = Less (next, length) more = Squeeze (shorter)
}"""


def _logcumsumexp(self: Any, dim: int) -> Any:
    """Write sums of neighbours, of neighbours of neighbours and so on: exponentials of very different size have no common scale."""

    def formula(op: Any, x: Any) -> Any:
        rank = len(self.shape)
        if not rank:
            return x
        axis = dim % rank
        text = STEP.replace("TYPE", "double" if op.kind.itemsize == 8 else "float").replace("AXIS", str(axis))
        text = text.replace("PLACE", ", ".join(str(int(number == axis)) for number in range(2 * rank)))
        body = require("onnx_ir", "torch").from_proto(require("onnx", "").parser.parse_graph(text))
        start = op.Constant(value_ints=[1])
        go = op.Squeeze(op.Less(start, op.Gather(op.Shape(x), op.Constant(value_ints=[axis]))))
        call = require("torch.onnx._internal.exporter._torchlib.ops.hop", "torch").call_op
        return call("Loop", None, go, start, x, _num_outputs=2, body=body)[1]

    return _of_one(formula, self)
