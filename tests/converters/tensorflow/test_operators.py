"""Operators that portinf converts itself: as TensorFlow computes them, near zero, for negative segments and without rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

RELATIVE = 3e-6  # a few roundings of fp32; a Fourier transform of 16 points adds up 16 terms that may cancel


def test_every_operator() -> None:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "run_operators.py")],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    wrong = {name: value for name, value in found.items() if isinstance(value, str) or value > RELATIVE}
    assert not wrong
    assert len(found) == 12
