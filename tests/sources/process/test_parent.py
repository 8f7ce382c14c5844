"""The child process of a source: names, noise, crashes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from portinf.core.errors import CannotError, RunnerError, UsageError
from portinf.sources.detect import detect
from portinf.sources.model import SourceOptions
from portinf.sources.process.parent import SourceProcess

NOISY = """
import os, sys, time, torch
print("hello from the model")

class Noisy(torch.nn.Module):
    def forward(self, x, scale=None):
        print("computing")
        if x.shape[0] == 13:
            os.kill(os.getpid(), 9)
        if x.shape[0] == 14:
            time.sleep(60)
        if x.shape[0] == 15:
            self.hoard = [torch.ones(30_000_000) for _ in range(100)]
        if x.shape[0] == 4:
            raise ValueError("four is not supported\\nsecond line")
        return x * 2 if scale is None else x * scale

def build():
    return Noisy()
"""


@pytest.fixture
def noisy(tmp_path: Path) -> str:
    (tmp_path / "noisy.py").write_text(NOISY)
    return f"{tmp_path / 'noisy.py'}:build"


def test_noise_on_stdout_does_not_disturb_and_defaults_stay_optional(noisy: str) -> None:
    with SourceProcess(SourceOptions(found=detect(noisy))) as process:
        x = np.ones((3, 2), np.float32)
        np.testing.assert_array_equal(process.infer({"x": x})["output_0"], 2 * x)
        np.testing.assert_array_equal(process.infer({"x": x, "scale": 3 * x})["output_0"], 3 * x)
        assert process.usage()["peak_bytes"] > 1e7


def test_failures_of_the_model_are_one_line(noisy: str) -> None:
    with SourceProcess(SourceOptions(found=detect(noisy))) as process:
        with pytest.raises(RunnerError, match=r"ValueError: four is not supported$"):
            process.infer({"x": np.ones((4, 2), np.float32)})
        with pytest.raises(UsageError, match="no input 'y'"):
            process.infer({"y": np.ones((4, 2), np.float32)})


def test_a_crash_is_one_line_and_leaves_nothing(noisy: str) -> None:
    with SourceProcess(SourceOptions(found=detect(noisy))) as process:
        folder = process.folder
        with pytest.raises(CannotError, match="signal 9"):
            process.infer({"x": np.ones((13, 2), np.float32)})
    assert not folder.exists()


def test_names_are_the_users(noisy: str) -> None:
    options = SourceOptions(found=detect(noisy), input_names={"x": "momentum"}, outputs=["doubled"])
    with SourceProcess(options) as process:
        assert [declared.name for declared in process.inputs] == ["momentum", "scale"]
        assert list(process.infer({"momentum": np.ones((3, 2), np.float32)})) == ["doubled"]
    with (
        pytest.raises(UsageError, match="no input 'z'"),
        SourceProcess(SourceOptions(found=detect(noisy), input_names={"z": "a"})),
    ):
        pass


def test_the_current_folder_does_not_shadow_packages(noisy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "numpy.py").write_text("raise SystemExit('executed')\n")
    monkeypatch.chdir(tmp_path / "elsewhere")
    with SourceProcess(SourceOptions(found=detect(noisy))) as process:
        assert process.framework == "pytorch"


def test_a_step_that_takes_too_long_is_ended(noisy: str) -> None:
    with SourceProcess(SourceOptions(found=detect(noisy)), seconds=20) as process:
        process._watchdog._seconds = 0.5
        with pytest.raises(CannotError, match=r"longer than 0\.5 s; allow more with --timeout"):
            process.infer({"x": np.ones((14, 2), np.float32)})


def test_memory_is_bounded_by_what_is_resident(noisy: str) -> None:
    with (
        SourceProcess(SourceOptions(found=detect(noisy)), memory=1_500_000_000) as process,
        pytest.raises(CannotError, match=r"more than 1\.5 GB of memory; allow more with --memory"),
    ):
        process.infer({"x": np.ones((15, 2), np.float32)})
