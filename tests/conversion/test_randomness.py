"""Random models: refused by name on every way in, and never called equal without a word."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from portinf.cli.main import run
from portinf.commands.package import package
from portinf.commands.validate import ValidateOptions, validate
from portinf.conversion.convert import ConvertOptions, convert
from portinf.conversion.options import SourcingOptions
from portinf.core.batch import save_npz
from portinf.core.errors import CannotError, DisagreementError
from portinf.onnx_graph.model_file import load_proto
from portinf.onnx_graph.random_operators import random_nodes
from portinf.packaging.options import PackageOptions
from portinf.targets.onnxruntime.optimize import optimize
from portinf.targets.onnxruntime.search import search
from portinf.targets.tensorrt.optimize import TensorrtOptions, optimize_tensorrt
from portinf.triton.manifest import read_manifest
from portinf.validation import Tolerance
from tests.triton.models import save, tensor

NETS = """
import os, torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 2)
    def forward(self, x):
        return self.layer(x)

class Rare(Net):
    def forward(self, x):
        return self.layer(x) * (torch.rand(()) > 1e-4).float()

class Seeded(Net):
    def forward(self, x):
        torch.manual_seed(0)
        return self.layer(x + torch.rand_like(x))

class System(Net):
    def forward(self, x):
        return self.layer(x) + os.urandom(1)[0]

class Fresh(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)
    def forward(self, x):
        return self.layer(x)
