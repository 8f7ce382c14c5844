"""Reports in every format: verdict first, names made harmless, files whole or absent."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from portinf.core.batch import Batch
from portinf.core.errors import UsageError
from portinf.validation import Comparison, Report, Tolerance, check_report_path, compare, json_text, text, write_report
from portinf.validation.check import CheckResult
from portinf.validation.reports.html import bars, page
from portinf.validation.reports.markdown import markdown
from portinf.validation.tally import Histogram
from tests.validation.sides import Side

EVIL = "<script>alert(1)</script>|`x`\x1b[31m\n# head"


def comparison(shift: float, name: str = "y", cases: int = 2) -> Comparison:
    batches = [
        Batch(name=f"case {n}", inputs={"x": np.ones((n, 2), np.float32)}, origin="generated" if n else "given")
        for n in range(cases)
    ]
    values = np.linspace(-1, 1, 50, dtype=np.float32)
    noise = np.geomspace(1e-9, 1e-6, 50, dtype=np.float32)
    words = np.array(["a", "b"], object)
    reference = Side(lambda _: {name: values, "label": words}, name=f"model {name}.onnx")
    candidate = Side(lambda _: {name: values + noise + np.float32(shift), "label": words}, name="grpc://127.0.0.1:8001/m")
    return compare(reference, candidate, batches, tolerance=Tolerance())


def report(*comparisons: Comparison) -> Report:
    return Report.of(comparisons, Tolerance(), notes=["one note"])


@pytest.mark.parametrize("shift", [0.0, 0.5, float("nan"), float("inf")])
def test_text_fits_80_columns_and_starts_with_the_verdict(shift: float) -> None:
    found = text(report(comparison(shift), comparison(0.0, name="a_very_long_output_name_" * 6, cases=60)))
    assert max(map(len, found.splitlines())) <= 80
    assert found.startswith("EQUAL: " if shift == 0 else "DISAGREES: ")
    assert "and 35 more cases" in found and "one note" in found


def test_json_is_strict_and_versioned() -> None:
    data = json.loads(json_text(report(comparison(float("nan")))))
    assert (data["schema"], data["verdict"]) == (1, "disagrees")
    output = data["hops"][0]["outputs"][0]
    assert output["nan_candidate"] == 100 and output["worst"]["candidate"] == "nan"
    assert set(data["versions"]) >= {"python", "numpy", "onnxruntime"}


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_html_loads_nothing_and_runs_nothing(shift: float) -> None:
    html = page(report(comparison(shift), comparison(0.0)))
    assert not re.search(r"(src|href|srcset|action|data)\s*=|url\(|@import|<script|<iframe|<link|\son\w+=", html)
    assert "default-src 'none'" in html and "prefers-color-scheme: dark" in html and "<svg" in html
    assert html.index("verdict") < html.index("<table>")


def test_names_of_others_are_made_harmless() -> None:
    evil = report(comparison(0.5, name=EVIL))
    assert "<script>alert" not in page(evil) and "&lt;script&gt;" in page(evil)
    for written in (page(evil), markdown(evil), text(evil)):
        assert "\x1b" not in written and "\n# head" not in written
    assert not re.search(r"(?<!\\)<script", markdown(evil))
    rows = [line for line in markdown(evil).splitlines() if line.startswith("|") and "script" in line]
    assert rows and all(len(re.findall(r"(?<!\\)\|", row)) in (6, 9) for row in rows)


def checked(name: str = "y") -> Comparison:
    findings = [
        CheckResult(name="constant output", status="failed", output=name, text=f"gives 0 for {name} " * 5),
        CheckResult(
            name="signal efficiency at background 0.01", status="not applicable", text="no rows", figures={"n": float("nan")}
        ),
    ]
    return replace(comparison(0.0), checks=tuple(findings))


def test_checks_are_in_every_format() -> None:
    found = report(checked())
    assert not found.equal and found.verdict == "disagrees"
    lines = text(found).splitlines()
    assert (
        max(map(len, lines)) <= 80
        and any("failed" in line for line in lines)
        and any("not applicable" in line for line in lines)
    )
    assert "| constant output | y | failed | gives 0 for y" in markdown(found)
    assert json.loads(json_text(found))["hops"][0]["checks"][1]["figures"] == {"n": "nan"}


def test_names_in_checks_are_made_harmless() -> None:
    evil = report(checked(EVIL))
    for written in (markdown(evil), text(evil)):
        assert "\x1b" not in written and "\n# head" not in written
    assert not re.search(r"(?<!\\)<script", markdown(evil))
    assert max(map(len, text(report(checked("a_very_long_output_name_" * 6))).splitlines())) <= 80


def test_a_report_without_comparisons_is_not_equal() -> None:
    empty = report()
    assert not empty.equal
    for written in (page(empty), markdown(empty), text(empty)):
        assert "nothing was compared" in written


def test_every_comparison_counts() -> None:
    assert report(comparison(0.0), comparison(0.0)).equal
    assert not report(comparison(0.0), comparison(0.5)).equal
    assert "1 of 2 comparisons equal" in text(report(comparison(0.0), comparison(0.5)))


def test_bars_span_the_decades_and_show_every_non_empty_one() -> None:
    drawn = bars(Histogram(exact=1000000, decades={-9: 1, -7: 2}, not_finite=3))
    assert [bar.label for bar in drawn] == ["0", "1e-9", "1e-8", "1e-7", "inf"]
    assert [bar.height > 0 for bar in drawn] == [True, True, False, True, True]
    assert len(bars(Histogram(decades={-300: 1, 5: 1}))) == 41


@pytest.mark.parametrize("suffix", [".html", ".md", ".json"])
def test_writing_replaces_the_whole_file(tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"r{suffix}"
    target.write_text("old")
    write_report(target, report(comparison(0.0)))
    assert "old" not in target.read_text()[:3] and [p.name for p in tmp_path.iterdir()] == [target.name]


def test_a_report_path_is_refused_before_anything_runs(tmp_path: Path) -> None:
    for bad in ("r.pdf", "r", "none/r.html"):
        with pytest.raises(UsageError, match="--report"):
            check_report_path(tmp_path / bad)
