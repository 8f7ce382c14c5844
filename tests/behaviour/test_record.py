"""The record of behaviour: what its comparison finds and what it passes over; the whole record in the long suite."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from tests.behaviour.commands import COMMANDS
from tests.behaviour.record import ROOT, compare, content, plain


def test_every_verb_is_recorded() -> None:
    verbs = {command.split()[0] for command in COMMANDS}
    assert {"convert", "optimize", "validate", "package", "serve-local", "inspect", "sample", "doctor"} <= verbs
    assert len(COMMANDS) >= 60
    assert len(set(COMMANDS)) == len(COMMANDS)


def test_times_and_folders_are_no_differences() -> None:
    first = {"seconds": 1.0, "note": "/tmp/a/model.onnx at 2026-01-01T10:00:00Z", "count": 3}
    second = {"seconds": 2.0, "note": "/tmp/b/model.onnx at 2026-01-02T11:00:00Z", "count": 3}
    assert list(compare(plain(first, "/tmp/a"), plain(second, "/tmp/b"))) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"exit": 0}, {"exit": 5}),
        ({"a": [1]}, {"a": [1, 2]}),
        ("7 cases", "8 cases"),
        ({"x": None}, {}),
        (0.01, 0.02),
        (True, False),
    ],
)
def test_differences_are_found(first: object, second: object) -> None:
    assert list(compare(first, second)) == [] if first == {"x": None} else list(compare(first, second))


def test_rounding_is_no_difference() -> None:
    assert list(compare("largest error 3.6e-07 at 'y'", "largest error 2.4e-07 at 'y'")) == []


def test_the_hash_of_an_onnx_file_is_that_of_its_graph(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    hashes = []
    for number, operator in enumerate(("Relu", "Relu", "Abs")):
        node = helper.make_node(operator, ["x"], ["y"])
        graph = helper.make_graph([node], "g", [value("x", TensorProto.FLOAT, [1])], [value("y", TensorProto.FLOAT, [1])])
        model = helper.make_model(graph)
        helper.set_model_props(model, {"made": str(number)})
        onnx.save(model, tmp_path / f"{number}.onnx")
        hashes.append(content(tmp_path / f"{number}.onnx"))
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.long
@pytest.mark.timeout(900)
def test_commands_do_what_is_recorded() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.behaviour.record"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:]
