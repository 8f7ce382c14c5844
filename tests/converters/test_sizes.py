"""What torch.export assumed of sizes is read off its programs, with the line of the model that asked for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from portinf.converters.pytorch import routes as pytorch
from portinf.core.batch import save_npz, shapes_of
from portinf.core.errors import CannotError
from portinf.core.signature import Axis, Signature, TensorSpec
from portinf.sources.routes import Assumption, ExportOptions
from tests.models import size_models

RUN, INFERRED, STRICT, TRACED = range(4)


class _Held:
    framework = "pytorch"
    inputs = ()

    def __init__(self, model: Any) -> None:
        self.model = model
        self.notes: list[str] = []


def assumed(folder: Path, name: str, route: int = RUN, **shapes: tuple[int | str, ...]) -> list[Assumption]:
    """Take one route at 10 entries of an axis ``n``, 14 of any other, and return what was assumed."""
    lengths = {"n": 10}
    arrays = {}
    specs = []
    for key, shape in (shapes or {"x": ("n", 4)}).items():
        axes = tuple(Axis(size=n) if isinstance(n, int) else Axis(label=n) for n in shape)
        sizes = [n if isinstance(n, int) else lengths.get(n, 14) for n in shape]
        arrays[key] = np.random.default_rng(0).normal(size=sizes).astype(np.float32)
        specs.append(TensorSpec(name=key, dtype="float32", shape=axes))
    save_npz(folder / "example.npz", arrays)
    signature = Signature(inputs=tuple(specs), outputs=())
    compared = [{"n": 3, "m": 20}, signature.sizes(shapes_of(arrays))] if "m" in signature.axes else [{"n": 3}, {"n": 90}]
    options = ExportOptions(signature=signature, example=folder / "example.npz", opset=18, compared=compared)
    taken = list(pytorch.routes(_Held(getattr(size_models, name)()), options))[route]  # type: ignore[arg-type]
    (folder / "out").mkdir()
    assert taken.export is not None
    taken.export(folder / "out")
    return options.assumed


@pytest.mark.parametrize("route", [RUN, INFERRED, STRICT])
def test_a_python_if_is_a_largest_length_with_its_line(tmp_path: Path, route: int) -> None:
    (found,) = assumed(tmp_path, "lead", route)
    assert (found.text, found.label, found.least, found.largest, found.sure) == ("n <= 200", "n", None, 200, True)
    assert found.place.startswith("size_models.py, line ") and found.place.endswith("`if x.shape[0] > 200:`")
    assert found.elsewhere[0] == {"n": 201} and found.broken == ()


@pytest.mark.parametrize("name", ["topk", "pad", "bins", "first"])
def test_what_is_right_at_every_length_assumes_nothing_of_long_ones(tmp_path: Path, name: str) -> None:
    assert all((found.least, found.largest) == (1, None) for found in assumed(tmp_path, name, INFERRED))


def test_tables_and_masks_have_a_largest_length(tmp_path: Path) -> None:
    for name, largest in (("table", 300), ("causal", 256)):
        (tmp_path / name).mkdir()
        (found,) = assumed(tmp_path / name, name)
        assert (found.label, found.largest) == ("n", largest)


def test_both_sides_of_a_window(tmp_path: Path) -> None:
    (found,) = assumed(tmp_path, "window")
    assert (found.text, found.largest) == ("n <= 100", 100)


def test_multiples(tmp_path: Path) -> None:
    (found,) = assumed(tmp_path, "even")
    assert (found.label, found.multiple, found.largest, found.least) == ("n", 2, None, None)
    assert found.broken == ({"n": 3},)


def test_a_relation_of_two_axes_is_known_to_break_where_it_is_compared_anyway(tmp_path: Path) -> None:
    (found,) = assumed(tmp_path, "relation", tracks=("n", 4), hits=("m", 4))
    assert (found.text, found.label) == ("n <= m", None)
    assert found.holds({"n": 3, "m": 20}) and not found.holds({"n": 15, "m": 14})
    assert {"n": 15, "m": 14} in found.elsewhere and {"n": 10, "m": 9} in found.elsewhere


@pytest.mark.parametrize("route", [RUN, INFERRED])
def test_a_length_that_became_a_number_has_its_line_and_long_lengths_to_try(tmp_path: Path, route: int) -> None:
    found, hint = assumed(tmp_path, "number", route)
    assert found.fixed and found.least == 10 and "int(x.shape[0])" in found.place
    assert not hint.sure and [sizes["n"] for sizes in hint.elsewhere] == [80, 640, 5120]


def test_strict_follows_what_becomes_a_number_elsewhere(tmp_path: Path) -> None:
    assert assumed(tmp_path, "number", STRICT) == []


def test_numbers_of_a_loop_are_lengths_to_try(tmp_path: Path) -> None:
    *_, hint = assumed(tmp_path, "chunks")
    assert {511, 512, 513} <= {sizes["n"] for sizes in hint.elsewhere} and "range(0, x.shape[0], 512)" in hint.place


def test_a_branch_that_is_left_out_while_exporting_is_hinted_at(tmp_path: Path) -> None:
    (found,) = assumed(tmp_path, "hidden")
    assert not found.sure and {"n": 171} in found.elsewhere and "x.shape[0] > 170" in found.place


def test_a_trace_keeps_no_python_decision(tmp_path: Path) -> None:
    with pytest.raises(CannotError, match=r"x.shape\[0\] > 200"):
        assumed(tmp_path, "lead", TRACED)
