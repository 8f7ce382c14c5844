"""Every check: parts that are merged say the same as one pass over the batches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portinf.core.batch import Batch
from portinf.validation import PhysicsOptions, Tolerance, make_checks
from portinf.validation.check import Check
from portinf.validation.checks.regression import RegressionOptions
from portinf.validation.checks.roc import DiscriminationOptions

EXACT, FEW = 10**6, 60  # rows that are kept; with FEW, blocks are used


def checks(kept: int) -> list[Check]:
    physics = PhysicsOptions(
        discrimination=DiscriminationOptions(label="label", score="p", weight="w", replicas=3, exact_rows=kept),
        regression=RegressionOptions(
            truth="w", prediction="y:1", bin_by="label", edges=(0, 0.5, 1), replicas=3, exact_rows=kept
        ),
    )
    return make_checks(physics, Tolerance(), allow_nan=True, batched=True)


def batches(seed: int, sizes: list[int]) -> list[tuple[dict[str, np.ndarray], dict[str, np.ndarray], Batch]]:
    rng, first, found = np.random.default_rng(seed), 0, []
    for rows in sizes:
        y, p = rng.random((rows, 7), dtype=np.float32), rng.random(rows, dtype=np.float32)
        noise = rng.normal(0, 1e-3, (rows, 7)) * (rng.random((rows, 7)) < 0.3)
        batch = Batch(
            name=f"f {first}",
            stream="f",
            first_row=first,
            inputs={"x": rng.random((rows, 2), dtype=np.float32)},
            columns={"label": rng.integers(0, 2, rows), "w": rng.random(rows)},
        )
        found.append(({"y": y, "p": p}, {"y": (y + noise).astype(np.float32), "p": p + np.float32(1e-6)}, batch))
        first += rows
    return found


def plain(check: Check) -> object:
    """Round away the order of summation, and the draws, whose errors depend on the order of equal rows."""

    def rounded(value: object) -> object:
        return f"{value:.9g}" if isinstance(value, float) else value

    return [
        [
            (r.name, r.status, r.output, {k: rounded(v) for k, v in r.figures.items() if "error" not in k})
            for r in check.results()
        ],
        [
            (f.title, [(s.name, [rounded(x) for x in s.x], [rounded(y) for y in s.y]) for s in f.series])
            for f in check.figures()
        ],
    ]


@pytest.mark.parametrize("kept", [EXACT, FEW])
@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 10**6), sizes=st.lists(st.integers(1, 40), min_size=2, max_size=6), data=st.data())
def test_merged_parts_are_one_pass(kept: int, seed: int, sizes: list[int], data: st.DataObject) -> None:
    parts = batches(seed, sizes)
    cut = data.draw(st.integers(0, len(parts)))
    whole, first, second = checks(kept), checks(kept), checks(kept)
    for mine, some in ((whole, parts), (first, parts[:cut]), (second, parts[cut:])):
        for check in mine:
            for part in some:
                check.update(*part)
    for one, two, three in zip(whole, first, second, strict=True):
        two.merge(three)
        assert plain(one) == plain(two), type(one).__name__
