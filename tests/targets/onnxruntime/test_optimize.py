"""`portinf optimize --target onnxruntime`: rewritings are kept only where they compute the same and are not slower."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from portinf.cli.main import run
from portinf.core.batch import save_npz
from portinf.core.errors import CannotError, DisagreementError
from portinf.onnx_graph.model_file import read_onnx
from portinf.runners.onnx import OnnxRuntimeRunner
from portinf.targets.onnxruntime import optimize as module
from portinf.targets.onnxruntime.optimize import optimize
from portinf.targets.onnxruntime.proposal import Proposal
from portinf.targets.onnxruntime.timing import slower
from portinf.validation import Tolerance
from tests.rewrites.graph_layers import graph, layer
from tests.triton.models import honest, minus_mean


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """An edge network, and a sample large enough that time means something."""
    save_npz(tmp_path / "g.npz", graph(800, 5000, 1))
    return layer("edge network, sum", tmp_path / "net.onnx")


def found(net: Path, **given: Any) -> Any:
    return optimize(net, net.parent / "fast.onnx", inputs=[net.parent / "g.npz"], tolerance=Tolerance(), **given)


def test_one_thread_allows_scatter_nd(net: Path) -> None:
    result = found(net, threads=1)
    assert "scatters with one index a row, row by row" in result.changed
    assert result.artifact.one_thread and any("one intra-op thread only" in note for note in result.notes)
    assert read_onnx(net.parent / "fast.onnx").provenance["steps"][-1]["optimised"] == result.changed
    sample = graph(300, 900, 5)
    with OnnxRuntimeRunner(net) as before, OnnxRuntimeRunner(net.parent / "fast.onnx") as after:
        np.testing.assert_allclose(after.infer(sample)["y"], before.infer(sample)["y"], rtol=1e-4, atol=1e-4)


def test_unknown_threads_give_a_file_that_is_right_on_any(net: Path) -> None:
    result = found(net)
    assert not result.artifact.one_thread and "ScatterND" not in result.artifact.operators
    assert result.changed and result.comparison.verdict == "equal"


def offered(monkeypatch: pytest.MonkeyPatch, *proposals: Proposal) -> None:
    monkeypatch.setattr(module, "proposals", lambda _threads: proposals)


def other(write: Callable[[Path], Path]) -> Proposal:
    return Proposal(
        name=f"replaced by {write.__name__}", guarantee="exact", make=lambda _, folder: write(folder / "model.onnx")
    )


def test_what_computes_something_else_is_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offered(monkeypatch, other(minus_mean))
    model = honest(tmp_path / "m.onnx", width=4)
    with pytest.raises(DisagreementError, match="nothing was written"):
        optimize(model, tmp_path / "o.onnx", tolerance=Tolerance())
    assert not (tmp_path / "o.onnx").exists()


def test_what_is_slower_is_left_out(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "paired", lambda first, second, inputs, *, threads: ([1.0] * 4, [2.0] * 4))
    result = found(net, threads=1)
    assert not result.changed and result.comparison is None
    slow = [step for step in result.steps if "2.00 times the time without" in step.text]
    assert len(slow) >= 3 and not any(step.kept for step in result.steps)
    assert (net.parent / "fast.onnx").read_bytes() == net.read_bytes()


def test_a_file_that_cannot_be_improved_is_returned_byte_for_byte(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = honest(tmp_path / "m.onnx")
    assert run(["optimize", str(model), "--target", "onnxruntime", "-o", str(tmp_path / "o.onnx")]) == 0
    assert "the original, byte for byte" in capsys.readouterr().out
    assert (tmp_path / "o.onnx").read_bytes() == model.read_bytes()


def test_a_rewriting_that_cannot_take_the_graph_is_left_out(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise CannotError("the graph is odd")

    plain = Proposal(name="plain", guarantee="exact", make=lambda path, folder: None)
    offered(monkeypatch, Proposal(name="odd", guarantee="exact", make=fail), plain)
    result = found(net)
    assert [(step.name, step.kept, step.text) for step in result.steps] == [("odd", False, "the graph is odd")]


def test_a_damaged_file_is_refused_before_anything_is_made_of_it(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A weight whose shape does not fit its bytes."""
    model = onnx.load(str(net))
    model.graph.initializer[0].dims[0] += 1
    onnx.save(model, str(net))
    assert run(["optimize", str(net), "--target", "onnxruntime", "-o", str(net.parent / "o.onnx")]) == 2
    assert "cannot load it" in capsys.readouterr().err


def test_what_is_within_the_spread_is_not_slower() -> None:
    assert slower([1.0, 1.1, 1.2, 1.1], [2.0, 2.1, 2.2, 2.1], 1.05)
    assert not slower([1.0, 2.4, 1.2, 2.6], [2.0, 2.1, 2.2, 2.1], 1.05)
    assert not slower([1.0, 1.0, 1.0, 1.0], [1.04, 1.04, 1.04, 1.04], 1.05)


@pytest.mark.long
def test_rewritten_and_lowered(net: Path) -> None:
    loose = Tolerance.of(2e-2, 100.0)  # sums of thousands of edges, in fp16, at the larger sizes
    result = optimize(net, net.parent / "half.onnx", inputs=[net.parent / "g.npz"], tolerance=loose, precision="fp16")
    first, second = read_onnx(net.parent / "half.onnx").provenance["steps"][-2:]
    assert first["optimised"] == result.changed != [] and second["lowered"] == "fp16"
    assert result.lowered is not None and result.lowered.comparison.reference == str(net)
    assert result.timing[0] > 0 and result.comparison.verdict == "equal"


def test_rewritings_are_left_out_where_only_they_break_a_precision(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Path] = []

    def lower(path: Path, *words: Any, **given: Any) -> Any:
        tried.append(path)
        if path != net:
            raise DisagreementError("the sums in this order")
        return honest_lower(path, *words, **given)

    honest_lower = module.lower
    monkeypatch.setattr(module, "lower", lower)
    loose = Tolerance.of(2e-2, 100.0)
    out = net.parent / "half.onnx"
    result = optimize(net, out, inputs=[net.parent / "g.npz"], tolerance=loose, precision="fp16")
    assert len(tried) == 2 and not result.changed and out.exists()
