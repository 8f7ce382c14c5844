"""The benchmark of conversions measures what it says: whole families of processes, stages by name, the models' own samples."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.conversion import GIVEN, MODELS, STAGED, commands, row, save_sample, stage_lines
from benchmarks.processes import Usage, family, measured
from benchmarks.staged_convert import Stages, stage_of

HELD = 120_000_000
CHILD = f"import time; held = bytearray({HELD}); held[::4096] = b'x' * len(held[::4096]); time.sleep(0.5)"


def test_a_process_is_measured_with_its_children() -> None:
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}], check=True); print('done')"
    usage = measured([sys.executable, "-c", code])
    assert usage.output == "done\n"
    assert usage.peak > HELD
    assert usage.cpu > 0


def test_a_command_that_fails_is_no_measurement() -> None:
    with pytest.raises(RuntimeError, match=r"exit code 3: no such thing"):
        measured([sys.executable, "-c", "import sys; print('no such thing', file=sys.stderr); sys.exit(3)"])


def test_a_process_that_is_gone_has_no_family() -> None:
    assert family(2**30) == {}


@pytest.mark.parametrize(
    ("line", "stage"),
    [
        ("loading /tmp/net.py:build", "loading"),
        ("reference answers 3/12", "reference answers"),
        ("exporting: torch.onnx dynamo", "exporting"),
        ("comparing", "comparing"),
        ("writing 2.onnx", "writing"),
    ],
)
def test_a_line_of_progress_names_its_stage(line: str, stage: str) -> None:
    assert stage_of(line) == stage


def test_stages_add_up() -> None:
    stages = Stages()
    for line in ("loading a", "reference answers 1/2", "reference answers 2/2", ""):
        stages.begin(line)
    assert list(stages.seconds) == ["starting", "loading", "reference answers"]
    assert all(seconds >= 0 for seconds in stages.seconds.values())


def test_the_tables_show_medians_ranges_and_ratios() -> None:
    found = [Usage(cpu=cpu, peak=2_000_000, output="") for cpu in (3.0, 2.0, 7.0)]
    base = [Usage(cpu=cpu, peak=1, output="") for cpu in (2.0, 1.0, 9.0)]
    assert row("net", found, base).split() == ["net", "3.00", "2.00", "7.00", "1.50", "2"]
    given, whole = ({"loading": 1.0}, {"loading": 1.5, "comparing": 0.25})
    usages = {
        name: [Usage(cpu=0, peak=0, output=json.dumps({"stages": stages}))]
        for name, stages in ((GIVEN, given), (STAGED, whole))
    }
    assert [line.split() for line in stage_lines(usages)] == [["loading", "1.00", "1.50"], ["comparing", "0.00", "0.25"]]


@pytest.mark.parametrize("name", MODELS)
def test_samples_fit_their_models(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.npz"
    save_sample(MODELS[name], path)
    with np.load(path) as arrays:
        assert {key: (str(arrays[key].dtype), arrays[key].shape) for key in arrays.files} == MODELS[name].inputs
    assert all(Path(part).is_file() for part in commands(name, tmp_path)[STAGED][:2])


@pytest.mark.long
def test_the_three_commands_run(tmp_path: Path) -> None:
    save_sample(MODELS["mlp"], tmp_path / "mlp.npz")
    for name, command in commands("mlp", tmp_path).items():
        usage = measured(command)
        assert (tmp_path / "out.onnx").is_file(), name
        (tmp_path / "out.onnx").unlink()
        if name in (GIVEN, STAGED):
            told = json.loads(usage.output)
            assert (told["cases"] == 1) == (name == GIVEN)
            assert {"loading", "exporting", "checking the ONNX file", "comparing", "writing"} <= set(told["stages"])
