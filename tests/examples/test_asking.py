"""The demonstration's judgement: would it notice a wrong answer, and does its table fit a terminal?"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from examples import commands, demo
from examples.asking import ATOL, RTOL, Answered, DemoError, agreement, print_table

WIDTH = 80
RIGHT = np.array([0.0, 1.0, 100.0], dtype=np.float32)


def test_equal_answers_agree() -> None:
    assert agreement(RIGHT, [RIGHT, RIGHT.copy()]) == (0.0, True)


def test_empty_answers_agree() -> None:
    empty = np.zeros(0, dtype=np.float32)
    assert agreement(empty, [empty, empty]) == (0.0, True)


@pytest.mark.parametrize("index", range(3))
def test_one_wrong_element_of_one_protocol_is_noticed(index: int) -> None:
    wrong = RIGHT.copy()
    wrong[index] += 2.0 * (ATOL + RTOL * RIGHT[index])
    difference, agrees = agreement(RIGHT, [RIGHT, wrong])
    assert difference > 0
    assert not agrees


def test_nan_and_another_shape_differ() -> None:
    nan = np.array([0.0, np.nan, 100.0], dtype=np.float32)
    for wrong in (nan, RIGHT[:2], RIGHT[:, np.newaxis]):
        difference, agrees = agreement(RIGHT, [RIGHT, wrong])
        assert math.isnan(difference)
        assert not agrees


def test_the_table_fits_eighty_columns(capsys: pytest.CaptureFixture[str]) -> None:
    times = {"gRPC": 123.4, "HTTP": 5.0}
    rows = [("facile", "events_large", "16000x15"), ("track_gnn", "no_segment", "3725x3 2x5743")]
    shown = [
        Answered(model=model, event=event, sizes=sizes, difference=1e-6, agrees=event != "no_segment", milliseconds=times)
        for model, event, sizes in rows
    ]
    print_table(shown)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert [cell for row in rows for cell in row if not any(cell in line for line in lines)] == []
    assert "DIFFERS" in "".join(lines)


def test_a_failing_command_says_which_and_why() -> None:
    with pytest.raises(DemoError, match="exit code 7"):
        commands.python(["-c", "print('so it is'); raise SystemExit(7)"])


def test_the_newest_version_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("1", "2", "10"):
        (tmp_path / "facile" / version).mkdir(parents=True)
        (tmp_path / "facile" / version / "model.onnx").touch()
    called: list[Any] = []
    monkeypatch.setattr(demo, "MODELS", tmp_path)
    monkeypatch.setattr(demo, "portinf", lambda *arguments: called.append(arguments))
    demo._report(demo.FACILE, {"grpc": "127.0.0.1:1"})
    assert str(tmp_path / "facile" / "10" / "model.onnx") in called[0]
    assert "grpc://127.0.0.1:1/facile" in called[0]
