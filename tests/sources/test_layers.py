"""What a source's layers take and give, its answers in float64, and the types of its parameters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from portinf.core.errors import CannotError
from portinf.sources.detect import detect
from portinf.sources.model import SourceOptions, half_notes
from portinf.sources.process.parent import SourceProcess

MODELS = Path(__file__).parent.parent / "models"
PRECISION = """
import torch
from torch import nn

def plain():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(inplace=True), nn.Linear(8, 2)).eval()

class Again(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)
    def forward(self, input):
        return self.layer(self.layer(input)) + 1

def again():
    torch.manual_seed(1)
    return Again()

class Narrow(nn.Module):
    def forward(self, input):
        return input.float().sin().double()

def narrow():
    return Narrow()

def half():
    torch.manual_seed(1)
    module = Again()
    module.layer.weight.data = module.layer.weight.data.to(torch.bfloat16)
    module.layer.bias.data = module.layer.bias.data.to(torch.bfloat16)
    module.forward = lambda input: module.layer(input.to(torch.bfloat16)).float()
    return module
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "precision.py"
    path.write_text(PRECISION)
    return path


def opened(name: str) -> SourceProcess:
    return SourceProcess(SourceOptions(found=detect(name)))


X = {"input": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)}


def test_layers_of_a_module_that_writes_in_place(file: Path) -> None:
    with opened(f"{file}:plain") as process:
        layers, arrays = process.trace(X)
        assert [(layer.name, layer.kind, layer.inputs, layer.outputs) for layer in layers] == [
            ("0", "Linear", ("input",), ("0",)),
            ("1", "ReLU", ("0",), ("1",)),
            ("2", "Linear", ("1",), ("2",)),
        ]
        assert arrays["0"].min() < 0 <= arrays["1"].min()  # recorded before the ReLU wrote into it
        np.testing.assert_array_equal(arrays["2"], process.infer(X)["output_0"])
        assert list(process.trace(X, ["1"])[1]) == ["1"]


def test_a_layer_that_is_called_twice_and_fp64(file: Path) -> None:
    with opened(f"{file}:again") as process:
        layers, _ = process.trace(X)
        assert [(layer.inputs, layer.outputs) for layer in layers] == [(("input",), ("layer",)), (("layer",), ("layer@1",))]
        exact, plain = process.infer(X, double=True)["output_0"], process.infer(X)["output_0"]
        assert exact.dtype == np.float64 and plain.dtype == np.float32
        assert 0 < np.max(np.abs(exact - plain)) < 1e-6
        np.testing.assert_array_equal(process.infer(X)["output_0"], plain)  # the module itself is as before
        assert process.dtypes == {"float32": 2}


@pytest.mark.long
def test_a_module_that_computes_narrower_inside_is_no_fp64_reference(file: Path) -> None:
    with (
        opened(f"{file}:narrow") as process,
        pytest.raises(CannotError, match=r"narrower type than float64 inside, at aten\._to_copy"),
    ):
        process.infer(X, double=True)


def test_parameters_in_half_precision_are_said(file: Path) -> None:
    with opened(f"{file}:half") as process:
        assert process.dtypes == {"bfloat16": 2}
        assert any("2 of 2 float parameters are bfloat16" in note for note in process.notes)
    assert half_notes({"float32": 3, "float64": 1}) == []


@pytest.mark.long
def test_layers_and_fp64_of_keras() -> None:
    image = {"image": np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype(np.float32)}
    with opened(f"{MODELS / 'keras_layers.py'}:residual_network") as process:
        layers, arrays = process.trace(image)
        kinds = {layer.kind for layer in layers}
        assert {"Conv2D", "BatchNormalization", "Add", "Dense"} <= kinds
        first = next(layer for layer in layers if layer.kind == "Conv2D")
        assert first.inputs == ("image",) and arrays[first.outputs[0]].shape == (2, 16, 16, 8)
        plain, exact = process.infer(image)["classes"], process.infer(image, double=True)["classes"]
        assert exact.dtype == np.float64
        assert 0 < np.max(np.abs(plain - exact)) < 1e-5 * np.max(np.abs(exact))
        np.testing.assert_array_equal(process.infer(image)["classes"], plain)
    with opened(f"{MODELS / 'keras_layers.py'}:mixed_precision") as process:
        assert any("computing in float16" in note for note in process.notes)


@pytest.mark.long
def test_other_frameworks_say_that_they_cannot() -> None:
    with opened(f"{MODELS / 'tree_models.py'}:ridge") as process:
        rows = {
            declared.name: np.zeros((1, *(n or 1 for n in (declared.shape or (1, 4))[1:])), np.float32)
            for declared in process.inputs
        }
        with pytest.raises(CannotError, match="cannot show its layers"):
            process.trace(rows)
        with pytest.raises(CannotError, match="cannot compute in float64"):
            process.infer(rows, double=True)
