"""``serve-local --replay`` replays the goldens of packaged models over both protocols and says which disagree."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from portinf.commands.package import package
from portinf.conversion.convert import ConvertOptions
from portinf.core.batch import Batch, load_goldens, save_goldens
from portinf.packaging.options import PackageOptions
from tests.serving.live import run_cli, traces
from tests.serving.tiny_models import ADD_CONFIG, add, fingerprint
from tests.triton.models import honest

__all__ = ["traces"]

pytestmark = pytest.mark.usefixtures("traces")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A repository with one packaged model and one without goldens."""
    package(str(honest(tmp_path / "net.onnx")), PackageOptions(repository=tmp_path / "models"), ConvertOptions())
    add(tmp_path / "models", "plain", ADD_CONFIG)
    return tmp_path / "models"


def test_agreement(models: Path) -> None:
    before = fingerprint(models)
    run = run_cli(str(models), "--replay")
    assert run.code == 0, run.error
    rows = [line.split() for line in run.output.splitlines()]
    assert [row[:3] for row in rows if row[:1] == ["net"]] == [["net", "1", "http"], ["net", "1", "grpc"]]
    assert all("equal" in row for row in rows if row[:1] == ["net"])
    assert "no goldens" in run.output
    assert "2 replays of 1 model agree with the goldens" in run.output
    assert fingerprint(models) == before


def test_disagreement(models: Path) -> None:
    goldens = models / "net" / "1" / "goldens.npz"
    spoiled = [
        Batch(
            name=batch.name, inputs=batch.inputs, expected={name: np.asarray(value) + 1 for name, value in _of(batch).items()}
        )
        for batch in load_goldens(goldens)
    ]
    save_goldens(goldens, spoiled)
    run = run_cli(str(models), "--replay", "--json")
    assert run.code == 5, run.error
    report = json.loads(run.output)
    assert report["agrees"] is False
    assert [row["verdict"] for row in report["rows"]] == ["disagrees", "disagrees", "no goldens"]
    assert any("goldens.npz: changed after packaging" in note for note in report["notes"])
    assert "2 of 2 replays disagree with the goldens; first: model net, version 1, http" in run.message


def test_a_model_that_cannot_be_loaded(models: Path) -> None:
    (models / "net" / "1" / "model.onnx").write_bytes(b"nothing")
    run = run_cli(str(models), "--replay")
    assert run.code == 6
    assert "net: ONNX Runtime cannot load" in run.message


def _of(batch: Batch) -> dict[str, object]:
    return dict(batch.expected or {})
