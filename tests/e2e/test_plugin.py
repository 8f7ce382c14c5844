"""The complete example of docs/howto/add-a-source.md, installed as a package of its own and used."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime

from tests.conftest import ROOT


def test_the_documented_source_is_complete_short_and_works(tmp_path: Path) -> None:
    page = (ROOT / "docs/howto/add-a-source.md").read_text()
    project, module = (re.search(rf"```{kind}\n(.*?)```", page, re.DOTALL).group(1) for kind in ("toml", "python"))  # type: ignore[union-attr]
    assert len(module.splitlines()) < 40
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "pyproject.toml").write_text(project)
    (tmp_path / "package" / "linear_fit.py").write_text(module)
    (tmp_path / "fit.txt").write_text("linear-fit 2.0 0.5\n")
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(site), str(tmp_path / "package")]
    subprocess.run(install, check=True, timeout=200, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-m", "portinf", "convert", "fit.txt", "-o", "fit.onnx"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    session = onnxruntime.InferenceSession(str(tmp_path / "fit.onnx"))
    np.testing.assert_allclose(session.run(["y"], {"x": np.float32([1, 2, 3])})[0], [2.5, 4.5, 6.5])
    without = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert without.returncode == 2
