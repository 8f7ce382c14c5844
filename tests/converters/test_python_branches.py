"""Where a model's code asks for sizes and compares numbers, its numbers are lengths to try."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from portinf.converters.python_branches import branches_on_sizes
from portinf.core.batch import save_npz
from portinf.core.signature import Axis, Signature, TensorSpec
from portinf.sources.routes import Assumption, ExportOptions

LIMIT = 777


def helper(length: int) -> bool:
    return length > LIMIT


class Attribute:
    def __init__(self) -> None:
        self.limit = 300

    def call(self, x: Any) -> Any:
        n = x.shape[1]
        return x if n is None or n < self.limit else x[:, : self.limit]


class Helper:
    def call(self, x: Any) -> Any:
        return x if helper(len(x)) else -x


class Default:
    def call(self, x: Any, limit: int = 400) -> Any:
        return min(x.size(0), limit)


class Shapes:
    def call(self, x: Any) -> Any:
        return x.reshape(x.shape[0], 16, 64)


class Numbers:
    def call(self, x: Any, weight: float) -> Any:
        return x if weight > 500 else -x


def enclosed() -> Any:
    limit = 600

    def call(x: Any) -> Any:
        return [x.numel() > limit for _ in x]

    return call


def hints(folder: Path, *parts: Any, **options: Any) -> list[Assumption]:
    save_npz(folder / "example.npz", {"x": np.zeros((10, 2), np.float32)})
    spec = TensorSpec(name="x", dtype="float32", shape=(Axis(label="n"), Axis(size=2)))
    export = ExportOptions(signature=Signature(inputs=(spec,), outputs=()), example=folder / "example.npz", opset=18)
    return list(branches_on_sizes(parts, export, **options))


@pytest.mark.parametrize(("part", "number"), [(Attribute(), 300), (Helper(), 777), (Default(), 400), (enclosed(), 600)])
def test_numbers_beside_a_size_are_tried(tmp_path: Path, part: Any, number: int) -> None:
    (found,) = hints(tmp_path, part)
    lengths = {sizes["n"] for sizes in found.elsewhere}
    assert {number - 1, number, number + 1, 80, 640} <= lengths
    assert found.place.startswith("test_python_branches.py, line ") and not found.sure


@pytest.mark.parametrize("part", [Shapes(), Numbers(), np, len, object()])
def test_other_code_gives_no_hint(tmp_path: Path, part: Any) -> None:
    assert hints(tmp_path, part) == []


def test_long_lengths_are_tried_where_a_hint_is_not_needed(tmp_path: Path) -> None:
    (found,) = hints(tmp_path, Shapes(), always=True)
    assert [sizes["n"] for sizes in found.elsewhere] == [80, 640, 5120]
    assert found.place == ""


def test_a_name_may_be_asked_for(tmp_path: Path) -> None:
    assert hints(tmp_path, Attribute(), only_if={"is_tracing"}) == []
    assert hints(tmp_path, Attribute(), only_if={"limit"}) != []
