"""Packaging: judged, proved, written; or refused with nothing left behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from portinf.cli.main import run
from portinf.commands.package import package
from portinf.conversion.convert import ConvertOptions
from portinf.conversion.options import SourcingOptions
from portinf.core.batch import load_goldens, save_npz
from portinf.core.errors import CannotError, DisagreementError, UnreadableError, UsageError
from portinf.core.signature import Role
from portinf.onnx_graph.model_file import load_proto, read_onnx, write_onnx
from portinf.packaging.options import PackageOptions, PackageResult
from portinf.runners.onnx import OnnxRuntimeRunner
from portinf.triton.config import from_text
from portinf.triton.manifest import read_manifest, verify
from tests.triton.models import dice, honest, minus_mean, row_sum, two_largest, with_data_file


def packaged(source: Path, tmp_path: Path, conversion: ConvertOptions | None = None, **options: Any) -> PackageResult:
    chosen = PackageOptions(repository=tmp_path / "models", **options)
    return package(str(source), chosen, conversion or ConvertOptions())


def with_inputs(*paths: Path, **told: Any) -> ConvertOptions:
    return ConvertOptions(sourcing=SourcingOptions(inputs=paths, **told))


def sample(path: Path, rows: int, seed: int = 0) -> Path:
    save_npz(path, {"x": np.random.default_rng(seed).normal(size=(rows, 4)).astype(np.float32)})
    return path


def test_a_foreign_file_is_packaged_with_generated_goldens(tmp_path: Path) -> None:
    result = packaged(honest(tmp_path / "my net.v2.onnx"), tmp_path)
    manifest = result.packaged.manifest
    assert (manifest.name, manifest.version, manifest.max_batch_size) == ("my_net.v2", 1, 64)
    assert manifest.validation is not None
    assert manifest.validation["verdict"] == "equal"
    assert not manifest.forced
    assert verify(result.packaged.path) == []
    goldens = load_goldens(result.packaged.path / "goldens.npz")
    assert goldens
    assert all(batch.inputs["x"].shape[0] > 0 for batch in goldens)


def test_the_goldens_are_the_given_samples_with_the_models_answers(tmp_path: Path) -> None:
    samples = [sample(tmp_path / "a.npz", 5), sample(tmp_path / "b.npz", 100, seed=1)]
    result = packaged(honest(tmp_path / "net.onnx"), tmp_path, with_inputs(*samples))
    goldens = load_goldens(result.packaged.path / "goldens.npz")
    assert [len(batch.inputs["x"]) for batch in goldens] == [5, 64]  # cut to what one request may hold
    with OnnxRuntimeRunner(tmp_path / "net.onnx") as runner:
        for batch in goldens:
            assert batch.expected is not None
            np.testing.assert_allclose(runner.infer(batch.inputs)["y"], batch.expected["y"], rtol=1e-5)


def test_the_batch_size_follows_the_proof(tmp_path: Path) -> None:
    assert packaged(honest(tmp_path / "a.onnx"), tmp_path, max_batch_size=16000).packaged.manifest.max_batch_size == 16000
    assert packaged(honest(tmp_path / "b.onnx"), tmp_path, max_batch_size=0).packaged.manifest.batching == "asked for"
    manifest = packaged(minus_mean(tmp_path / "c.onnx"), tmp_path).packaged.manifest
    assert manifest.max_batch_size == 0
    assert "a row's answer depends on its batch" in manifest.batching


def test_a_batch_size_against_the_proof_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotError, match="--max-batch-size 8 is not possible: a row's answer depends on its batch"):
        packaged(minus_mean(tmp_path / "net.onnx"), tmp_path, max_batch_size=8)
    with pytest.raises(CannotError, match="--max-batch-size 8 is not possible: axis 0 of tensor 'x'"):
        packaged(honest(tmp_path / "fixed.onnx", batch=3), tmp_path, max_batch_size=8)
    assert not (tmp_path / "models").exists()


def test_scalar_rows_are_reshaped(tmp_path: Path) -> None:
    model = packaged(row_sum(tmp_path / "net.onnx"), tmp_path).packaged.model
    output = from_text((model / "config.pbtxt").read_text()).outputs[0]
    assert (output.dims, output.reshape) == ((1,), ())


def test_external_data_goes_along(tmp_path: Path) -> None:
    result = packaged(with_data_file(tmp_path / "net.onnx"), tmp_path)
    assert set(result.packaged.manifest.files) == {"model.onnx", "net.data", "goldens.npz"}


def test_a_disagreement_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DisagreementError, match=r"not packaged: .*--force"):
        packaged(dice(tmp_path / "net.onnx"), tmp_path)
    assert not (tmp_path / "models").exists()


def test_a_forced_package_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = dice(tmp_path / "net.onnx")
    assert run(["package", str(source), "--repository", str(tmp_path / "models"), "--force", "--json"]) == 0
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert report["forced"]
    assert report["verdict"] == "disagrees"
    assert "warning: packaged by --force although the numbers disagree" in captured.err
    manifest = read_manifest(tmp_path / "models" / "net" / "1")
    assert manifest.forced
    assert manifest.options["force"] is True


def test_force_on_a_model_that_agrees_is_not_recorded_as_forced(tmp_path: Path) -> None:
    assert not packaged(honest(tmp_path / "net.onnx"), tmp_path, force=True).packaged.manifest.forced


@pytest.mark.parametrize("verdict", ["equal", "disagrees"])
def test_the_judgement_that_came_with_a_file_counts(tmp_path: Path, verdict: str) -> None:
    path = honest(tmp_path / "net.onnx")
    provenance = {"source": "net.py:build", "validation": {"verdict": verdict, "summary": "3 cases"}}
    write_onnx(load_proto(path), path, path, read_onnx(path).signature, provenance)
    if verdict == "equal":
        assert packaged(path, tmp_path).packaged.manifest.provenance["source"] == "net.py:build"
        return
    with pytest.raises(DisagreementError, match="its conversion was judged disagrees: 3 cases"):
        packaged(path, tmp_path)
    assert packaged(path, tmp_path, force=True).packaged.manifest.forced


def test_minimums_and_roles_of_a_foreign_file(tmp_path: Path) -> None:
    path = two_largest(tmp_path / "net.onnx")
    conversion = with_inputs(minimums={"points": 2}, roles={"x": Role(kind="mask", of="points")})
    signature = packaged(path, tmp_path, conversion).packaged.manifest.signature
    assert signature.axes["points"].minimum == 2
    assert signature.input("x").role == Role(kind="mask", of="points")
    with pytest.raises(UsageError, match="--minimum dots=2: no such axis; there are: batch, points"):
        packaged(path, tmp_path, with_inputs(minimums={"dots": 2}))


@pytest.mark.parametrize(
    ("told", "option"),
    [({"dynamic": {("x", 0): ""}}, "--dynamic"), ({"outputs": ["z"]}, "--outputs"), ({"weights": Path("w")}, "--weights")],
)
def test_options_of_a_source_are_refused_for_a_file(tmp_path: Path, told: dict[str, Any], option: str) -> None:
    with pytest.raises(UsageError, match=f"{option} applies only when converting"):
        packaged(honest(tmp_path / "net.onnx"), tmp_path, with_inputs(**told))


def test_a_release_that_cannot_read_the_file_is_refused(tmp_path: Path) -> None:
    model = onnx.load(str(honest(tmp_path / "net.onnx")))
    model.ir_version = 10
    onnx.save(model, str(tmp_path / "net.onnx"))
    with pytest.raises(CannotError, match=r"Triton 23\.05 reads up to 18 and 9; .* is 24\.05"):
        packaged(tmp_path / "net.onnx", tmp_path, ConvertOptions(triton_release="23.05"))


def test_samples_must_fit(tmp_path: Path) -> None:
    save_npz(tmp_path / "bad.npz", {"x": np.zeros((3, 5), dtype=np.float32)})
    with pytest.raises(UsageError, match=r"tensor 'x': expected shape \[batch, 4\], found \[3, 5\]"):
        packaged(honest(tmp_path / "net.onnx"), tmp_path, with_inputs(tmp_path / "bad.npz"))


@pytest.mark.parametrize("version", ["0", "-1", "one", "1.0", ""])
def test_odd_versions_are_usage_errors(tmp_path: Path, version: str, capsys: pytest.CaptureFixture[str]) -> None:
    source = honest(tmp_path / "net.onnx")
    assert run(["package", str(source), "--repository", str(tmp_path), "--version", version]) == 2
    assert f"--version {version}: expected 'next' or a whole number" in capsys.readouterr().err


def test_an_existing_version_is_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = honest(tmp_path / "net.onnx")
    packaged(path, tmp_path, version=3)
    monkeypatch.setattr("portinf.commands.package.read_onnx", lambda _: pytest.fail("the file was read"))
    with pytest.raises(CannotError, match="version 3 exists"):
        packaged(path, tmp_path, version=3)


def test_a_package_and_a_missing_file_are_no_sources(tmp_path: Path) -> None:
    model = packaged(honest(tmp_path / "net.onnx"), tmp_path).packaged.model
    with pytest.raises(CannotError, match=r"a packaged model; portinf package takes .*; give its model\.onnx: "):
        packaged(model, tmp_path)
    with pytest.raises(UnreadableError, match="no such file"):
        packaged(tmp_path / "nothing.onnx", tmp_path)


def test_a_module_factory_is_converted_first(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    source = tmp_path / "net.py"
    source.write_text(
        "import torch\n\n\nclass Net(torch.nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.layer = torch.nn.Linear(4, 2)\n\n"
        "    def forward(self, x):\n        return torch.tanh(self.layer(x))\n\n\n"
        "def build():\n    torch.manual_seed(0)\n    return Net()\n"
    )
    conversion = with_inputs(sample(tmp_path / "a.npz", 3), sample(tmp_path / "b.npz", 5))
    result = package(f"{source}:build", PackageOptions(repository=tmp_path / "models"), conversion)
    manifest = result.packaged.manifest
    assert (manifest.name, manifest.max_batch_size) == ("net", 64)
    assert manifest.provenance["framework"] == "pytorch"
    assert manifest.validation is not None
    assert manifest.validation["verdict"] == "equal"
    assert verify(result.packaged.path) == []
