"""The torch exporters' helpers: one data file, reasons with the user's line, translated operators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from portinf.converters.pytorch import export as pytorch_export
from portinf.converters.pytorch import routes as pytorch
from portinf.converters.pytorch.export import DATA, one_data_file
from portinf.converters.pytorch.operators import translations
from portinf.core.batch import save_npz
from portinf.core.signature import Axis, Signature, TensorSpec
from portinf.sources.routes import ExportOptions


class _Held:
    framework = "pytorch"
    inputs = ()

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model
        self.notes: list[str] = []


def _wide() -> torch.nn.Module:
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Linear(4, 64), torch.nn.ReLU(), torch.nn.Linear(64, 64), torch.nn.Linear(64, 2)).eval()


def _options(folder: Path) -> ExportOptions:
    save_npz(folder / "example.npz", {"input": np.ones((3, 4), np.float32)})
    spec = TensorSpec(name="input", dtype="float32", shape=(Axis(label="n"), Axis(size=4)))
    return ExportOptions(signature=Signature(inputs=(spec,), outputs=()), example=folder / "example.npz", opset=18)


@pytest.mark.parametrize("number", [0, 2])
def test_large_models_lie_in_one_data_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(pytorch_export, "SMALL", 1000)
    model = _wide()
    route = list(pytorch.routes(_Held(model), _options(tmp_path)))[number]  # type: ignore[arg-type]
    (tmp_path / "out").mkdir()
    assert route.export is not None
    path = route.export(tmp_path / "out")
    assert sorted(p.name for p in path.parent.iterdir()) == ["model.onnx", DATA]
    assert path.stat().st_size < 10_000 < (path.parent / DATA).stat().st_size
    x = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
    found = onnxruntime.InferenceSession(str(path)).run(None, {"in_0": x})[0]
    np.testing.assert_allclose(found, model(torch.from_numpy(x)).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_loose_files_become_one(tmp_path: Path) -> None:
    values = {name: np.random.default_rng(3).normal(size=(40, 40)).astype(np.float32) for name in ("a", "b")}
    nodes = [helper.make_node("MatMul", ["x", "a"], ["h"]), helper.make_node("MatMul", ["h", "b"], ["y"])]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 40]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [numpy_helper.from_array(v, n) for n, v in values.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    path = tmp_path / "model.onnx"
    onnx.save(model, str(path), save_as_external_data=True, all_tensors_to_one_file=False, size_threshold=0)
    assert len(list(tmp_path.iterdir())) == 3
    one_data_file(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.onnx", DATA]
    loaded = onnx.load(str(path))
    for tensor in loaded.graph.initializer:
        np.testing.assert_array_equal(numpy_helper.to_array(tensor), values[tensor.name])


def _attention(q: Any, k: Any, mask: Any) -> Any:
    return torch.nn.functional.scaled_dot_product_attention(q, k, k, attn_mask=mask)


def _mean(x: Any, index: Any) -> Any:
    return torch.zeros_like(x).scatter_reduce(0, index, x, "mean", include_self=False)


TIES = torch.tensor([[1.0, 3.0, 1.0, 3.0], [2.0, 2.0, 0.0, 5.0]])
MASK = torch.tensor([[True] * 5, [False] * 5, [True, False, True, False, True]])


ZEROS = torch.tensor([0.0, -0.0, 1.0, -2.0, 1e30, -1e-30])


def _all(ties: Any, rows: Any, others: Any, index: Any, query: Any, key: Any, mask: Any) -> tuple[Any, ...]:
    return (
        *torch.sort(ties, dim=-1, descending=True, stable=True),
        torch.argsort(ties, dim=0, stable=True),
        torch.cumprod(rows, 1),
        torch.cdist(rows, others),
        torch.cdist(rows, others, p=1.0),
        torch.cdist(rows, others, p=3.0),
        _mean(rows, index),
        _attention(query, key, mask),
        torch.atan2(rows, rows.flip(1)),
        torch.atan2(ZEROS.unsqueeze(1), ZEROS.unsqueeze(0)),
    )


def test_translated_operators_compute_what_torch_does(tmp_path: Path) -> None:
    class Module(torch.nn.Module):
        def forward(self, *tensors: Any) -> Any:
            return _all(*tensors)

    torch.manual_seed(2)
    index = torch.tensor([[0, 0, 1], [0, 3, 1], [1, 3, 1], [3, 3, 1]])
    arguments = (TIES, torch.randn(4, 3), torch.randn(5, 3), index, torch.randn(1, 2, 3, 4), torch.randn(1, 2, 5, 4), MASK)
    path = tmp_path / "m.onnx"
    table = translations()
    torch.onnx.export(
        Module().eval(), arguments, str(path), dynamo=True, custom_translation_table=table, verbose=False, opset_version=18
    )
    session = onnxruntime.InferenceSession(str(path))
    inputs = {spec.name: value.numpy() for spec, value in zip(session.get_inputs(), arguments, strict=True)}
    for found, requested in zip(session.run(None, inputs), _all(*arguments), strict=True):
        np.testing.assert_allclose(found, requested.numpy(), rtol=1e-5, atol=1e-6)
