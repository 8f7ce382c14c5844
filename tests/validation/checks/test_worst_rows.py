"""The worst rows: each once, over all outputs and batches, with what led to them."""

from __future__ import annotations

import numpy as np
import pytest

from portinf.core.batch import Array, Batch
from portinf.core.errors import UsageError
from portinf.validation import Tolerance
from portinf.validation.checks.worst_rows import Worst, joined

X = np.arange(200, dtype=np.float32).reshape(100, 2)


def worst(reference: dict[str, Array], candidate: dict[str, Array], batched: bool = True, **more: object) -> Worst:
    check = Worst(Tolerance(), batched=batched)
    settings: dict[str, object] = {"name": "f", "inputs": {"x": X}, "columns": {"label": np.arange(100)}, **more}
    check.update(reference, candidate, Batch(**settings))  # type: ignore[arg-type]
    return check


def test_rows_are_ordered_once_each_and_carry_their_inputs() -> None:
    y, z = np.ones((100, 3), np.float32), np.ones(100, np.float32)
    bad_y, bad_z = y.copy(), z.copy()
    bad_y[5, 1], bad_y[5, 2], bad_y[7, 0], bad_z[7] = 2, 1.5, 1.1, 4
    found = worst({"y": y, "z": z}, {"y": bad_y, "z": bad_z}, first_row=1000, stream="file").rows()
    assert [(row.row, row.output, row.index, row.candidate) for row in found] == [
        (1007, "z", (1007,), 4.0),
        (1005, "y", (1005, 1), 2.0),
    ]
    assert found[0].case == "file" and found[0].batch.inputs["x"].tolist() == [[14, 15]]
    assert found[0].batch.columns["label"].tolist() == [7]


def test_ten_are_kept_and_the_finding_lists_them() -> None:
    y = np.ones(100, np.float32)
    check = worst({"y": y}, {"y": (y + np.arange(100)).astype(np.float32)})
    assert [row.row for row in check.rows()] == list(range(99, 89, -1))
    (result,) = check.results()
    assert result.text.startswith("f, output 'y' at [99]: reference 1, candidate 100")
    assert result.table[9]["row"] == result.to_json()["figures"]["10 row"] == 90


def test_equally_bad_rows_are_the_first_ones() -> None:
    y = np.ones((100, 2), np.float32)
    assert [row.row for row in worst({"y": y}, {"y": y * np.nan}).rows()] == list(range(10))


def test_no_difference() -> None:
    y = np.ones(100, np.float32)
    assert worst({"y": y}, {"y": y}).results()[0].text == "no row differs"


def test_whole_events_where_axis_0_is_no_batch() -> None:
    y = np.ones(100, np.float32)
    for check in (
        worst({"y": y}, {"y": y * 2}, batched=False),
        worst({"y": np.float32(1).reshape(())}, {"y": np.float32(3).reshape(())}),
    ):
        (row,) = check.rows()
        assert row.row is None and row.batch.inputs["x"].shape == X.shape
        assert joined([row])[0]["label"].shape == (100,)


@pytest.mark.parametrize("dtype", [np.int64, np.bool_, object])
def test_exact_types_count(dtype: type) -> None:
    reference = np.array([0, 1, 0] if dtype is not object else ["a", "b", "c"], dtype)
    candidate = np.array([0, 1, 1] if dtype is not object else ["a", "b", "x"], dtype)
    (row,) = worst({"y": reference}, {"y": candidate}, inputs={"x": X[:3]}, columns={}).rows()
    assert row.row == 2 and row.score >= 1


def test_given_rows_are_not_crowded_out_by_generated_ones() -> None:
    y = np.ones(100, np.float32)
    check = worst({"y": y}, {"y": y * 1.5})
    check.merge(worst({"y": y}, {"y": y * 2}, origin="generated", name="g"))
    assert {row.case for row in check.rows()} == {"g"} and {row.case for row in check.rows(given=True)} == {"f"}


def test_joining_keeps_rows_of_one_size() -> None:
    y = np.ones(100, np.float32)
    check = worst({"y": y}, {"y": y * 1.5})
    wide = np.zeros((1, 5), np.float32)
    check.merge(worst({"y": y[:1]}, {"y": y[:1] * 9}, inputs={"x": wide}, columns={}, name="wide"))
    arrays, columns, notes = joined(check.rows())
    assert (
        arrays["x"].shape == (1, 5)
        and columns == []
        and notes == ["9 of the 10 worst rows are of other sizes and were left out"]
    )


def test_a_column_that_is_called_like_an_input() -> None:
    y = np.ones(100, np.float32)
    same = worst({"y": y}, {"y": y * 2}, columns={"x": X}).rows()
    assert joined(same)[0]["x"].shape == (10, 2) and joined(same)[1] == []
    with pytest.raises(UsageError, match="column 'x'"):
        joined(worst({"y": y}, {"y": y * 2}, columns={"x": X + 1}).rows())
