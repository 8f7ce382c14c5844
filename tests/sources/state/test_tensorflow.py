"""Keras models, modules and functions of TensorFlow that change themselves: refused where later answers depend on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from portinf.core.batch import Arrays
from portinf.core.errors import StateError
from portinf.sources.detect import Found
from portinf.sources.keras.source import KerasSource, load_keras
from portinf.sources.model import SourceOptions
from portinf.sources.opening import _of_object
from portinf.sources.state.keeper import Keeper
from portinf.sources.tensorflow.source import SavedModelSource
from tests.models import stateful_tensorflow
from tests.models.stateful_tensorflow import HARMFUL, HARMLESS

OPTIONS = SourceOptions(found=Found(format="factory", path=Path("x")))
RECURRENT = ("lstm", "bidirectional")
UNBUILT = ("unbuilt",)  # a model that declares no inputs takes those of the samples


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask a little less: eager Keras is slow."""
    monkeypatch.setattr("portinf.sources.state.judging.SECONDS", 0.2)
    monkeypatch.setattr("portinf.sources.state.judging.VALUES", 0.5)


def questions(name: str, *rows: int) -> list[Arrays]:
    rng = np.random.default_rng(0)
    if name in RECURRENT:
        return [{"x": rng.normal(size=(2, 4, 3)).astype("float32")} for _ in range(3)]
    sizes = rows or (6, 9, 2, 17)
    return [{"inputs" if name in UNBUILT else "x": (rng.normal(size=(n, 4)) + 1).astype("float32")} for n in sizes]


def asked(source: Any, requests: list[Arrays], *, freeze: bool = False) -> Keeper:
    keeper = Keeper(source, freeze=freeze)
    for request in requests:
        keeper.ask(source.infer, request)
    return keeper


@pytest.mark.parametrize("name", HARMFUL)
def test_what_alters_later_answers_is_refused(name: str) -> None:
    build, place = HARMFUL[name]
    with pytest.raises(StateError, match=r"a call changes .* and later answers depend on it: .*--freeze-state") as caught:
        asked(_of_object(build(), OPTIONS, "x"), questions(name))
    assert place in str(caught.value)


@pytest.mark.parametrize("name", HARMLESS)
def test_counters_and_caches_are_not_refused(name: str) -> None:
    build, place = HARMLESS[name]
    notes = asked(_of_object(build(), OPTIONS, "x"), questions(name)).notes
    assert len(notes) == bool(place)
    assert not place or place in notes[0]


@pytest.mark.parametrize("name", HARMFUL)
def test_frozen_it_always_answers_as_loaded(name: str) -> None:
    source = _of_object(HARMFUL[name][0](), OPTIONS, "x")
    keeper = Keeper(source, freeze=True)
    first, second, *_ = questions(name)
    alone = keeper.ask(source.infer, first)
    keeper.ask(source.infer, second)
    for output, array in keeper.ask(source.infer, first).items():
        np.testing.assert_array_equal(array, alone[output])
    assert len(keeper.notes) == (0 if "Peak" in name else 1)


@pytest.mark.parametrize(("name", "place"), [("LateModule", "'calls'"), ("PeakModule", "'calls'"), ("LoggingModule", "")])
def test_a_saved_model(name: str, place: str, tmp_path: Path) -> None:
    module = {**HARMFUL, **HARMLESS}[name][0]()
    tf.saved_model.save(module, tmp_path / "saved")
    source = SavedModelSource(tmp_path / "saved", None)
    if not place:
        assert len(asked(source, questions(name)).notes) == 1
        return
    with pytest.raises(StateError, match=place):
        asked(source, questions(name))


def test_a_keras_file_keeps_its_state_between_calls(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    HARMFUL["lstm"][0]().save(path)
    source = KerasSource(load_keras(path, allow_code=False), OPTIONS)
    with pytest.raises(StateError, match=r"states\[0\]"):
        asked(source, questions("lstm"))


def test_the_message_shows_a_wrapper_that_works() -> None:
    with pytest.raises(StateError) as caught:
        asked(_of_object(stateful_tensorflow.delay(), OPTIONS, "x"), questions("Delay"))
    text = caught.value.example.replace("= ...", "= self.model.layers[1].state")
    scope: dict[str, Any] = {"tf": tf, "keras": keras, "build": stateful_tensorflow.delay}
    exec(text, scope)
    wrapped, plain = _of_object(scope["WithState"](), OPTIONS, "x"), stateful_tensorflow.delay()
    assert [declared.name for declared in wrapped.inputs] == ["x", "state"]
    state = np.zeros((512, 4), np.float32)
    for request in questions("Delay", 300, 400):
        answer, state = Keeper(wrapped, freeze=False).ask(wrapped.infer, {**request, "state": state}).values()
        np.testing.assert_array_equal(answer, plain(request["x"]).numpy())
