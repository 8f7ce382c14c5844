"""ROC curves against scikit-learn, their errors against scipy, and what a loss leads to."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score, roc_curve

from portinf.core.batch import Array, Batch
from portinf.core.errors import UsageError
from portinf.validation.check import CheckResult
from portinf.validation.checks.roc import Discrimination, DiscriminationOptions
from portinf.validation.statistics.roc_curve import area, group_ends, measures, roc

OPTIONS = DiscriminationOptions(label="label", replicas=50)


def events(rows: int = 4000, seed: int = 0, blur: float = 0.3) -> tuple[Array, Array, Array, Array]:
    """Return scores of both sides in (0, 1), labels and weights."""
    rng = np.random.default_rng(seed)
    label = (rng.random(rows) < 0.4).astype(np.int64)
    logit = rng.normal(1.5 * label, 1.0)
    sides = [1 / (1 + np.exp(-z)) for z in (logit, logit + rng.normal(0, blur, rows))]
    return sides[0].astype(np.float32), sides[1].astype(np.float32), label, rng.exponential(size=rows)


def judged(
    options: DiscriminationOptions, reference: Array, candidate: Array, parts: int = 1, **columns: Array
) -> list[CheckResult]:
    return list(checked(options, reference, candidate, parts, **columns).results())


def checked(
    options: DiscriminationOptions, reference: Array, candidate: Array, parts: int = 1, **columns: Array
) -> Discrimination:
    check, first = Discrimination(options), 0
    for rows in np.array_split(np.arange(len(reference)), parts):
        batch = Batch(
            name="f",
            stream="f",
            first_row=first,
            inputs={"x": reference[rows]},
            columns={n: c[rows] for n, c in columns.items()},
        )
        check.update({"y": reference[rows]}, {"y": candidate[rows]}, batch)
        first += len(rows)
    return check


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_curve_and_area_are_those_of_scikit_learn(ties: bool, weighted: bool) -> None:
    scores, _, label, weight = events()
    scores = np.round(scores, 1) if ties else scores
    weight = weight if weighted else np.ones_like(weight)
    order = np.argsort(-scores, kind="stable")
    signal, background = (np.where(label[order] == k, weight[order], 0.0) for k in (1, 0))
    x, y = roc(signal, background, group_ends(scores[order]))
    fpr, tpr, _ = roc_curve(label, scores, sample_weight=weight, drop_intermediate=False)
    assert x == pytest.approx(fpr) and y == pytest.approx(tpr)
    assert area(x, y) == pytest.approx(roc_auc_score(label, scores, sample_weight=weight), abs=1e-12)
    found = measures(x, y, (0.1, 0.01))
    assert found[1] == pytest.approx(tpr[fpr <= 0.1].max()) and found[2] == pytest.approx(tpr[fpr <= 0.01].max())
    assert found[3] == pytest.approx(1 / fpr[tpr >= 0.5].min())


def test_a_cut_that_lets_exactly_as_much_through_counts() -> None:
    scores = np.arange(100, 0, -1.0)
    signal, background = (np.isin(np.arange(100), range(k, 100, 2)).astype(float) for k in (1, 0))
    x, y = roc(signal, background, group_ends(scores))
    assert measures(x, y, (0.1,))[1] == pytest.approx(0.1)  # 5 of 50 each; the sixth background row is too much


def test_both_sides_and_their_change() -> None:
    reference, candidate, label, weight = events()
    results = judged(replace(OPTIONS, weight="w"), reference, candidate, label=label, w=weight)
    assert [r.name for r in results] == [
        "AUC",
        "signal efficiency at background 0.1",
        "signal efficiency at background 0.01",
        "background rejection at signal 0.5",
    ]
    expected = [roc_auc_score(label, side, sample_weight=weight) for side in (reference, candidate)]
    figures = results[0].figures
    assert (figures["reference"], figures["candidate"]) == pytest.approx(expected)
    assert figures["change"] == pytest.approx(expected[1] - expected[0])
    assert results[0].status == "reported" and "exact, 4,000 rows" in results[0].text


def test_errors_are_those_of_scipy_and_pairing_makes_the_change_sharper() -> None:
    reference, candidate, label, weight = events(600)

    def statistic(rows: Array) -> Array:
        sides = [roc_auc_score(label[rows], side[rows], sample_weight=weight[rows]) for side in (reference, candidate)]
        return np.array([*sides, sides[1] - sides[0]])

    rows = np.arange(600)
    expected = stats.bootstrap((rows,), statistic, n_resamples=400, vectorized=False, method="percentile", rng=1).standard_error
    figures = judged(replace(OPTIONS, weight="w", replicas=400), reference, candidate, label=label, w=weight)[0].figures
    found = [figures["reference error"], figures["candidate error"], figures["change error"]]
    assert found == pytest.approx(expected, rel=0.2)  # each is known to about 3.5 %, and they are drawn gap
    assert found[2] < 0.7 * found[0]  # type: ignore[operator]


@pytest.mark.parametrize("weighted", [False, True])
def test_beyond_what_is_kept_the_bins_agree_within_the_bound_that_is_said(weighted: bool) -> None:
    reference, candidate, label, weight = events(30_000)
    options = replace(OPTIONS, weight="w" if weighted else "", replicas=100)
    exact = judged(options, reference, candidate, 6, label=label, w=weight)
    check = checked(replace(options, exact_rows=12_000), reference, candidate, 6, label=label, w=weight)
    binned = list(check.results())
    assert "binned in 128 blocks, 30,000 rows" in binned[0].text and binned[0].figures["exact"] is False
    for side in ("reference", "candidate"):
        bound = binned[0].figures[f"binning bound of {side}"]
        assert binned[0].figures[side] == pytest.approx(exact[0].figures[side], abs=float(bound))
        assert 0 < float(bound) < 1e-3
    for one, many in zip(exact, binned, strict=True):
        assert many.figures["change error"] == pytest.approx(one.figures["change error"], rel=0.45)  # 100 draws, 128 blocks
        assert many.figures["reference"] == pytest.approx(one.figures["reference"], rel=0.05)
    assert max(check.figures()[0].series[0].x) == pytest.approx(1.0)


def test_bins_take_scores_beyond_0_and_1() -> None:
    reference, candidate, label, _ = events(5000)
    logits = [np.log(side) - np.log1p(-side) for side in (reference, candidate)]
    (exact, binned) = (judged(replace(OPTIONS, exact_rows=n), *logits, label=label)[0].figures for n in (10**6, 100))
    assert binned["reference"] == pytest.approx(exact["reference"], abs=float(binned["binning bound of reference"]))


def test_a_loss_fails_beyond_its_error_only() -> None:
    reference, candidate, label, _ = events()
    figures = judged(OPTIONS, reference, candidate, label=label)[0].figures
    loss, error = -float(figures["change"]), float(figures["change error"])
    assert loss > error > 0
    for most, status in ((0.0, "failed"), (loss - 1.01 * error, "failed"), (loss - 0.99 * error, "passed"), (0.5, "passed")):
        result = judged(replace(OPTIONS, max_auc_loss=max(0.0, most)), reference, candidate, label=label)[0]
        assert result.status == status
    failed = judged(replace(OPTIONS, max_auc_loss=0.0), reference, candidate, label=label)[0]
    assert failed.text.startswith(f"loss {loss:.2g} less its error {error:.1g} is more than the 0 allowed")
    assert judged(replace(OPTIONS, max_auc_loss=0.0), candidate, reference, label=label)[0].status == "passed"  # a gain


@pytest.mark.parametrize(("most", "status"), [(None, "not applicable"), (0.1, "failed")])
def test_one_class_gives_no_curve_and_a_wanted_judgement_does_not_pass(most: float | None, status: str) -> None:
    reference, candidate, label, _ = events(50)
    (result,) = judged(replace(OPTIONS, max_auc_loss=most), reference, candidate, label=label * 0)
    assert result.status == status and "0 of 50 rows are signal" in result.text


def test_rows_with_nan_are_left_out_and_counted() -> None:
    reference, candidate, label, weight = events(500)
    reference[3], candidate[4], weight[5] = np.nan, np.nan, np.nan
    labels = label.astype(np.float64)
    labels[6] = np.nan
    result = judged(replace(OPTIONS, weight="w"), reference, candidate, label=labels, w=weight)[0]
    assert result.figures["rows left out"] == 4 and "496 rows" in result.text and "4 with NaN left out" in result.text
    good = np.r_[0:3, 7:500]
    assert result.figures["reference"] == pytest.approx(roc_auc_score(label[good], reference[good], sample_weight=weight[good]))


def test_negative_weights_have_an_area() -> None:
    reference, candidate, label, weight = events(2000)
    weight = np.where(np.arange(2000) % 10 == 0, -weight, weight)
    figures = judged(replace(OPTIONS, weight="w"), reference, candidate, label=label, w=weight)[0].figures
    s, b = reference[label == 1], reference[label == 0]
    pairs = (s[:, None] > b[None, :]) + 0.5 * (s[:, None] == b[None, :])
    ws, wb = weight[label == 1], weight[label == 0]
    assert figures["reference"] == pytest.approx(ws @ pairs @ wb / ws.sum() / wb.sum())


def test_one_class_against_the_rest() -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, 300)
    scores = rng.dirichlet([1, 1, 1], 300).astype(np.float32) + 0.3 * np.eye(3, dtype=np.float32)[label]
    result = judged(replace(OPTIONS, signal="2"), scores, scores, label=label)[0]
    assert result.output == "y:2" and result.figures["reference"] == pytest.approx(roc_auc_score(label == 2, scores[:, 2]))
    other = judged(replace(OPTIONS, signal="2", score="y:0"), scores, scores, label=label)[0]
    assert other.output == "y:0"


def test_the_figure_has_both_curves_on_a_logarithmic_axis() -> None:
    reference, candidate, label, _ = events(20_000)
    (figure,) = checked(OPTIONS, reference, candidate, label=label).figures()
    assert (figure.kind, figure.log_y, [s.name for s in figure.series]) == ("lines", True, ["reference", "candidate"])
    for series in figure.series:
        assert len(series.x) <= 302 and min(series.y) > 0 and series.x[-1] == series.y[-1] == 1
        assert (np.diff(series.x) >= 0).all() and (np.diff(series.y) >= 0).all()


def test_generated_batches_need_no_labels_and_given_ones_do() -> None:
    check = Discrimination(OPTIONS)
    check.update({"y": np.ones(3)}, {"y": np.ones(3)}, Batch(name="g", inputs={}, origin="generated"))
    with pytest.raises(UsageError, match="--label label: f has no such column; it has: none"):
        check.update({"y": np.ones(3)}, {"y": np.ones(3)}, Batch(name="f", inputs={}))
    check.update({"y": np.ones(3)}, {}, Batch(name="f", inputs={}))
    assert check.results()[0].status == "not applicable"


def test_few_rows_warn_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one = np.array([0.2, 0.7], np.float32)
        check = checked(OPTIONS, one, one, label=np.array([0, 1]))
        assert check.results()[0].figures["reference"] == 1.0 and check.figures()
