"""`portinf optimize --precision`: nodes that stay in float32 are named, and what fails writes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from portinf.cli.main import run
from portinf.onnx_graph.model_file import read_onnx
from portinf.runners.onnx import OnnxRuntimeRunner
from tests.mixed_precision.networks import overflowing, plain, samples, trees, underflowing, write_samples


def optimised(model: Path, *words: str) -> int:
    return run(
        ["optimize", str(model), "--target", "onnxruntime", "-o", str(model.parent / "out.onnx"), "--threads", "1", *words]
    )


@pytest.mark.parametrize(
    ("write", "island", "reason"), [(overflowing, "square", "overflow: "), (underflowing, "shrink", "underflow: ")]
)
def test_fp16_is_repaired_by_islands(
    write: Callable[[Path], Path], island: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write(tmp_path / "model.onnx")
    given = write_samples(tmp_path / "s.npz")
    words = ["--inputs", str(given)]
    assert optimised(model, "--precision", "fp16", "--atol", "2e-3", "--label", "signal", "--score", "y:0", *words) == 0
    said = capsys.readouterr()
    assert f"float32: {island}: {reason}" in said.out and "ms before" in said.out
    step = read_onnx(tmp_path / "out.onnx").provenance["steps"][-1]
    assert step["islands"][island].startswith(reason)
    x = samples(7, 5).inputs
    with OnnxRuntimeRunner(model) as before, OnnxRuntimeRunner(tmp_path / "out.onnx") as after:
        np.testing.assert_allclose(after.infer(x)["y"], before.infer(x)["y"], atol=2e-3)


def test_int8_with_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, given = plain(tmp_path / "model.onnx"), write_samples(tmp_path / "s.npz")
    limits = ["--rtol", "0", "--atol", "0.03", "--label", "signal", "--score", "y:0", "--max-auc-loss", "0.05", "--json"]
    assert optimised(model, "--precision", "int8", "--inputs", str(given), *limits) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["lowered"]["precision"] == "int8" and found["lowered"]["lowered"] == 2
    assert found["seconds_before"] > 0 and found["seconds_after"] > 0 and found["validation"]["verdict"] == "equal"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--precision", "int8"], 2, "give some with --inputs"),
        (["--label", "signal"], 2, "requires --precision"),
        (["--precision", "int8", "--inputs", "s.npz"], 5, "these samples would pass with --atol"),
        (["--precision", "bf16", "--atol", "0.05"], 4, "does not run it on this CPU"),
    ],
)
def test_refusals_write_nothing(
    words: list[str], code: int, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("s.npz", x=samples(50).inputs["x"])
    assert optimised(plain(tmp_path / "model.onnx"), *words) == code
    assert says in capsys.readouterr().err and not (tmp_path / "out.onnx").exists()


def test_trees_have_nothing_to_quantise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "s.npz", x=samples(50).inputs["x"])
    words = ["--precision", "int8", "--inputs", str(tmp_path / "s.npz"), "--atol", "1"]
    assert optimised(trees(tmp_path / "model.onnx"), *words) == 4
    assert "nothing to quantise" in capsys.readouterr().err and not (tmp_path / "out.onnx").exists()


def test_a_quantiser_that_does_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trap: it returns the model as it was, says nothing, and a comparison would find no difference at all."""
    monkeypatch.setattr("onnxruntime.quantization.qdq_quantizer.QDQQuantizer.quantize_model", lambda self: self.model.model)
    np.savez(tmp_path / "s.npz", x=samples(50).inputs["x"])
    words = ["--precision", "int8", "--inputs", str(tmp_path / "s.npz"), "--atol", "1"]
    assert optimised(plain(tmp_path / "model.onnx"), *words) == 4
    assert "did not quantise any of 2 nodes" in capsys.readouterr().err and not (tmp_path / "out.onnx").exists()
