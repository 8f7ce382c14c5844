"""PyTorch's functions far out: what both exporters write computes as PyTorch does for large, small, infinite and missing numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F

from portinf.converters.ends import fix_ends
from portinf.converters.pytorch import routes as pytorch
from portinf.core.batch import save_npz
from portinf.core.signature import Axis, Signature, TensorSpec
from portinf.onnx_graph.passes.exporter_fixes import fix
from portinf.sources.routes import ExportOptions
from tests.converters.far_grid import BEYOND, FLOATS, INTEGERS, PAIRED, ROWS, difference

Functions = dict[str, Callable[..., Any]]
DYNAMO, TORCHSCRIPT = 0, 2  # numbers of the routes


def _paired(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x: function(*torch.broadcast_tensors(x[:, None], x[None, :]))


def _entropy(a: Any, b: Any, **more: Any) -> Any:
    return F.binary_cross_entropy_with_logits(a, b.nan_to_num().clamp(0, 1), reduction="none", **more)


# Both exporters know these.
ONE: Functions = {
    "log_sigmoid": F.logsigmoid,
    "softplus": F.softplus,
    "softplus, scaled": lambda x: F.softplus(x, 3.0, 5.0),
    "log1p": torch.log1p,
    "log2": torch.log2,
    "log10": torch.log10,
    "whole log2": lambda x: torch.floor(torch.log2(torch.pow(2.0, x.round().clamp(-120, 120)))),
    "whole log10": lambda x: torch.floor(torch.log10(torch.pow(10.0, x.round().clamp(0, 10)))),
    "expm1": torch.expm1,
    "erfc": torch.erfc,
    "erfcx": torch.special.erfcx,
    "elu": lambda x: F.elu(x, 0.5),
    "celu": lambda x: F.celu(x, 0.5),
    "selu": F.selu,
    "sign": torch.sign,
    "signbit": torch.signbit,
    "xlogx": lambda x: torch.xlogy(x, x),
    "xlog1px": lambda x: torch.special.xlog1py(x, x),
    "logit": lambda x: torch.logit(x, 1e-6),
    "clamp": lambda x: x.clamp(-1, 1),
    "clamp_min": lambda x: x.clamp(min=1e-9),
    "clamp_max": lambda x: x.clamp(max=0.5),
    "heaviside": lambda x: torch.heaviside(x, torch.full((1,), 0.5)),
    "remainder": lambda x: torch.remainder(x.clamp(-1e4, 1e4), 0.7),
    "remainder of a negative number": lambda x: x.clamp(-1e4, 1e4) % -2.0,
    "floor_divide": lambda x: x.clamp(-1e4, 1e4) // 0.1,
    "angle between -pi and pi": lambda x: (x.clamp(-1e3, 1e3) + np.pi) % (2 * np.pi) - np.pi,
    "rounded down": lambda x: torch.div(x.clamp(-1e4, 1e4), 0.7, rounding_mode="floor"),
    "rounded to 0": lambda x: torch.div(x, 0.7, rounding_mode="trunc"),
    "normalize": lambda x: F.normalize(torch.stack([x, 2 * x], 1).clamp(-1e15, 1e15), dim=1),
    "relu": F.relu,
    "mish": lambda x: F.mish(x.clamp(min=-80)),
    "log of a sigmoid": lambda x: torch.log(torch.sigmoid(x.clamp(min=-80))),
    "log of a clamped sigmoid": lambda x: torch.log(torch.sigmoid(x).clamp(min=1e-12)),
    "odds": lambda x: (1 - torch.sigmoid(x.clamp(-80, 10))) / torch.sigmoid(x.clamp(-80, 10)),
    "log with an epsilon": lambda x: torch.log(x.abs() + 1e-8),
    "ratio with an epsilon": lambda x: x / (x.abs() + 1e-9),
    "root with an epsilon": lambda x: torch.sqrt(x * x + 1e-12),
    "times nearly 1": lambda x: x * 1.000003 - x,
    "over nearly 1": lambda x: x.clamp(-1e30, 1e30) / 1.000003 - x.clamp(-1e30, 1e30),
    "less a little": lambda x: (x - 1e-8) * 1e8,
    "cosine": lambda x: F.cosine_similarity(torch.stack([x, 2 * x], 1).clamp(-1e15, 1e15), torch.ones(1, 2), dim=1),
}
TWO: Functions = {
    "logaddexp": torch.logaddexp,
    "logaddexp2": torch.logaddexp2,
    "hypot": lambda a, b: torch.hypot(a.nan_to_num(1.0), b.nan_to_num(1.0)),
    "atan2": lambda a, b: torch.atan2(a.clamp(-1e30, 1e30), b.clamp(-1e30, 1e30)),
    "floor_divide": lambda a, b: torch.floor_divide(a.clamp(-1e4, 1e4), b.sign() * b.abs().clamp(0.3, 1e3)),
    "remainder": lambda a, b: torch.remainder(a.clamp(-1e4, 1e4), b.sign() * b.abs().clamp(min=0.3)),
    "fmod": lambda a, b: torch.fmod(a.clamp(-1e4, 1e4), b.sign() * b.abs().clamp(min=0.3)),
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "xlogy": torch.xlogy,
    "cross entropy": lambda a, b: _entropy(a.clamp(-1e30, 1e30), b),
    "weighted cross entropy": lambda a, b: _entropy(a.clamp(-1e30, 1e30), b, pos_weight=torch.full((1,), 3.0)),
}
ROW: Functions = {
    "amax": lambda x: x.amax(1),
    "amin": lambda x: x.amin(1, keepdim=True),
    "max": lambda x: x[4:7].max(),
    "max along": lambda x: x.max(1)[0],
    "argmax": lambda x: x.argmax(1),
    "argmin": lambda x: x.argmin(1),
    "sort": lambda x: torch.sort(x, 1)[0],
    "topk": lambda x: torch.topk(x, 2, 1)[0],
    "logsumexp": lambda x: torch.logsumexp(x, 1),
    "log_softmax": lambda x: F.log_softmax(x[8:], 1),
    "any": lambda x: x.any(1),
}
WHOLE: Functions = {
    "floor_divide": lambda x: x // 3,
    "floor_divide by a negative number": lambda x: x // -3,
    "rounded up": lambda x: -((-x) // 3),
    "remainder": lambda x: x % 3,
    "remainder of a negative number": lambda x: x % -3,
    "fmod": lambda x: torch.fmod(x, -3),
    "rounded down": lambda x: torch.div(x, 7, rounding_mode="floor"),
    "rounded to 0": lambda x: torch.div(x, -7, rounding_mode="trunc"),
    "shift": lambda x: x >> 3,
    "sign": torch.sign,
    "clamp": lambda x: x.clamp(-5, 5),
    "clamp_min": lambda x: x.clamp(min=0),
    "maximum": lambda x: torch.maximum(x, torch.zeros(1, dtype=x.dtype)),
    "one_hot": lambda x: F.one_hot(x.to(torch.int64) % 5, 5),
}
DYNAMO_ALONE: Functions = {
    "sinc": lambda x: torch.sinc(x.clamp(-1e3, 1e3)),
    "log_ndtr": lambda x: torch.special.log_ndtr(x.clamp(-1e4, 1e4)),
    "copysign": lambda x: torch.copysign(torch.ones_like(x), x.nan_to_num(1.0)),
    "log(1 + exp(x))": lambda x: torch.log1p(torch.exp(x.clamp(-80, 80))),
}
DYNAMO_ROW: Functions = {
    "logcumsumexp": lambda x: torch.logcumsumexp(x, 1),
    "logcumsumexp over rows": lambda x: torch.logcumsumexp(x[8:], 0),
    "maximum of scattered rows": lambda x: torch.zeros(4, 4).scatter_reduce(
        0,
        (torch.arange(x.shape[0]) % 3)[:, None].expand(-1, 4),
        x.nan_to_num(0.0, 1.0, float("-inf")),
        "amax",
        include_self=False,
    ),
    "median by quantile": lambda x: torch.quantile(x[4:], 0.5, dim=1),
}
# Terms of size 100 that cancel to rounding, in PyTorch as well.
SLACK = {"logaddexp2": 1e-6, "cross entropy": 1e-5, "weighted cross entropy": 1e-5}


class _All(torch.nn.Module):
    def __init__(self, functions: Functions) -> None:
        super().__init__()
        self.functions = list(functions.values())

    def forward(self, x: Any) -> Any:
        return tuple(function(x) for function in self.functions)


class _Held:
    framework = "pytorch"
    inputs = ()

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model
        self.notes: list[str] = []


def _exported(functions: Functions, x: Any, folder: Path, route: int) -> Any:
    save_npz(folder / "example.npz", {"x": x})
    shape = (Axis(label="n"), *[Axis(size=size) for size in x.shape[1:]])
    spec = TensorSpec(name="x", dtype=x.dtype.name, shape=shape)
    options = ExportOptions(signature=Signature(inputs=(spec,), outputs=()), example=folder / "example.npz", opset=18)
    chosen = list(pytorch.routes(_Held(_All(functions).eval()), options))[route]  # type: ignore[arg-type]
    (folder / "out").mkdir()
    assert chosen.export is not None
    model = onnx.load(chosen.export(folder / "out"))
    fix(model)
    fix_ends(model, "pytorch")
    return model


def _wrong(functions: Functions, x: Any, folder: Path, route: int) -> dict[str, str]:
    """Return what the exported functions answer otherwise than PyTorch, with and without ONNX Runtime's optimisations."""
    model = _exported(functions, x, folder, route)
    with torch.no_grad():
        requested = [function(torch.from_numpy(x)).numpy() for function in functions.values()]
    wrong: dict[str, str] = {}
    for level in (onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = level
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        for name, right, found in zip(functions, requested, session.run(None, {"in_0": x}), strict=True):
            if text := difference(right, found, SLACK.get(name, 0.0)):
                wrong[name] = text
    return wrong


def _without(functions: Functions, *names: str) -> Functions:
    return {name: function for name, function in functions.items() if name not in names}


@pytest.mark.parametrize("route", [DYNAMO, TORCHSCRIPT])
def test_functions_of_one_number(tmp_path: Path, route: int) -> None:
    functions = {**ONE, **DYNAMO_ALONE} if route == DYNAMO else ONE
    assert not _wrong(functions, FLOATS, tmp_path, route)


@pytest.mark.parametrize("route", [DYNAMO, TORCHSCRIPT])
def test_functions_of_two_numbers(tmp_path: Path, route: int) -> None:
    assert not _wrong({name: _paired(function) for name, function in TWO.items()}, PAIRED, tmp_path, route)


@pytest.mark.parametrize("route", [DYNAMO, TORCHSCRIPT])
def test_functions_of_a_row(tmp_path: Path, route: int) -> None:
    functions = {**ROW, **DYNAMO_ROW} if route == DYNAMO else ROW
    assert not _wrong(functions, ROWS, tmp_path, route)


@pytest.mark.parametrize("route", [DYNAMO, TORCHSCRIPT])
@pytest.mark.parametrize("kind", ["int32", "int64"])
def test_functions_of_integers(tmp_path: Path, route: int, kind: str) -> None:
    assert not _wrong(WHOLE, INTEGERS.astype("int32") if kind == "int32" else BEYOND, tmp_path, route)


@pytest.mark.parametrize("kind", ["float16", "float64"])
def test_other_precisions(tmp_path: Path, kind: str) -> None:
    names = (
        "log_sigmoid",
        "softplus",
        "log1p",
        "log2",
        "log10",
        "expm1",
        "elu",
        "celu",
        "selu",
        "sign",
        "log with an epsilon",
        "xlogx",
    )
    functions = {name: ONE[name] for name in names}
    if kind == "float64":
        functions["times a tenth"] = lambda x: x * 0.1
        functions["elu of another size"] = lambda x: F.elu(x, 0.1)
        functions["logaddexp"] = _paired(TWO["logaddexp"])
        functions["logcumsumexp"] = lambda x: torch.logcumsumexp(torch.stack([x, -x, x], 1).clamp(-1e3, 1e3), 1)
    with np.errstate(over="ignore"):
        assert not _wrong(functions, FLOATS.astype(kind), tmp_path, DYNAMO)


@pytest.mark.parametrize("rows", [0, 1])
def test_logcumsumexp_of_nothing(tmp_path: Path, rows: int) -> None:
    """A scan would end ONNX Runtime's process here."""
    model = _exported({"logcumsumexp": lambda x: torch.logcumsumexp(x, 1)}, ROWS, tmp_path, DYNAMO)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert session.run(None, {"in_0": ROWS[:rows]})[0].shape == (rows, 4)


def test_what_lies_behind_weights_stays_as_it_is(tmp_path: Path) -> None:
    """NaN guards and exact ELUs cost several nodes: not in every layer of a network."""
    weights = torch.ones(4, 4)
    functions: Functions = {
        "maximum": lambda x: (x @ weights).amax(1),
        "elu": lambda x: F.elu(x @ weights),
        "silu": lambda x: F.silu(x @ weights),
        "sigmoid": lambda x: torch.sigmoid(x),
    }
    kinds = {node.op_type for node in _exported(functions, ROWS, tmp_path, DYNAMO).graph.node}
    assert kinds == {"MatMul", "ReduceMax", "Elu", "Sigmoid", "Mul"}
