"""Ctrl-C in the middle: exit 130, one line, nothing half-written, no process and no folder left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import TORCH_MODELS


@pytest.mark.parametrize("seconds", [0.2, 1.0, 2.5])
@pytest.mark.parametrize("command", ["convert", "package"])
def test_interrupt(tmp_path: Path, seconds: float, command: str) -> None:
    import numpy as np

    from portinf.core.batch import save_npz

    (tmp_path / "tmp").mkdir()
    for name, rows in (("a", 5), ("b", 8)):
        save_npz(tmp_path / f"{name}.npz", {"x": np.ones((rows, 4), np.float32)})
    where = ["-o", "m.onnx"] if command == "convert" else ["--repository", "models"]
    process = subprocess.Popen(
        [sys.executable, "-m", "portinf", command, f"{TORCH_MODELS}:mlp", "--inputs", "a.npz", "--inputs", "b.npz", *where],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
    )
    assert process.stderr is not None
    first = process.stderr.readline()  # "portinf: loading ...": before that, Python itself is still starting
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGINT)
    told = first + process.communicate(timeout=60)[1]
    assert process.returncode == 130, told
    assert "Traceback" not in told
    assert told.splitlines()[-1] == "portinf: interrupted"
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["a.npz", "b.npz"]
    assert not [path for path in (tmp_path / "tmp").iterdir() if path.name.startswith("portinf")]
    for _ in range(100):  # a child that ends a moment later is no process left behind
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("a process is left")
