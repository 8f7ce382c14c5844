"""The commands as a library: typed options and results, errors raised, nothing imported before it is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import portinf
from tests.conftest import TORCH_MODELS


def test_a_model_from_source_to_a_package_in_one_notebook(tmp_path: Path) -> None:
    samples = tmp_path / "x.npz"
    np.savez(samples, x=np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32))
    sourcing = portinf.SourcingOptions(inputs=[samples], dynamic={("x", 0): "row"})
    lines: list[str] = []

    converted = portinf.convert(
        f"{TORCH_MODELS}:mlp", tmp_path / "net.onnx", portinf.ConvertOptions(sourcing=sourcing), lines.append
    )
    assert isinstance(converted, portinf.ConvertResult) and converted.artifact.path == tmp_path / "net.onnx" and lines
    fast = portinf.optimize(
        tmp_path / "net.onnx", tmp_path / "fast.onnx", "onnxruntime", portinf.OnnxruntimeOptions(threads=1), inputs=[samples]
    )
    assert fast.to_json() and (tmp_path / "fast.onnx").is_file()
    options = portinf.ValidateOptions(sourcing=portinf.SourcingOptions(inputs=[samples]))
    report = portinf.validate(str(tmp_path / "net.onnx"), [str(tmp_path / "fast.onnx")], options)
    assert report.equal and isinstance(report, portinf.Report)
    packaged = portinf.package(
        str(tmp_path / "fast.onnx"),
        portinf.PackageOptions(repository=tmp_path / "models", name="net"),
        portinf.ConvertOptions(sourcing=portinf.SourcingOptions(inputs=[samples])),
    )
    assert packaged.verdict == "equal"
    inspection = portinf.inspect(str(tmp_path / "models" / "net"))
    assert [spec.name for spec in inspection.signature.inputs] == ["x"]


def test_errors_are_raised_and_not_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(portinf.PortinfError, match="no such file"):
        portinf.inspect(str(tmp_path / "nothing.onnx"))
    with pytest.raises(portinf.PortinfError, match="--target tpu: no such target"):
        portinf.optimize(tmp_path / "a.onnx", tmp_path / "b.onnx", "tpu", None)
    with pytest.raises(portinf.PortinfError, match="nothing"), portinf.serve_local(tmp_path / "nothing"):
        pass
    assert capsys.readouterr() == ("", "")


def test_every_name_is_there_and_typed() -> None:
    typed = Path(portinf.__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    for name in portinf.__all__:
        assert getattr(portinf, name) is not None
        assert name in typed
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = portinf.nothing  # type: ignore[attr-defined]


def test_importing_portinf_imports_nothing_heavy() -> None:
    code = "import sys, portinf; sys.exit(','.join({'numpy', 'onnx', 'click', 'onnxruntime'} & set(sys.modules)) or 0)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
