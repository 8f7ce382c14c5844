"""`portinf validate`: which sides it opens, which samples it takes, and what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from portinf.cli.main import run
from portinf.commands.validate import ValidateOptions, validate
from portinf.conversion.options import SourcingOptions
from portinf.core.batch import Batch, save_goldens, save_npz
from portinf.core.errors import PortinfError, UnreadableError, UsageError
from portinf.core.signature import Axis, Signature, TensorSpec
from portinf.onnx_graph.model_file import load_proto, read_onnx, write_onnx
from portinf.validation import Tolerance
from tests.runners import fake_http
from tests.runners.fake_http import Script, tensor

ROWS = np.arange(10, dtype=np.float32).reshape(5, 2)
SIGNATURE = Signature(
    inputs=(TensorSpec(name="x", dtype="float32", shape=(Axis(label="rows"), Axis(size=2)), low=0.0, high=9.0),),
    outputs=(TensorSpec(name="y", dtype="float32", shape=(Axis(label="rows"), Axis(size=2))),),
)


def linear(path: Path, factor: float = 2.0) -> Path:
    """Write y = factor * x with portinf's metadata."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "w"], ["y"])],
        "linear",
        [value("x", TensorProto.FLOAT, ["rows", 2])],
        [value("y", TensorProto.FLOAT, ["rows", 2])],
        [numpy_helper.from_array(np.float32(factor), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, path.with_suffix(".raw"))
    write_onnx(model, path.with_suffix(".raw"), path, SIGNATURE, {"source": "test"})
    return path


def package(folder: Path, factor: float = 2.0, recorded: float = 2.0) -> Path:
    """Write a packaged model without a manifest, two versions, the newest with goldens."""
    for version in ("9", "10"):
        (folder / version).mkdir(parents=True)
        linear(folder / version / "model.onnx", factor if version == "10" else -1.0)
    (folder / "config.pbtxt").write_text('name: "m"')
    batches = [Batch(name="event", inputs={"x": ROWS}, expected={"y": (recorded * ROWS).astype(np.float32)})]
    save_goldens(folder / "10" / "goldens.npz", batches)
    return folder


def samples(path: Path, rows: int = 5) -> Path:
    save_npz(path, {"x": np.linspace(0, 9, 2 * rows, dtype=np.float32).reshape(rows, 2)})
    return path


def served(factor: float, shape: tuple[int, int] = (5, 2)) -> Script:
    """A server that answers factor * ROWS whatever it is asked."""
    raw = (factor * ROWS).astype(np.float32).tobytes()
    metadata = {"name": "m", "inputs": [tensor("x", "FP32", [-1, 2])], "outputs": [tensor("y", "FP32", [-1, 2])]}
    return Script(metadata=metadata, outputs=[(tensor("y", "FP32", list(shape)), raw)])


def test_two_onnx_files_on_generated_sizes(tmp_path: Path) -> None:
    a, b = linear(tmp_path / "a.onnx"), linear(tmp_path / "b.onnx")
    report = validate(str(a), [str(b)], ValidateOptions())
    assert report.equal and {case.sizes["rows"] for case in report.comparisons[0].cases} >= {0, 1, 3}
    assert {case.origin for case in report.comparisons[0].cases} == {"generated"}


def test_no_case_is_beyond_the_largest_length_of_either_side(tmp_path: Path) -> None:
    a, b = linear(tmp_path / "a.onnx"), linear(tmp_path / "b.onnx")
    artifact = read_onnx(b)
    write_onnx(load_proto(b), b, b, artifact.signature.with_limits("rows", maximum=20), {})
    for reference, candidate in ((a, b), (b, a)):
        report = validate(str(reference), [str(candidate)], ValidateOptions())
        sizes = {case.sizes["rows"] for case in report.comparisons[0].cases}
        assert report.equal and max(sizes) == 20
    told = SourcingOptions(maximums={"rows": 9})
    report = validate(str(a), [str(a)], ValidateOptions(sourcing=told))
    assert max(case.sizes["rows"] for case in report.comparisons[0].cases) == 9
    too_long = SourcingOptions(inputs=[samples(tmp_path / "f.npz", 21)])
    with pytest.raises(UsageError, match="axis 'rows' has length 21, and this model is valid up to 20 only"):
        validate(str(a), [str(b)], ValidateOptions(sourcing=too_long))
    with pytest.raises(UsageError, match="--maximum events=9: no such axis; there are: rows"):
        validate(str(a), [str(b)], ValidateOptions(sourcing=SourcingOptions(maximums={"events": 9})))


def test_files_are_given_and_other_sizes_are_made_from_them(tmp_path: Path) -> None:
    a, b, f = linear(tmp_path / "a.onnx"), linear(tmp_path / "b.onnx"), samples(tmp_path / "f.npz")
    report = validate(str(a), [str(b)], ValidateOptions(sourcing=SourcingOptions(inputs=[f])))
    cases = report.comparisons[0].cases
    assert (cases[0].name, cases[0].origin, cases[0].sizes) == ("f.npz", "given", {"rows": 5})
    assert len(cases) > 3 and cases[-1].origin == "generated"


def test_every_candidate_against_reference_and_predecessor(tmp_path: Path) -> None:
    names = [str(linear(tmp_path / f"{n}.onnx", factor)) for n, factor in (("a", 2), ("b", 2), ("c", 3), ("d", 3))]
    report = validate(names[0], names[1:], ValidateOptions())
    pairs = [
        (Path(comparison.reference).stem + Path(comparison.candidate).stem, comparison.verdict)
        for comparison in report.comparisons
    ]
    assert pairs == [("ab", "equal"), ("ac", "disagrees"), ("bc", "disagrees"), ("ad", "disagrees"), ("cd", "equal")]
    assert not report.equal


def test_a_packaged_reference_is_its_newest_goldens(tmp_path: Path) -> None:
    folder = package(tmp_path / "m", factor=-5.0)
    good, bad = linear(tmp_path / "good.onnx"), linear(tmp_path / "bad.onnx", 2.5)
    report = validate(str(folder), [str(good), str(bad)], ValidateOptions())
    assert [comparison.verdict for comparison in report.comparisons] == ["equal", "disagrees", "disagrees"]
    assert report.comparisons[0].reference.endswith("(recorded outputs)") and len(report.comparisons[0].cases) == 1


def test_a_packaged_reference_with_files_runs_its_model(tmp_path: Path) -> None:
    folder, f = package(tmp_path / "m", recorded=7.0), samples(tmp_path / "f.npz", 4)
    good = linear(tmp_path / "good.onnx")
    assert validate(str(folder), [str(good)], ValidateOptions(sourcing=SourcingOptions(inputs=[f]))).equal


def test_a_packaged_candidate_is_its_newest_model_and_lends_its_goldens(tmp_path: Path) -> None:
    report = validate(str(linear(tmp_path / "a.onnx")), [str(package(tmp_path / "m"))], ValidateOptions())
    cases = report.comparisons[0].cases
    assert report.equal and cases[0].name == "golden case_0" and len(cases) > 1
    assert validate(str(tmp_path / "a.onnx"), [str(tmp_path / "m" / "9")], ValidateOptions()).equal is False


def test_goldens_against_a_live_endpoint(tmp_path: Path) -> None:
    folder = package(tmp_path / "m")
    for factor, equal in ((2.0, True), (2.1, False)):
        with fake_http.serve(served(factor)) as address:
            assert validate(str(folder), [f"http://{address}/m"], ValidateOptions()).equal is equal


def test_a_batched_endpoint_is_not_sent_empty_batches(tmp_path: Path) -> None:
    script = served(2.0)
    script.config = {"max_batch_size": 8}
    f = tmp_path / "f.npz"
    save_npz(f, {"x": ROWS})
    with fake_http.serve(script) as address:
        options = ValidateOptions(sourcing=SourcingOptions(inputs=[f]))
        report = validate(str(linear(tmp_path / "a.onnx")), [f"http://{address}/m"], options)
    assert any("at least one row" in note for note in report.notes)
    assert all(case.sizes["rows"] > 0 for case in report.comparisons[0].cases)


def test_the_tolerance_given_is_the_one_applied(tmp_path: Path) -> None:
    a, b = str(linear(tmp_path / "a.onnx")), str(linear(tmp_path / "b.onnx", 2.01))
    assert not validate(a, [b], ValidateOptions()).equal
    assert validate(a, [b], ValidateOptions(tolerance=Tolerance.of(0.01, None))).equal


@pytest.mark.parametrize(
    ("reference", "error"), [("none.onnx", UnreadableError), ("grpc://host/m", UsageError), ("empty", UnreadableError)]
)
def test_sides_that_cannot_be_opened(tmp_path: Path, reference: str, error: type[PortinfError]) -> None:
    (tmp_path / "empty").mkdir()
    name = reference if "://" in reference else str(tmp_path / reference)
    with pytest.raises(error, match=reference):
        validate(name, [str(linear(tmp_path / "a.onnx"))], ValidateOptions())


def test_a_sample_that_does_not_fit_is_a_usage_error(tmp_path: Path) -> None:
    save_npz(tmp_path / "f.npz", {"z": ROWS})
    a = str(linear(tmp_path / "a.onnx"))
    with pytest.raises(UsageError, match="expected inputs x; found z"):
        validate(a, [a], ValidateOptions(sourcing=SourcingOptions(inputs=[tmp_path / "f.npz"])))


def test_command_prints_the_report_and_exits_0_or_5(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = str(linear(tmp_path / "a.onnx")), str(linear(tmp_path / "b.onnx", 2.5))
    assert run(["validate", a, a]) == 0
    assert capsys.readouterr().out.startswith("EQUAL: ")
    assert run(["validate", a, b]) == 5
    shown = capsys.readouterr()
    assert shown.out.startswith("DISAGREES: ") and "output 'y'" in shown.err


def test_command_json_is_alone_on_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = str(linear(tmp_path / "a.onnx")), str(linear(tmp_path / "b.onnx", float("nan")))
    assert run(["validate", a, b, "--json"]) == 5
    data: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert data["verdict"] == "disagrees" and data["hops"][0]["reference"] == a


def test_command_refuses_a_report_of_unknown_kind_before_it_computes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["validate", "none.onnx", "none.onnx", "--report", str(tmp_path / "r.pdf")]) == 2
    assert ".html, .md, .json" in capsys.readouterr().err


def test_command_writes_the_report_also_when_it_disagrees(tmp_path: Path) -> None:
    a, b = str(linear(tmp_path / "a.onnx")), str(linear(tmp_path / "b.onnx", 2.5))
    assert run(["validate", a, b, "--report", str(tmp_path / "r.html")]) == 5
    assert "Disagrees" in (tmp_path / "r.html").read_text()
