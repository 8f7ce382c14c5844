"""Models above protobuf's limit of 2 GiB: one ONNX file and one data file, by both exporters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from portinf.core.batch import save_npz
from portinf.core.signature import Axis, Signature, TensorSpec
from tests.conftest import Cli
from tests.matrix.pytorch_cells import MODELS

ROWS = 8_600_000


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_model_above_two_gigabytes(cli: Cli, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    for number, n in enumerate((5, 9)):
        save_npz(tmp_path / f"{number}.npz", {"index": rng.integers(0, ROWS, n)})
    samples = ["--inputs", "0.npz", "--inputs", "1.npz"]
    done = cli("convert", f"{MODELS}:huge", *samples, "-o", "huge.onnx", "--json", timeout=1000)
    assert done.code == 0, done.err
    assert done.report["route"] == "torch.onnx dynamo"
    files = sorted(tmp_path.glob("huge.*"), key=lambda path: path.stat().st_size)
    assert [path.suffix for path in files] == [".onnx", ".data"]
    assert files[0].stat().st_size < 1_000_000 and files[1].stat().st_size > 2**31


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_the_torchscript_exporter_above_two_gigabytes(tmp_path: Path) -> None:
    import torch

    from portinf.converters.pytorch.export import DATA, export_torchscript
    from portinf.sources.routes import ExportOptions
    from tests.models import matrix_torch

    index = np.arange(6) * 1000
    save_npz(tmp_path / "example.npz", {"index": index})
    spec = TensorSpec(name="index", dtype="int64", shape=(Axis(label="n"),))
    options = ExportOptions(signature=Signature(inputs=(spec,), outputs=()), example=tmp_path / "example.npz", opset=18)
    model = matrix_torch.huge().eval()
    (tmp_path / "out").mkdir()
    path = export_torchscript(model, (torch.from_numpy(index),), options, tmp_path / "out")
    assert sorted(file.name for file in path.parent.iterdir()) == ["model.onnx", DATA]
    expected = model(torch.from_numpy(index[:3])).detach().numpy()
    del model
    found = onnxruntime.InferenceSession(str(path)).run(None, {"in_0": index[:3]})[0]
    np.testing.assert_array_equal(found, expected)
