"""Trees in fixed point against a slow exact reference, as files, and what is not a number."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portinf.fixedpoint.casting import Watch
from portinf.fixedpoint.formats import FixedPointError, Format
from portinf.fixedpoint.head import Step
from portinf.fixedpoint.tree_emulator import COLUMNS, SCORES, TreeEmulator, reach
from portinf.fixedpoint.trees import Columns, Shape, Trees, load_trees, save_trees
from tests.fixedpoint.exact import fitted, rounded
from tests.fixedpoint.strategies import formats

WIDTH = 3


def grown(rng: np.random.Generator, depth: int, targets: int, trees: int, column: Format, score: Format, strict: bool) -> Trees:
    """Return random trees, some nodes leaves before the full depth."""
    feature, left, leaf, roots = [], [], [], []
    for _ in range(trees):
        level = [len(left)]
        roots.append(len(left))
        left.append(-1)
        for down in range(depth + 1):
            below: list[int] = []
            for node in level:
                ends = down == depth or rng.random() < 0.2
                feature.append(0 if ends else int(rng.integers(WIDTH)))
                leaf.append(ends)
                left[node] = node if ends else len(left)
                if not ends:
                    below += [len(left), len(left) + 1]
                    left += [-1, -1]
            level = below
    ends = np.array(leaf)
    shape = Shape(
        inputs=(Columns(name="a", count=2), Columns(name="b", count=1)),
        single=True,
        strict=strict,
        feature=np.array(feature, np.int32),
        left=np.array(left, np.int32),
        leaf=ends,
        root=np.array(roots, np.int32),
        target=np.arange(trees, dtype=np.int32) % targets,
        depth=depth,
        targets=targets,
    )
    return Trees(
        shape=shape,
        column=column,
        score=score,
        threshold=np.where(ends, 0, rng.integers(column.low, column.high, len(ends), endpoint=True)),
        value=np.where(ends, rng.integers(score.low, score.high, len(ends), endpoint=True), 0),
        start=rng.integers(score.low, score.high, targets, endpoint=True),
        sums="sums",
        dtype="float64",
        steps=(
            Step(kind="Mul", inputs=("sums", "two"), output="twice"),
            Step(kind="Reshape", inputs=("twice", "to"), output="y"),
        ),
        constants={"two": np.array(2.0), "to": np.array([0, -1])},
        outputs={"out": "y"},
    )


def slow(trees: Trees, row: Any) -> list[Fraction]:
    """Answer one row with whole numbers and fractions, tree by tree as conifer's C++ does it."""
    shape, column = trees.shape, trees.column
    raw = [fitted(rounded(Fraction(float(x)) * Fraction(2) ** column.fraction, column.rounding), column) for x in row]
    sums = [int(number) for number in trees.start]
    for root, target in zip(shape.root, shape.target, strict=True):
        node = root
        while not shape.leaf[node]:
            x, bound = raw[shape.feature[node]], int(trees.threshold[node])
            node = shape.left[node] + (0 if (x < bound if shape.strict else x <= bound) else 1)
        sums[target] = fitted(sums[target] + int(trees.value[node]), trees.score)
    return [Fraction(number) * Fraction(2) ** -trees.score.fraction for number in sums]


@settings(max_examples=50)
@given(
    column=formats(20),
    score=formats(16),
    strict=st.booleans(),
    seed=st.integers(0, 10**6),
    depth=st.integers(0, 4),
    targets=st.sampled_from([1, 3]),
)
def test_sums_are_those_of_exact_arithmetic(
    column: Format, score: Format, strict: bool, seed: int, depth: int, targets: int
) -> None:
    rng = np.random.default_rng(seed)
    trees = grown(rng, depth, targets, 7, column, score, strict)
    x = (rng.normal(size=(4, WIDTH)) * max(abs(column.largest), column.step)).astype(np.float32)
    found = TreeEmulator(trees).run({"a": x[:, :2], "b": x[:, 2:]})["out"]
    for row, values in zip(x, found, strict=True):
        assert [Fraction(float(value)) for value in values] == [2 * number for number in slow(trees, row)]


def example() -> Trees:
    return grown(np.random.default_rng(1), 3, 1, 5, Format(12, 3), Format(10, 2), False)


def test_a_folder_holds_all_of_it(tmp_path: Path) -> None:
    trees = replace(example(), labels={"label": ("out", np.array(["b", "c"], object))})
    save_trees(trees, tmp_path / "f")
    read = load_trees(tmp_path / "f")
    x = np.random.default_rng(0).normal(size=(50, WIDTH))
    rows = {"a": x[:, :2], "b": x[:, 2:]}
    assert np.array_equal(TreeEmulator(read).run(rows)["out"], TreeEmulator(trees).run(rows)["out"])
    assert read.labels["label"][1].tolist() == ["b", "c"]
    assert str(read.column) == str(trees.column)
    (tmp_path / "f" / "trees.json").write_text("{}")
    with pytest.raises(FixedPointError, match=r"trees\.json: missing or damaged"):
        load_trees(tmp_path / "f")


def test_no_rows_give_no_rows() -> None:
    assert TreeEmulator(example()).run({"a": np.zeros((0, 2)), "b": np.zeros((0, 1))})["out"].shape == (0, 0)


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ({"a": np.zeros((2, 2))}, "no input 'b'; found: a"),
        ({"a": np.zeros((2, 3)), "b": np.zeros((2, 1))}, r"input 'a': expected shape \[rows, 2\], found \[2, 3\]"),
        ({"a": np.zeros((2, 2)), "b": np.zeros((3, 1))}, r"inputs have \[2, 3\] rows"),
        ({"a": np.full((2, 2), np.nan), "b": np.zeros((2, 1))}, "input 'a': contains NaN or infinity"),
    ],
)
def test_what_is_no_request_is_refused(inputs: dict[str, Any], text: str) -> None:
    with pytest.raises(FixedPointError, match=text):
        TreeEmulator(example()).run(inputs)


def test_what_is_out_of_range_is_counted() -> None:
    trees = example()
    trees = replace(trees, start=np.array([511]), value=np.where(trees.shape.leaf, 9, 0))
    watch = Watch()
    TreeEmulator(trees).run({"a": np.full((4, 2), 1e6), "b": np.full((4, 1), 1e6)}, watch)
    assert watch.counts[COLUMNS] >= 4
    assert watch.counts[SCORES] == 4
    assert watch.worst[SCORES] == (511 + 5 * 9) / 256


def test_every_part_of_every_sum_is_within_reach() -> None:
    trees = example()
    low, high = reach(trees.shape, trees.value, trees.start)
    x = np.random.default_rng(3).normal(size=(500, WIDTH)) * 4
    emulator = TreeEmulator(trees)
    parts = trees.start[0] + np.cumsum(trees.value[emulator.leaves(x)], axis=1)
    assert low <= parts.min()
    assert parts.max() <= high
