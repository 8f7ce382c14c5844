"""`portinf validate --bisect`, `--reference-precision` and `--tolerance-from`: which sides can be looked into, and what is said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from portinf.bisection.bisect import choose
from portinf.cli.main import run
from portinf.commands.validate import ValidateOptions, validate
from portinf.core.batch import Batch, save_goldens, save_npz
from portinf.onnx_graph.model_file import read_onnx
from portinf.samples.generate import generate
from portinf.validation import CheckResult, Report, Tolerance
from portinf.validation.results import CaseResult, Comparison
from tests.commands.validate.test_validate import linear, package, samples, served
from tests.conftest import Cli
from tests.runners import fake_http

MODELS = Path(__file__).parent.parent / "models"


def checks(report: Any, name: str = "bisection") -> list[Any]:
    return [check for comparison in report["hops"] for check in comparison["checks"] if check["name"] == name]


def found_in(report: Report) -> CheckResult:
    """Return the one bisection of the first comparison."""
    [check] = [check for check in report.comparisons[0].checks if check.name == "bisection"]
    return check


def test_recorded_answers_have_no_nodes(tmp_path: Path) -> None:
    model = linear(tmp_path / "a.onnx")
    batch = generate(read_onnx(model).signature)
    save_goldens(tmp_path / "g.npz", [replace(batch, expected={"y": np.full(batch.inputs["x"].shape, 9, np.float32)})])
    report = validate(str(tmp_path / "g.npz"), [str(model)], ValidateOptions(bisect=True))
    assert "g.npz: recorded answers have no nodes to look at" in found_in(report).text


def test_the_node_is_in_the_report_and_its_files_lie_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    a, b, f = linear(tmp_path / "a.onnx"), linear(tmp_path / "b.onnx", 2.5), samples(tmp_path / "f.npz")
    (tmp_path / "out").mkdir()
    command = ["validate", str(a), str(b), "--inputs", str(f), "--bisect", "--report", "out/r.json"]
    assert run(command) == 5
    assert "the models first differ at node 'y' (Mul, number 1 of 1)" in capsys.readouterr().err
    [found] = checks(json.loads((tmp_path / "out" / "r.json").read_text()))
    assert found["status"] == "reported" and found["figures"]["operator"] == "Mul"
    assert "constant 'w' differs from the reference's by up to 0.5" in found["text"]
    assert {path.name for path in (tmp_path / "out" / "bisect-r").iterdir()} == {
        "reference.onnx",
        "candidate.onnx",
        "inputs.npz",
    }
    figure = json.loads((tmp_path / "out" / "r.json").read_text())["hops"][0]["figures"][-1]
    assert figure["log_y"] and figure["series"][0]["y"] == [pytest.approx(0.25)]
    assert run(command[:-2]) == 5 and (tmp_path / "bisect-b" / "candidate.onnx").is_file()
    assert (
        run(["validate", "out/bisect-r/reference.onnx", "out/bisect-r/candidate.onnx", "--inputs", "out/bisect-r/inputs.npz"])
        == 5
    )


def test_every_comparison_gets_its_own_folder(tmp_path: Path) -> None:
    names = [str(linear(tmp_path / f"{n}.onnx", factor)) for n, factor in (("a", 2), ("b", 2.5), ("c", 3))]
    report = validate(names[0], names[1:], ValidateOptions(bisect=True, reproducer=tmp_path / "small"))
    assert [comparison.checks[-1].name for comparison in report.comparisons] == ["bisection"] * 3
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"small", "small-2", "small-3"}


def test_equal_sides_and_an_unwritable_folder(tmp_path: Path) -> None:
    a, b = linear(tmp_path / "a.onnx"), linear(tmp_path / "b.onnx")
    report = validate(str(a), [str(b)], ValidateOptions(bisect=True, reproducer=tmp_path / "small"))
    assert report.equal and "no single node is wrong" in found_in(report).text
    assert not (tmp_path / "small").exists()
    (tmp_path / "file").write_text("")
    c = linear(tmp_path / "c.onnx", 3)
    report = validate(str(a), [str(c)], ValidateOptions(bisect=True, reproducer=tmp_path / "file" / "small"))
    assert "cannot be written" in found_in(report).text


def test_a_live_model_cannot_be_looked_into(tmp_path: Path) -> None:
    folder = package(tmp_path / "m")
    with fake_http.serve(served(2.1)) as address:
        report = validate(str(folder), [f"http://{address}/m"], ValidateOptions(bisect=True, reproducer=tmp_path / "small"))
    check = found_in(report)
    assert check.status == "not applicable" and "is a live model" in check.text and "as a candidate" in check.text


def test_recorded_outputs_are_looked_into_by_the_packages_own_model(tmp_path: Path) -> None:
    folder, bad = package(tmp_path / "m"), linear(tmp_path / "bad.onnx", 2.5)
    report = validate(str(folder), [str(bad)], ValidateOptions(bisect=True, reproducer=tmp_path / "small"))
    assert "node 'y' (Mul" in found_in(report).text


def case(name: str, status: str, reason: str = "") -> CaseResult:
    return CaseResult(name=name, origin="given", sizes={}, status=status, reason=reason)  # type: ignore[arg-type]


def test_the_request_that_is_looked_at() -> None:
    def batch(name: str, rows: int, **more: Any) -> Batch:
        return Batch(name=name, inputs={"x": np.zeros((rows, 2), np.float32)}, **more)

    batches = [batch("a", 9), batch("b", 5), batch("c", 7), batch("d", 0), batch("e", 1, origin="generated")]
    bad = [case("a", "disagrees"), case("b", "equal"), case("c", "disagrees"), case("d", "disagrees"), case("e", "disagrees")]
    chosen = choose(Comparison(reference="r", candidate="c", cases=tuple(bad)), batches)
    assert chosen is not None and chosen.name == "c"
    parts = [batch("part", 4, stream="f.h5", first_row=row) for row in (0, 4, 8)]
    streamed = Comparison(reference="r", candidate="c", cases=(replace(case("f.h5", "disagrees"), bad_from=4),))
    chosen = choose(streamed, parts)
    assert chosen is not None and chosen.first_row == 4
    assert choose(Comparison(reference="r", candidate="c", cases=()), []) is None


def test_fp64_and_a_tolerance_from_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = linear(tmp_path / "a.onnx", 0.3), linear(tmp_path / "b.onnx", 0.3 * (1 + 2e-5))
    assert run(["validate", str(a), str(b), "--json"]) == 0  # within the default tolerance
    capsys.readouterr()
    assert run(["validate", str(a), str(b), "--json", "--reference-precision", "fp64"]) == 5
    [check] = checks(json.loads(capsys.readouterr().out), "fp64")
    assert check["status"] == "failed" and "more than rounding explains" in check["text"]
    assert run(["validate", str(a), str(b), "--json", "--tolerance-from", "fp64"]) == 5
    report = json.loads(capsys.readouterr().out)
    assert report["tolerance"].startswith("rtol/atol by output: 'y'")
    assert run(["validate", str(a), str(a), "--tolerance-from", "fp64", "--reference-precision", "fp64"]) == 0
    assert run(["validate", str(a), str(a), "--tolerance-from", "fp64", "--rtol", "1"]) == 2


def test_fp64_of_a_live_reference_is_refused(tmp_path: Path) -> None:
    with fake_http.serve(served(2.0)) as address:
        assert run(["validate", f"http://{address}/m", str(linear(tmp_path / "a.onnx")), "--reference-precision", "fp64"]) == 4


def halved(path: Path) -> Path:
    """Hold the weight in float16 and widen it in the graph."""
    model = onnx.load(str(linear(path)))
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.float16(2), "half"))
    model.graph.node.insert(0, onnx.helper.make_node("Cast", ["half"], ["w"], to=1))
    onnx.save(model, str(path))
    return path


def test_a_reference_in_half_precision_is_refused_where_fp32_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half, whole = halved(tmp_path / "half.onnx"), linear(tmp_path / "whole.onnx")
    assert run(["validate", str(half), str(whole)]) == 0
    assert run(["validate", str(half), str(whole), "--reference-precision", "fp32"]) == 5
    assert "1 of 1 float parameters are float16" in capsys.readouterr().err
    assert run(["validate", str(whole), str(half), "--reference-precision", "fp32"]) == 0


@pytest.mark.long
def test_a_source_in_half_precision(cli: Cli, tmp_path: Path) -> None:
    """A module in bfloat16 is said to be one by convert, and refused as an fp32 reference."""
    (tmp_path / "net.py").write_text(
        "import torch\nfrom torch import nn\n\n"
        "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.w = nn.Parameter(torch.linspace(0.1, 0.9, 8).to(torch.bfloat16))\n"
        "    def forward(self, x):\n        return x * self.w.float()\n\n\ndef build():\n    return Net()\n"
    )
    save_npz(tmp_path / "x.npz", {"x": np.ones((2, 8), np.float32)})
    done = cli("convert", "net.py:build", "--inputs", "x.npz", "-o", "net.onnx", "--json")
    assert done.code == 0 and any("1 of 1 float parameters are bfloat16" in note for note in done.report["notes"])
    done = cli("validate", "net.py:build", "net.onnx", "--inputs", "x.npz", "--reference-precision", "fp32", "--json")
    assert done.code == 5 and "no fp32 reference" in done.message
    assert any("bfloat16" in note for note in done.report["notes"])


@pytest.mark.long
def test_a_wrong_conversion_is_found_by_the_layers_alone(cli: Cli, tmp_path: Path) -> None:
    """A source that has no ONNX file of its own to walk along: its layers are looked up in the candidate."""
    (tmp_path / "net.py").write_text(
        "import torch\nfrom torch import nn\n\n"
        "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.one, self.two, self.three = (nn.Linear(8, 8) for _ in range(3))\n"
        "    def forward(self, x):\n        if torch.onnx.is_in_onnx_export() or torch.compiler.is_exporting():\n"
        "            raise RuntimeError('not exportable')\n"
        "        return self.three(torch.relu(self.two(torch.relu(self.one(x)))))\n\n\n"
        "def build():\n    torch.manual_seed(3)\n    return Net()\n\n\n"
        "class Plain(Net):\n    def forward(self, x):\n"
        "        return self.three(torch.relu(1.1 * self.two(torch.relu(self.one(x)))))\n\n\n"
        "def wrong():\n    torch.manual_seed(3)\n    net = Plain()\n"
        "    net.two.weight.data[0] *= 1.5\n    return net\n"
    )
    save_npz(tmp_path / "x.npz", {"x": np.random.default_rng(1).normal(size=(4, 8)).astype(np.float32)})
    assert cli("convert", "net.py:wrong", "--inputs", "x.npz", "-o", "wrong.onnx").code == 0
    done = cli("validate", "net.py:build", "wrong.onnx", "--inputs", "x.npz", "--bisect", "--json")
    assert done.code == 5
    [check] = checks(done.report)
    assert "bisection needs an ONNX export of the source" in check["text"]
    assert check["figures"]["source layer"] == "two", check["text"]
    assert "its nodes: " in check["text"]


def test_tolerance_of_outputs_is_kept_apart_from_types() -> None:
    assert Tolerance(outputs={"y": (1e-3, 1e-4)}) != Tolerance()
