"""`portinf optimize --search`: settings timed beside the original, the front, the pick and why, and what does not hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from portinf.cli.main import run
from portinf.core.batch import Array, save_npz
from portinf.core.errors import UsageError
from portinf.onnx_graph.model_file import read_onnx
from portinf.targets.onnxruntime import search as module
from portinf.targets.onnxruntime.search import SearchResult, search
from portinf.targets.onnxruntime.search_report import search_text
from portinf.validation import Tolerance
from tests.rewrites.graph_layers import graph, layer
from tests.triton.models import honest


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """An edge network with a sample."""
    save_npz(tmp_path / "g.npz", graph(300, 2000, 1))
    return layer("edge network, maximum", tmp_path / "net.onnx")


def speeds(monkeypatch: pytest.MonkeyPatch, **milliseconds: float) -> None:
    """Let files take these times, by the first word of their names; the original takes ten."""

    def timed(left: Any, right: Any, inputs: Mapping[str, Array]) -> tuple[list[float], list[float]]:
        name = right.name.split(",")[0].split(" ")[0]
        if right.name.startswith("rewritten, by row"):
            name = "by_row"
        extra = 0.01 if right.name.count("level all") else 0.0
        return [10.0, 10.1, 10.2], [milliseconds.get(name, 10.0) - extra + k / 1000 for k in range(3)]

    monkeypatch.setattr(module, "in_turns", timed)


def found(net: Path, tolerance: float = 0.05, **given: Any) -> SearchResult:
    return search(
        net,
        net.parent / "best.onnx",
        inputs=[net.parent / "g.npz"],
        tolerance=Tolerance(rtol=tolerance, atol=tolerance),
        **given,
    )


def test_the_fastest_that_holds_is_written_with_the_table_and_the_reason(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    speeds(monkeypatch, rewritten=4.0, by_row=2.0, fp16=1.0)
    result = found(net, tolerance=1e-6, precisions=["fp16"])
    assert result.pick.setting.file == "rewritten, by row" and result.pick.setting.threads == 1
    assert result.comparison is not None and result.comparison.verdict == "equal"
    lost = [row for row in result.rows if row.setting.file == "fp16"]
    assert lost and not any(row.holds for row in lost)
    step = read_onnx(net.parent / "best.onnx").provenance["steps"][-1]
    assert step["pick"]["file"] == "rewritten, by row" and step["reason"] == result.reason
    assert len(step["searched"]) == len(result.rows)
    assert result.artifact.one_thread and any("one intra-op thread only" in note for note in result.notes)


def test_the_front_holds_what_nothing_else_beats_in_both(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    speeds(monkeypatch, rewritten=4.0, by_row=4.5, fp16=2.0)
    result = found(net, precisions=["fp16"])
    front = {row.setting.file for row in result.rows if row.front}
    assert "fp16" in front and "original" in front and result.pick.setting.file == "fp16"
    for row in result.rows:
        if row.holds and not row.front:
            assert any(other.faster >= row.faster and other.error <= row.error for other in result.rows if other.front)
    text = search_text(result)
    assert max(map(len, text.split("left out")[0].split("pick:")[0].splitlines())) <= 80
    assert text.count("\n>") + text.count(" >") >= 1 and "pick: fp16" in text


def test_within_the_spread_the_nearer_one_is_taken(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    speeds(monkeypatch, rewritten=2.001, by_row=9.0, fp16=2.0)
    result = found(net, precisions=["fp16"])
    assert result.pick.setting.file == "rewritten" and result.pick.setting.level == "all"
    assert "closer to the original" in result.reason


def test_what_does_not_hold_on_all_samples_is_not_picked(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    speeds(monkeypatch, rewritten=4.0, by_row=3.0, fp16=2.0)
    real = module._Bench.judged_on_all

    def judged(self: Any, setting: Any, batches: Any) -> Any:
        comparison = real(self, setting, batches)
        if setting.file != "fp16":
            return comparison
        case = type(comparison.cases[0])(name="rare", origin="given", sizes={}, status="disagrees", reason="a rare row")
        return type(comparison)(reference="a", candidate="b", cases=(*comparison.cases, case))

    monkeypatch.setattr(module._Bench, "judged_on_all", judged)
    result = found(net, precisions=["fp16"])
    assert result.pick.setting.file == "rewritten, by row"
    assert any("on all samples" in row.text and "a rare row" in row.text for row in result.rows)


def test_a_model_that_cannot_be_improved_comes_back_byte_for_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    speeds(monkeypatch)
    model = honest(tmp_path / "m.onnx", width=4)
    save_npz(tmp_path / "g.npz", {"x": np.ones((50, 4), np.float32)})
    result = found(model, precisions=[])
    assert result.pick.setting.file == "original" and result.comparison is None
    assert (tmp_path / "best.onnx").read_bytes() == model.read_bytes()
    assert "nothing within the tolerance" in result.reason


def test_no_samples_or_another_target_is_refused(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="--inputs"):
        search(net, net.parent / "o.onnx", inputs=[], tolerance=Tolerance())
    common = ["optimize", str(net), "-o", str(net.parent / "o.onnx")]
    assert run([*common, "--target", "onnxruntime", "--report", "a.html"]) == 2
    assert "--report requires --search" in capsys.readouterr().err
    assert run([*common, "--target", "onnxruntime", "--search", "--report", "a.pdf", "--inputs", "g.npz"]) == 2
    assert ".html" in capsys.readouterr().err
    assert not (net.parent / "o.onnx").exists()


def test_the_command_prints_the_table_and_writes_the_page(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, out = net.parent / "s.html", net.parent / "o.onnx"
    given = ["--inputs", str(net.parent / "g.npz"), "--rtol", "0.01", "--atol", "0.01", "--precision", "fp16", "--threads", "1"]
    common = ["optimize", str(net), "--target", "onnxruntime", "--search", *given, "-o", str(out)]
    assert run([*common, "--report", str(report)]) == 0
    text = capsys.readouterr().out
    assert "pick: " in text and "faster" in text
    page = report.read_text()
    assert "Speed against error" in page and "<svg" in page and "<script" not in page
    onnx.checker.check_model(str(out))
