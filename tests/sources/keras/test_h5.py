"""Keras 2 files compute in Keras 3 what tf_keras computed when they were written; what cannot be known is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py

from tests.conftest import ROOT

FILES = ROOT / "tests" / "models" / "keras2"
ONE_ROUNDING = 1e-6  # outputs are of size 1


def _load(paths: list[Path]) -> dict[str, list[Any]]:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "load_keras2.py"), *map(str, paths)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=200,
        check=True,
    )
    found: dict[str, list[Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_answers_are_those_of_keras_2() -> None:
    found = _load(sorted(FILES.glob("*.h5")))
    assert len(found) == 8
    for stem, (error, notes) in found.items():
        assert isinstance(error, float), notes
        assert error < ONE_ROUNDING, stem
        assert notes[0].startswith("a file of Keras 2.")
    assert "hard_sigmoid as in Keras 2" in found["hard_sigmoid"][1][0]


def _edited(source: str, target: Path, change: Callable[[str], str]) -> Path:
    shutil.copy(FILES / source, target)
    with h5py.File(target, "r+") as file:
        file.attrs["model_config"] = change(file.attrs["model_config"])
    return target


def test_refusals(tmp_path: Path) -> None:
    paths = [
        _edited("masked.h5", tmp_path / "cudnn.h5", lambda c: c.replace('"LSTM"', '"CuDNNLSTM"')),
        _edited("masked.h5", tmp_path / "custom.h5", lambda c: c.replace('"LSTM"', '"Mine"')),
        _edited("masked.h5", tmp_path / "major.h5", lambda c: c.replace('"time_major": false', '"time_major": true')),
        _edited("operations.h5", tmp_path / "writes.h5", lambda c: c.replace('"nn.relu"', '"io.write_file"')),
        _edited("operations.h5", tmp_path / "hidden.h5", lambda c: c.replace('"nn.relu"', '"nn.__dict__.relu"')),
        _edited("nested.h5", tmp_path / "lambda.h5", lambda c: c.replace('"Subtract"', '"Lambda"')),
        _edited("nested.h5", tmp_path / "cut.h5", lambda c: c[:100]),
    ]
    whole = (FILES / "nested.h5").read_bytes()
    (tmp_path / "short.h5").write_bytes(whole[: len(whole) // 2])
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["hits"] = [1, 2]
    found = _load([*paths, tmp_path / "short.h5", tmp_path / "data.h5"])
    expected = {
        "cudnn": ("CannotError", "tf_keras"),
        "custom": ("CannotError", "factory"),
        "major": ("UnreadableError", "time_major"),
        "writes": ("PermissionNeededError", "tf.io.write_file"),
        "hidden": ("PermissionNeededError", "--allow-code"),
        "lambda": ("PermissionNeededError", "Lambda"),
        "cut": ("UnreadableError", "model_config is damaged"),
        "short": ("UnreadableError", "damaged or truncated"),
        "data": ("UnreadableError", "it holds: hits"),
    }
    for stem, (kind, text) in expected.items():
        assert found[stem][0] == kind, found[stem]
        assert text in found[stem][1]
