"""`portinf validate`: what it looks at beside single elements, and the rows that it writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from portinf.cli.main import run
from portinf.core.batch import load_npz, save_npz

ROWS = 400


def tagger(path: Path, factor: float = 1.0, shift: float = 0.0) -> str:
    """Write score = sigmoid(factor * x w + shift), (n, 1), of x, (n, 2)."""
    value = helper.make_tensor_value_info
    weight = np.array([[factor], [-factor]], np.float32)
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["z"]), helper.make_node("Sigmoid", ["z"], ["score"])]
    constants = [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(np.array([shift], np.float32), "b")]
    inputs, outputs = value("x", TensorProto.FLOAT, ["n", 2]), value("score", TensorProto.FLOAT, ["n", 1])
    graph = helper.make_graph(nodes, "tagger", [inputs], [outputs], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return str(path)


@pytest.fixture
def sides(tmp_path: Path) -> list[str]:
    rng = np.random.default_rng(0)
    label = np.arange(ROWS) % 2
    x = rng.normal(size=(ROWS, 2)).astype(np.float32) + label[:, None].astype(np.float32) * np.array([1, 0], np.float32)
    save_npz(tmp_path / "f.npz", {"x": x, "label": label, "weight": np.ones(ROWS), "truth": label * 1.0, "pt": np.arange(ROWS)})
    return [tagger(tmp_path / "a.onnx"), tagger(tmp_path / "b.onnx", 1.000001)]


COLUMNS = ["--label", "label", "--weight", "weight", "--truth", "truth", "--bin-by", "pt:0,100,400", "--bootstrap", "20"]


def validated(capsys: pytest.CaptureFixture[str], sides: list[str], *more: str) -> tuple[int, dict[str, object], str]:
    folder = Path(sides[0]).parent
    code = run(["validate", *sides, "--inputs", str(folder / "f.npz"), "--json", *more])
    found = capsys.readouterr()
    return code, (json.loads(found.out)["hops"][0] if found.out else {}), found.err


def test_physics_metrics_of_columns_in_npz(sides: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    more = ["--at-background", "0.2", "--max-auc-loss", "0.01", "--report", str(tmp_path / "r.md")]
    code, comparison, _ = validated(capsys, sides, *COLUMNS, *more)
    assert code == 0
    names = [check["name"] for check in comparison["checks"]]  # type: ignore[attr-defined, index]
    assert "AUC" in names and "signal efficiency at background 0.2" in names and "mean bias" in names and "quantiles" in names
    assert {figure["kind"] for figure in comparison["figures"]} == {"lines", "scatter"}  # type: ignore[attr-defined, index]
    assert "| check | output | status | finding |" in (tmp_path / "r.md").read_text()


def test_the_text_has_a_table_of_checks(sides: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["validate", *sides, "--inputs", str(tmp_path / "f.npz"), *COLUMNS]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert " check " in text and " finding" in text and "constant output" in text and "worst rows" in text


def test_a_loss_disagrees(sides: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    sides[1] = tagger(tmp_path / "worse.onnx", -1.0)
    code, comparison, err = validated(capsys, sides, *COLUMNS, "--max-auc-loss", "0.01", "--atol", "2")
    assert code == 5 and "AUC of output 'score': loss" in err and comparison["verdict"] == "disagrees"


def test_a_stuck_candidate_disagrees_inside_the_tolerance(
    sides: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    save_npz(tmp_path / "f.npz", {"x": load_npz(tmp_path / "f.npz").inputs["x"]})
    sides[1] = tagger(tmp_path / "stuck.onnx", 0.0)
    code, _, err = validated(capsys, sides, "--atol", "1")
    assert code == 5 and "constant output of output 'score': the candidate gives 0.5 for all 400 rows" in err


def test_worst_rows_are_written_and_can_be_run_again(
    sides: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    worst = tmp_path / "worst.npz"
    code, _, _ = validated(capsys, sides, *COLUMNS, "--save-worst", str(worst))
    kept, whole = load_npz(worst).inputs, load_npz(tmp_path / "f.npz").inputs
    assert code == 0 and len(kept["x"]) == 10 and set(kept) == {"x", "label", "weight", "truth", "pt"}
    for k in range(10):
        assert np.array_equal(kept["x"][k], whole["x"][int(kept["pt"][k])])
    assert run(["validate", *sides, "--inputs", str(worst), *COLUMNS]) == 0
    assert "worst.npz" in capsys.readouterr().out


def test_no_difference_writes_no_worst_rows(sides: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["validate", sides[0], sides[0], "--save-worst", str(tmp_path / "w.npz")]) == 0
    assert "no row differs" in capsys.readouterr().out and not (tmp_path / "w.npz").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--label", "lable"], "f.npz: no array 'lable'; there are: x, label, weight, truth, pt"),
        ([*COLUMNS, "--score", "y"], "--score y: no float output 'y'; the reference has: score [400, 1]"),
        ([*COLUMNS, "--signal", "b"], "--signal b: the labels are numbers"),
        (["--weight", "weight"], "--weight requires --label COLUMN or --truth COLUMN"),
        (["--max-auc-loss", "0.1"], "--max-auc-loss requires --label COLUMN"),
        (["--relative"], "--relative requires --truth COLUMN"),
        (["--truth", "truth", "--bin-by", "pt:5,1"], "--bin-by pt:5,1: expected at least two increasing edges"),
        (["--save-worst", "w.txt"], "--save-worst w.txt: expected a file ending in .npz"),
        (["--save-worst", "none/w.npz"], "the folder none does not exist"),
    ],
)
def test_what_does_not_fit_is_one_line(
    sides: list[str], capsys: pytest.CaptureFixture[str], more: list[str], words: str
) -> None:
    code, _, err = validated(capsys, sides, *more)
    assert code == 2 and words in err
    assert len([line for line in err.splitlines() if "error" in line]) == 1


def test_columns_need_files(sides: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", *sides, "--label", "label"]) == 2
    assert "--label label: columns are read from sample files: give them with --inputs" in capsys.readouterr().err
