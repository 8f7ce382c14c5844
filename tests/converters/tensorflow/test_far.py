"""TensorFlow's functions far out: for large, small, infinite, missing and negative numbers the file computes as TensorFlow does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT


def test_every_function() -> None:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "run_far.py")],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) == 5
    assert not {name: wrong for name, wrong in found.items() if wrong}
