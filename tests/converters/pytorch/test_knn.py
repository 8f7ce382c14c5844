"""Layers that find their own neighbours: the file against the eager layer, with torch and ONNX Runtime alone, at many sizes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import torch_geometric.typing

from portinf.core.batch import save_npz
from portinf.onnx_graph.model_file import read_onnx
from portinf.sources.pytorch.dense_knn import provide_knn
from tests.conftest import Cli
from tests.matrix.graph_cells import MODELS
from tests.models import matrix_graphs

GRAPHS = ([1], [3], [4], [1, 1, 1], [2, 50, 1, 7], [5] * 30, [200])  # nodes of each graph; every layer asks for four


@pytest.fixture
def provided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_geometric.typing, "WITH_KNN", False)
    monkeypatch.setattr(torch.ops.pyg, "knn", None, raising=False)  # puts back what stood there, or nothing
    provide_knn()


def _given(rng: np.random.Generator, sizes: Sequence[int], *, whole: bool = False) -> dict[str, Any]:
    nodes = sum(sizes)
    x = rng.integers(-1, 2, (nodes, 3)) if whole else rng.normal(size=(nodes, 3))
    return {"x": x.astype(np.float32), "batch": np.repeat(np.arange(len(sizes)), sizes)}


@pytest.mark.parametrize(
    "model",
    [
        "dynamic_sum_batch",
        *(pytest.param(name, marks=pytest.mark.long) for name in ("dynamic_max_batch", "gravnet_batch", "dynamic_deep")),
    ],
)
def test_the_file_answers_as_the_eager_layer(provided: None, model: str, cli: Cli, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    for number, sizes in enumerate(([4, 7], [9, 2, 6])):
        save_npz(tmp_path / f"{number}.npz", _given(rng, sizes))
    done = cli("convert", f"{MODELS}:{model}", "--inputs", "0.npz", "--inputs", "1.npz", "-o", "out.onnx", "--json")
    assert done.code == 0, done.err
    notes = [note for note in done.report["notes"] if "dense kNN" in note]
    assert notes == [note for note in read_onnx(tmp_path / "out.onnx").provenance["notes"] if "dense kNN" in note]
    assert len(notes) == 1
    assert "pyg-lib is not installed" in notes[0]
    layer = getattr(matrix_graphs, model)().eval()
    session = onnxruntime.InferenceSession(str(tmp_path / "out.onnx"), providers=["CPUExecutionProvider"])
    for sizes in GRAPHS:
        for whole in (False, True):  # whole numbers: duplicates and ties of distance
            inputs = _given(rng, sizes, whole=whole)
            with torch.no_grad():
                requested = layer(**{name: torch.from_numpy(array) for name, array in inputs.items()}).numpy()
            np.testing.assert_allclose(session.run(None, inputs)[0], requested, rtol=1e-4, atol=1e-5)
