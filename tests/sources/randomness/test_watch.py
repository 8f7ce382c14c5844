"""Models whose answers are random are named with the operation, the layer and the line; honest ones are not."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from portinf.core.batch import Arrays
from portinf.sources.detect import Found
from portinf.sources.model import SourceOptions
from portinf.sources.randomness.generators import global_states
from portinf.sources.randomness.watch import Randomness
from tests.conftest import ROOT

pytest.importorskip("torch", reason="torch is not installed")

from portinf.sources.pytorch.source import PyTorchSource
from tests.sources.randomness.random_torch import HONEST, RANDOM

OPTIONS = SourceOptions(found=Found(format="factory", path=Path("net.py")))


def _reason(model: Any) -> str:
    source = PyTorchSource(model, OPTIONS)
    randomness = Randomness(source)
    for rows in (6, 9):  # some draw from the second size on only
        if not randomness.reason:
            randomness.answer(source.infer, {"x": np.random.RandomState(rows).normal(size=(rows, 4)).astype(np.float32)})
    return randomness.reason


@pytest.mark.parametrize(("kind", "told"), RANDOM.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_what_draws_is_named(kind: Any, told: str) -> None:
    reason = _reason(kind())
    assert "differ from call to call" in reason
    assert re.search(told, reason), reason


@pytest.mark.parametrize("kind", HONEST, ids=lambda kind: kind.__name__)
def test_honest_models_are_left_alone(kind: Any) -> None:
    assert _reason(kind()) == ""


def test_a_look_leaves_the_generators_where_the_model_left_them() -> None:
    source = PyTorchSource(next(iter(RANDOM))(), OPTIONS)
    x: Mapping[str, Any] = {"x": np.ones((6, 4), np.float32)}
    import torch

    torch.manual_seed(4)
    source.infer(x)
    expected = global_states()
    torch.manual_seed(4)
    randomness = Randomness(source)
    randomness.answer(source.infer, x)
    assert randomness.reason
    assert global_states() == expected


def test_code_that_does_not_run_while_it_is_watched_answers_all_the_same() -> None:
    import torch
    from torch.utils._python_dispatch import _get_current_dispatch_mode

    class Shy(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            if _get_current_dispatch_mode() is not None:
                raise RuntimeError("not while someone looks")
            return x * 2

    source = PyTorchSource(Shy(), OPTIONS)
    answer: Arrays = Randomness(source).answer(source.infer, {"x": np.ones((2, 4), np.float32)})
    np.testing.assert_array_equal(answer["output_0"], np.full((2, 4), 2, np.float32))


def test_a_draw_inside_of_an_unknown_operation() -> None:
    import torch

    def noisy(x: Any) -> Any:
        return x + torch.rand_like(x)

    with torch.library._scoped_library("portinf_test", "DEF") as library:
        library.define("noisy(Tensor x) -> Tensor")
        library.impl("noisy", noisy, "CPU")

        class Foreign(torch.nn.Module):
            def forward(self, x: Any) -> Any:
                return torch.ops.portinf_test.noisy(x)

        assert "call to call: portinf_test.noisy (test_watch.py, line" in _reason(Foreign())


@pytest.fixture(scope="module")
def tensorflow() -> dict[str, dict[str, str]]:
    """What is said of the models of Keras and TensorFlow, found in one process of its own."""
    pytest.importorskip("keras", reason="Keras is not installed")
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "run_random_tensorflow.py")],
        capture_output=True,
        text=True,
        timeout=250,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, dict[str, str]] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_what_draws_in_keras_and_tensorflow_is_named(tensorflow: dict[str, dict[str, str]]) -> None:
    missed = {name: reason for name, reason in tensorflow["random"].items() if "call to call" not in reason}
    assert not missed
    assert len(tensorflow["random"]) > 30
    named = {
        "dropout": "layer 'mine' is called with training=True",
        "nested": "layer 'inside' is called with training=True",
        "subclass": "StatelessRandomUniformV2 in layer 'hidden' .*remove training=True",
        "own layer, rare": "RandomUniform in layer 'own' .run_random_tensorflow.py, line",
        "branch": "RandomStandardNormal .run_random_tensorflow.py, line",
        "saved": "StatelessRandomUniformV2 draws",
        "frozen": "RandomUniform ",
        "lite": "RANDOM_UNIFORM draws",
    }
    assert {name for name, told in named.items() if not re.search(told, tensorflow["random"][name])} == set()


def test_batch_statistics_that_predict_does_not_take_are_named(tensorflow: dict[str, dict[str, str]]) -> None:
    assert "layer 'norm' is called with training=True" in tensorflow["training"]["batch norm"]


def test_honest_models_of_keras_and_tensorflow_are_left_alone(tensorflow: dict[str, dict[str, str]]) -> None:
    assert {name: reason for name, reason in tensorflow["honest"].items() if reason} == {}
    assert len(tensorflow["honest"]) > 15
