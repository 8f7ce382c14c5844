"""The report in a real browser: both colour schemes, a phone's width, print; text, plots, no error, no request."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from portinf.core.batch import Batch
from portinf.validation import CheckResult, Figure, Report, Series, SideRecord, Tolerance, compare, json_text, write_report
from portinf.validation.reports import record as report_module
from tests.validation.sides import Side

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SCHEMA = json.loads((Path(report_module.__file__).parent / "report.schema.json").read_text(encoding="utf-8"))
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


class _Recorded:
    """A check that found what it is told to have found."""

    def __init__(self, results: list[CheckResult], figures: list[Figure]) -> None:
        self._results, self._figures = results, figures

    def update(self, expected: Any, found: Any, batch: Batch) -> None:
        return None

    def merge(self, other: _Recorded) -> None:
        return None

    def results(self) -> list[CheckResult]:
        return self._results

    def figures(self) -> list[Figure]:
        return self._figures


def full_report(shift: float = 1e-6) -> Report:
    """A report with every kind of content."""
    rng = np.random.default_rng(4)
    truth = rng.normal(size=400).astype(np.float32)
    found = (truth + rng.normal(0, shift, 400)).astype(np.float32)
    cut = np.linspace(0.02, 1, 30)
    figures = [
        Figure(
            kind="scatter",
            title="score: reference against candidate",
            x_label="reference",
            y_label="candidate",
            series=[Series(name="score", x=truth.tolist(), y=found.tolist())],
        ),
        Figure(
            kind="lines",
            title="ROC of score",
            x_label="signal efficiency",
            y_label="background efficiency",
            log_y=True,
            series=[
                Series(name="reference", x=cut.tolist(), y=(cut**4).tolist()),
                Series(name="candidate", x=cut.tolist(), y=(cut**4 * 1.05).tolist(), errors=(cut**4 * 0.1).tolist()),
            ],
        ),
        Figure(
            kind="bars",
            title="error by layer",
            x_label="layer",
            y_label="largest error",
            log_y=True,
            ticks=["block1.conv", "block1.relu", "a.very.long.name.of.a.layer", "head"],
            series=[Series(name="max abs", x=[0, 1, 2, 3], y=[1e-8, 2e-8, 1e-3, 2e-3])],
        ),
    ]
    checks = [
        CheckResult(name="batch invariance", status="passed", text="8 rows give the same results alone"),
        CheckResult(name="stuck output", status="failed", text="constant at 0.2 while the reference varies", output="score"),
        CheckResult(
            name="AUC", status="reported", text="0.9731 +- 0.0012, change 0.0001 +- 0.0002", figures={"auc": float("nan")}
        ),
    ]
    batches = [Batch(name=f"jets {k}", inputs={"x": np.ones((k, 2), np.float32)}) for k in (1, 4)]
    comparison = compare(
        Side(lambda _: {"score": truth}, name="net.py:build"),
        Side(lambda _: {"score": found}, name="grpc://127.0.0.1:8001/net"),
        batches,
        tolerance=Tolerance(),
        checks=[_Recorded(checks if shift > 1e-3 else checks[::2], figures)],
    )
    sides = [SideRecord(name="net.py:build", facts={"kind": "source (pytorch)", "sha256": "0" * 64})]
    return Report.of([comparison], Tolerance(), ["a note"], sides)


@pytest.mark.parametrize("shift", [0.0, 1e-6, 0.1])
def test_the_json_report_follows_the_published_schema(shift: float) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(json.loads(json_text(full_report(shift))), SCHEMA)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        found = play.chromium.launch(executable_path=CHROMIUM)
        yield found
        found.close()


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_in_a_browser(browser: Any, tmp_path: Path, scheme: str, width: int) -> None:
    write_report(tmp_path / "report.html", full_report(0.1))
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    troubles: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto((tmp_path / "report.html").as_uri())
    text = page.inner_text("body")
    for words in ("Disagrees", "net.py:build", "stuck output", "batch invariance", "ROC of score", "block1.conv", "a note"):
        assert words in text or words in page.inner_html("body")
    assert page.locator("svg.plot").count() == 3
    for plot in page.locator("svg.plot").all():
        box = plot.bounding_box()
        assert box["width"] > 200 and box["height"] > 100 and box["x"] + box["width"] <= width
    assert page.locator("svg.plot circle").count() > 400 and page.locator("svg.plot path.curve").count() == 2
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    luminance = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]")
    assert (luminance > 128) == (scheme == "light")
    assert troubles == [] and requests == [(tmp_path / "report.html").as_uri()]
    page.close()


@needs_browser
def test_the_page_prints_on_white_without_cut_plots(browser: Any, tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", full_report())
    page = browser.new_page(color_scheme="dark")
    page.goto((tmp_path / "report.html").as_uri())
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert len(page.pdf(format="A4")) > 5000
    page.close()
