"""One set of cases, whoever asks: all rows that were given, other sizes of them, and edge cases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from portinf.commands.package import package
from portinf.commands.validate import ValidateOptions, validate
from portinf.conversion.convert import ConvertOptions, convert
from portinf.conversion.options import SourcingOptions
from portinf.core.batch import Array, Batch
from portinf.core.errors import DisagreementError, UsageError
from portinf.core.signature import Axis, Signature, TensorSpec
from portinf.packaging import self_check as checking
from portinf.packaging.options import PackageOptions
from portinf.runners.onnx import OnnxRuntimeRunner
from portinf.samples import StreamOptions
from portinf.samples.case_set import CaseSet
from portinf.targets.onnxruntime import optimize as optimizing
from portinf.targets.onnxruntime.proposal import Proposal
from portinf.validation import Tolerance

SIGNATURE = Signature(
    inputs=(TensorSpec(name="x", dtype="float32", shape=(Axis(label="rows"), Axis(size=2))),),
    outputs=(),
)
HEADER = '<ir_version: 8, opset_import: ["" : 17]> net (float[rows, 2] x) => (float[rows, 2] y)'
LARGE = 100  # the plain model doubles what is larger


def model(path: Path, body: str) -> Path:
    onnx.save(onnx.parser.parse_model(f"{HEADER} {{ {body} }}"), str(path))
    return path


def plain(path: Path) -> Path:
    """The absolute values of two numbers; what is larger than ``LARGE`` is doubled."""
    return model(
        path, f"a = Abs(x) one = Constant<value_float = {LARGE}.0>() more = Sub(a, one) add = Relu(more) y = Add(a, add)"
    )


def wrong_at_a_flag(path: Path) -> Path:
    """The same, but the second column is taken for 0."""
    ends = "keep = Constant<value_floats = [1.0, 0.0]>() k = Mul(x, keep) a = Abs(k)"
    return model(path, f"{ends} one = Constant<value_float = {LARGE}.0>() more = Sub(a, one) add = Relu(more) y = Add(a, add)")


def wrong_where_large(path: Path) -> Path:
    return model(path, "y = Abs(x)")


def rows(path: Path, count: int = 2000, *, large: int | None = None) -> Path:
    """Write rows of one number and a flag that is never set; one row far down may be large."""
    x = np.zeros((count, 2), np.float32)
    x[:, 0] = np.random.default_rng(1).normal(size=count)
    if large is not None:
        x[large, 0] = 5 * LARGE
    np.save(path, x)
    return path


def streamed(path: Path, **told: Any) -> CaseSet:
    return CaseSet.of_files(SIGNATURE, [path], StreamOptions(batch_rows=700), **told)


def arrays(cases: Iterable[Batch]) -> list[tuple[str, str, Array]]:
    return [(batch.name, batch.origin, batch.inputs["x"]) for batch in cases]


def alike(first: Sequence[tuple[str, str, Array]], second: Sequence[tuple[str, str, Array]]) -> bool:
    pairs = list(zip(first, second, strict=True))
    return all(a[:2] == b[:2] and np.array_equal(a[2], b[2]) for a, b in pairs)


def test_every_iteration_gives_the_same_cases(tmp_path: Path) -> None:
    cases = streamed(rows(tmp_path / "x.npy"))
    assert alike(arrays(cases), arrays(cases))
    assert alike(arrays(cases), arrays(streamed(tmp_path / "x.npy")))


def test_all_rows_come_in_parts_then_other_sizes_then_edge_cases(tmp_path: Path) -> None:
    found = list(streamed(rows(tmp_path / "x.npy")))
    given = [batch for batch in found if batch.origin == "given"]
    assert [batch.rows for batch in given] == [700, 700, 600] and found[:3] == given
    assert {batch.rows for batch in found[3:]} >= {0, 1, 3, 65, 512}
    names = [batch.name for batch in found]
    assert names[-2:] == ["generated, equal rows", "generated, constant inputs varied"]
    varied = found[-1].inputs["x"]
    assert set(np.unique(varied[:, 1])) == {0.0, 1.0}


def test_the_first_cases_differ_in_the_rows_of_the_files_alone(tmp_path: Path) -> None:
    cases = streamed(rows(tmp_path / "x.npy"))
    few = cases.first()
    assert not cases.whole and [batch.rows for batch in few if batch.origin == "given"] == [64, 5]
    made = [batch for batch in cases if batch.origin == "generated"]
    assert alike(arrays(few[2:]), arrays(made))
    assert cases.notes == ["x.npy: the first 64 of 2,000 rows describe the model"]


def test_without_samples_one_is_made(tmp_path: Path) -> None:
    cases = CaseSet(SIGNATURE)
    assert cases.whole and not cases.given
    found = list(cases)
    assert alike(arrays(cases.first()), arrays(found)) and {batch.origin for batch in found} == {"generated"}


def test_columns_of_the_metrics_go_beside_the_inputs() -> None:
    sample = Batch(name="s", inputs={"x": np.ones((4, 2), np.float32)})
    found = list(CaseSet(SIGNATURE, columns=["x"], samples=[sample]))
    assert np.array_equal(found[0].columns["x"], sample.inputs["x"])
    assert not any(batch.columns for batch in found[1:])


def test_ranges_of_the_user_are_tried_once_more() -> None:
    sample = Batch(name="s", inputs={"x": np.ones((4, 2), np.float32)})
    names = [batch.name for batch in CaseSet(SIGNATURE, ranges={"x": (0.0, 9.0)}, samples=[sample])]
    assert "generated, values from the ranges given" in names


def test_a_sample_that_does_not_fit_is_refused() -> None:
    sample = Batch(name="s", inputs={"x": np.ones((4, 3), np.float32)})
    with pytest.raises(UsageError, match="x"):
        list(CaseSet(SIGNATURE, samples=[sample]))


def generated(comparison: Any) -> list[tuple[str, dict[str, int]]]:
    return [(case.name, dict(case.sizes)) for case in comparison.cases if case.origin == "generated"]


def test_convert_package_optimize_and_validate_judge_on_the_same_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, samples = plain(tmp_path / "m.onnx"), rows(tmp_path / "x.npy")
    sourcing = SourcingOptions(inputs=[samples])
    converted = convert(str(source), tmp_path / "c.onnx", ConvertOptions(sourcing=sourcing))
    packaged = package(str(tmp_path / "c.onnx"), PackageOptions(repository=tmp_path / "r"), ConvertOptions(sourcing=sourcing))
    assert packaged.comparison is not None
    same = Proposal(name="same", guarantee="exact", make=lambda _, folder: more_nodes(folder / "model.onnx"))
    monkeypatch.setattr(optimizing, "proposals", lambda _threads: [same])
    monkeypatch.setattr(optimizing, "slower", lambda *_: False)
    optimized = optimizing.optimize(tmp_path / "c.onnx", tmp_path / "o.onnx", inputs=[samples], tolerance=Tolerance())
    assert optimized.changed == ["same"]
    report = validate(str(tmp_path / "c.onnx"), [str(tmp_path / "o.onnx")], ValidateOptions(sourcing=sourcing))
    comparisons = [converted.comparison, packaged.comparison, optimized.comparison, report.comparisons[0]]
    assert all(comparison is not None and comparison.verdict == "equal" for comparison in comparisons)
    assert all(generated(comparison) == generated(comparisons[0]) for comparison in comparisons)
    for comparison in comparisons:
        assert comparison is not None and [case for case in comparison.cases if case.name == "x.npy"]


def more_nodes(path: Path) -> Path:
    """The plain model with a node more."""
    made = onnx.load(str(plain(path)))
    made.graph.node[-1].output[0] = "almost"
    made.graph.node.append(onnx.helper.make_node("Identity", ["almost"], ["y"]))
    onnx.save(made, str(path))
    return path


@pytest.mark.parametrize(("write", "large"), [(wrong_at_a_flag, None), (wrong_where_large, 1500)])
def test_an_optimised_file_that_is_wrong_at_an_edge_case_or_in_a_late_row_is_refused(
    write: Any, large: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = Proposal(name="wrong", guarantee="exact", make=lambda _, folder: write(folder / "model.onnx"))
    monkeypatch.setattr(optimizing, "proposals", lambda _threads: [wrong])
    samples = rows(tmp_path / "x.npy", large=large)
    with pytest.raises(DisagreementError, match="nothing was written"):
        optimizing.optimize(plain(tmp_path / "m.onnx"), tmp_path / "o.onnx", inputs=[samples], tolerance=Tolerance())
    assert not (tmp_path / "o.onnx").exists()


@pytest.mark.parametrize(("write", "large"), [(wrong_at_a_flag, None), (wrong_where_large, 1500)])
def test_a_model_that_is_rewritten_wrongly_at_an_edge_case_or_in_a_late_row_is_not_packaged(
    write: Any, large: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write(tmp_path / "wrong.onnx")

    def opened(path: Path, *, level: Any, name: str) -> OnnxRuntimeRunner:
        return OnnxRuntimeRunner(other if level == "all" else path, level=level, name=name)

    monkeypatch.setattr(checking, "OnnxRuntimeRunner", opened)
    sourcing = SourcingOptions(inputs=[rows(tmp_path / "x.npy", large=large)])
    with pytest.raises(DisagreementError, match="not packaged"):
        package(str(plain(tmp_path / "m.onnx")), PackageOptions(repository=tmp_path / "r"), ConvertOptions(sourcing=sourcing))
