"""Names that a user gives -> one number per row, or one line that lists what there is."""

from __future__ import annotations

import numpy as np
import pytest

from portinf.core.batch import Arrays, Batch
from portinf.core.errors import UsageError
from portinf.validation.columns import column, is_signal, numbers, place_of

OUTPUTS: Arrays = {
    "one": np.ones(3, np.float32),
    "flat": np.ones((3, 1), np.float32),
    "many": np.arange(6, dtype=np.float32).reshape(3, 2),
    "out:0": np.ones(3, np.float32),
    "cube": np.ones((3, 2, 2), np.float32),
    "count": np.ones(3, np.int64),
}


@pytest.mark.parametrize(
    ("text", "shown"),
    [("one", "one"), ("one:0", "one"), ("flat", "flat"), ("many:1", "many:1"), ("out:0", "out:0"), ("out:0:0", "out:0")],
)
def test_places(text: str, shown: str) -> None:
    place = place_of(text, "--score", OUTPUTS)
    assert str(place) == shown and place.of(OUTPUTS).shape == (3,)


def test_the_only_output_and_the_class_that_is_wanted() -> None:
    only = {"many": OUTPUTS["many"], "count": OUTPUTS["count"]}
    assert str(place_of("", "--score", only, 1)) == "many:1"
    assert place_of("many:1", "--score", only, 0).of(only).tolist() == [1, 3, 5]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("none", r"--score none: no float output 'none'; the reference has: one \[3\], flat \[3, 1\]"),
        ("count", "no float output 'count'"),
        ("", "--score: more than one output may be meant"),
        ("many", "output 'many' has 2 numbers per row: give many:0 to many:1"),
        ("many:2", "many:2: output 'many' has 2 numbers per row"),
        ("one:1", "there is no index 1"),
        ("cube", r"found shape \[3, 2, 2\]"),
    ],
)
def test_what_cannot_be_meant(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        place_of(text, "--score", OUTPUTS)
    assert "\n" not in str(caught.value)


def test_columns_are_one_entry_per_row() -> None:
    batch = Batch(
        name="f.npz",
        inputs={},
        columns={"y": np.array([[1], [0], [1]]), "short": np.ones(2), "text": np.array(["a", "b", "a"], object)},
    )
    assert column(batch, "y", "--label", 3).tolist() == [1, 0, 1]
    with pytest.raises(UsageError, match=r"--label z: f.npz has no such column; it has: y, short, text"):
        column(batch, "z", "--label", 3)
    with pytest.raises(
        UsageError, match=r"--label short: f.npz: expected one entry for each of the output's 3 rows, found shape \[2\]"
    ):
        column(batch, "short", "--label", 3)
    with pytest.raises(UsageError, match=r"--weight text: f.npz: expected numbers, found text"):
        numbers(batch, "text", "--weight", 3)


def test_signal() -> None:
    assert is_signal(np.array([0, 1, 2]), "1").tolist() == [False, True, False]
    assert is_signal(np.array([0.0, 5.0]), "5").tolist() == [False, True]
    assert is_signal(np.array([True, False]), "1").tolist() == [True, False]
    assert is_signal(np.array(["b", b"b", "c"], object), "b").tolist() == [True, True, False]
    with pytest.raises(UsageError, match="--signal b: the labels are numbers"):
        is_signal(np.array([0, 1]), "b")