"""


@pytest.fixture
def nets(tmp_path: Path) -> Path:
    pytest.importorskip("torch", reason="torch is not installed")
    (tmp_path / "nets.py").write_text(NETS)
    save_npz(tmp_path / "a.npz", _rows(6))
    save_npz(tmp_path / "b.npz", _rows(9))
    return tmp_path / "nets.py"


@pytest.fixture
def rare(tmp_path: Path) -> Path:
    """An ONNX file in which a number is dropped once in ten thousand calls."""
    return _file(tmp_path / "rare.onnx", [helper.make_node("RandomUniform", [], ["r"], name="draw", shape=[1])], "r")


@pytest.fixture
def unused(tmp_path: Path) -> Path:
    """An ONNX file whose random numbers reach no output."""
    nodes = [helper.make_node("RandomUniform", [], ["r"], name="draw", shape=[1]), helper.make_node("Identity", ["one"], ["s"])]
    return _file(tmp_path / "unused.onnx", nodes, "s")


def _file(path: Path, nodes: list[Any], chance: str) -> Path:
    nodes = [
        *nodes,
        helper.make_node("Greater", [chance, "bound"], ["kept"]),
        helper.make_node("Cast", ["kept"], ["factor"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "factor"], ["y"]),
    ]
    held = [numpy_helper.from_array(np.array([value], np.float32), name) for name, value in (("bound", 1e-4), ("one", 1.0))]
    return save(path, nodes, [tensor("x", ["n", 4])], [tensor("y", ["n", 4])], held)


def _rows(count: int) -> dict[str, Any]:
    return {"x": np.random.default_rng(count).normal(size=(count, 4)).astype(np.float32)}


def _converted(nets: Path, name: str, **more: Any) -> Any:
    inputs = [nets.parent / "a.npz", nets.parent / "b.npz"]
    options = ConvertOptions(sourcing=SourcingOptions(inputs=inputs), **more)
    return convert(f"{nets}:{name}", nets.parent / "out.onnx", options)


@pytest.mark.parametrize("force", [False, True])
def test_a_rare_draw_of_a_source(nets: Path, force: bool) -> None:
    with pytest.raises(CannotError, match=r"Rare: the model is random.*call to call: aten.rand .nets.py, line \d+: `return"):
        _converted(nets, "Rare", force=force)
    assert not (nets.parent / "out.onnx").exists()


def test_a_seed_in_forward_is_not_in_the_file(nets: Path) -> None:
    with pytest.raises(CannotError, match=r"the ONNX file is random.*RandomUniform"):
        _converted(nets, "Seeded")


def test_randomness_of_the_system_shows_when_the_model_is_asked_again(nets: Path) -> None:
    with pytest.raises(CannotError, match=r"System: the model's results differ from call to call"):
        _converted(nets, "System")


def test_the_exit_code_and_the_message(nets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--inputs", str(nets.parent / "a.npz"), "-o", str(nets.parent / "out.onnx")]
    assert run(["convert", f"{nets}:Rare", *given]) == 4
    error = next(line for line in capsys.readouterr().err.splitlines() if "error" in line)
    assert "pass the random numbers as an input of the model, as in forward(self, x, noise)" in error


def test_an_untrained_model_is_warned_of_first(nets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--inputs", str(nets.parent / "a.npz")]
    assert run(["convert", f"{nets}:Fresh", *given, "-o", str(nets.parent / "out.onnx")]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("warning: the factory's parameters are random: two calls gave different values of 'layer.weight'")
    assert first in load_proto(nets.parent / "out.onnx").metadata_props[0].value.replace('\\"', '"')
    assert run(["convert", f"{nets}:Fresh", *given, "--json", "-o", str(nets.parent / "out.onnx")]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["notes"][0] == first


def test_an_onnx_file_as_source(rare: Path, unused: Path, tmp_path: Path) -> None:
    with pytest.raises(CannotError, match=r"RandomUniform 'draw' draws random numbers"):
        convert(str(rare), tmp_path / "out.onnx", ConvertOptions())
    result = convert(str(unused), tmp_path / "out.onnx", ConvertOptions())
    assert "random operators that no output depends on: RandomUniform 'draw'" in result.notes


def _optimized(path: Path, out: Path) -> Any:
    return optimize(path, out, tolerance=Tolerance())


def _lowered(path: Path, out: Path) -> Any:
    return optimize(path, out, tolerance=Tolerance(), precision="fp16")


def _searched(path: Path, out: Path) -> Any:
    save_npz(out.with_suffix(".npz"), _rows(5))
    return search(path, out, inputs=[out.with_suffix(".npz")], tolerance=Tolerance())


def _for_tensorrt(path: Path, out: Path) -> Any:
    return optimize_tensorrt(path, out.with_suffix(""), TensorrtOptions(tensorrt="10.13.0"), tolerance=Tolerance())


@pytest.mark.parametrize("way", [_optimized, _lowered, _searched, _for_tensorrt])
def test_a_random_file_is_not_optimised(rare: Path, tmp_path: Path, way: Callable[[Path, Path], Any]) -> None:
    with pytest.raises(CannotError, match=r"rare.onnx is random.*RandomUniform 'draw' draws random numbers"):
        way(rare, tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


def test_unused_random_numbers_stop_nothing(unused: Path, tmp_path: Path) -> None:
    _optimized(unused, tmp_path / "out.onnx")
    assert not random_nodes(load_proto(tmp_path / "out.onnx")).reaching
    assert validate(str(unused), [str(unused)], ValidateOptions(probes=False)).comparisons[0].verdict == "equal"


def test_files_are_not_called_equal(rare: Path, unused: Path) -> None:
    (comparison,) = validate(str(rare), [str(rare)], ValidateOptions(probes=False)).comparisons
    assert all(case.status == "equal" for case in comparison.cases)
    assert comparison.verdict == "disagrees"
    assert "randomness" in comparison.reason
    assert "RandomUniform 'draw' draws random numbers: its results differ from call to call" in comparison.reason
    (comparison,) = validate(str(unused), [str(rare)], ValidateOptions(probes=False)).comparisons
    assert comparison.verdict == "disagrees"


def test_a_source_is_not_called_equal(nets: Path, tmp_path: Path) -> None:
    assert not any("random" in note for note in _converted(nets, "Net").notes)
    options = ValidateOptions(sourcing=SourcingOptions(inputs=[tmp_path / "a.npz"]), probes=False)
    (comparison,) = validate(f"{nets}:Rare", [str(tmp_path / "out.onnx")], options).comparisons
    assert all(case.status == "equal" for case in comparison.cases)
    assert comparison.verdict == "disagrees"
    assert "nets.py:Rare: the model is random" in comparison.reason
    (comparison,) = validate(f"{nets}:Net", [str(tmp_path / "out.onnx")], options).comparisons
    assert comparison.verdict == "equal"


def test_a_random_file_is_packaged_by_force_alone(rare: Path, tmp_path: Path) -> None:
    options = PackageOptions(repository=tmp_path / "models")
    with pytest.raises(DisagreementError, match=r"not packaged: .*RandomUniform 'draw' draws random numbers.*--force"):
        package(str(rare), options, ConvertOptions())
    assert not (tmp_path / "models").exists()
    forced = package(str(rare), PackageOptions(repository=tmp_path / "models", force=True), ConvertOptions())
    assert read_manifest(forced.packaged.path).forced
    assert "randomness" in forced.summary
