"""Python branches on a size: right at every size, or refused, or the largest length is recorded and said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from portinf.conversion.beyond import cause, way_out
from portinf.conversion.convert import ConvertOptions, ConvertResult, convert
from portinf.conversion.options import SourcingOptions
from portinf.core.batch import Batch
from portinf.core.errors import DisagreementError, UsageError
from portinf.onnx_graph.model_file import read_onnx
from portinf.sources.routes import Assumption
from portinf.validation.results import CaseResult, Comparison
from tests.conftest import KERAS_MODELS

MODELS = KERAS_MODELS.parent
TORCH, KERAS = MODELS / "size_models.py", MODELS / "keras_sizes.py"


def events(*lengths: int, name: str = "x", before: tuple[int, ...] = ()) -> list[Batch]:
    rng = np.random.default_rng(3)
    return [Batch(name=f"{n}", inputs={name: rng.normal(size=(*before, n, 4)).astype(np.float32)}) for n in lengths]


def converted(source: object, folder: Path, batches: list[Batch] | None = None, **told: Any) -> ConvertResult:
    sourcing = SourcingOptions(batches=events(6, 9) if batches is None else batches, **told)
    return convert(str(source), folder / "m.onnx", ConvertOptions(sourcing=sourcing))


def refused(source: object, folder: Path, batches: list[Batch] | None = None, **told: Any) -> str:
    with pytest.raises(DisagreementError) as caught:
        converted(source, folder, batches, **told)
    assert not (folder / "m.onnx").exists()
    return str(caught.value)


def test_a_branch_beyond_every_size_tried_is_refused_with_its_line_and_the_way_out(tmp_path: Path) -> None:
    said = refused(f"{TORCH}:scale", tmp_path)
    assert "it was exported for x_0 < 100 (size_models.py, line " in said
    assert "x.size(0) < self.limit" in said
    assert said.endswith("add: --maximum x_0=99")


def test_a_largest_length_that_the_user_accepts_is_recorded_and_kept_to(tmp_path: Path) -> None:
    result = converted(f"{TORCH}:scale", tmp_path, maximums={"x_0": 99})
    assert result.artifact.signature.inputs[0].shape_text() == "[x_0<=99, 4]"
    assert read_onnx(tmp_path / "m.onnx").signature == result.artifact.signature
    assert max(case.sizes["x_0"] for case in result.comparison.cases) == 99
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"))
    assert session.run(None, events(99)[0].inputs)[0].shape == (99, 4)
    with pytest.raises(Exception, match="input x is valid up to 99 along axis 0"):  # also on a server
        session.run(None, events(100)[0].inputs)
    with pytest.raises(UsageError, match="axis 'x_0' has length 9, and this model is valid up to 8 only"):
        converted(f"{TORCH}:scale", tmp_path, maximums={"x_0": 8})


def test_a_branch_of_which_one_side_is_right_everywhere_is_exported_there(tmp_path: Path) -> None:
    result = converted(f"{TORCH}:lead", tmp_path)  # the leading 200 of 6 are all
    assert result.artifact.signature.axes["x_0"].maximum is None
    assert {200, 201} <= {case.sizes["x_0"] for case in result.comparison.cases if case.status == "equal"}


def test_what_the_source_itself_does_not_take_is_recorded(tmp_path: Path) -> None:
    table = converted(f"{TORCH}:table", tmp_path)
    assert table.artifact.signature.axes["x_0"].maximum == 300
    assert 300 in {case.sizes["x_0"] for case in table.comparison.cases if case.status == "equal"}
    assert any("the largest length x_0=300 is recorded" in note and "the model fails" in note for note in table.notes)
    blocks = converted(f"{TORCH}:blocks", tmp_path, events(16, 40))
    assert blocks.artifact.signature.axes["x_0"].multiple == 8
    assert any("x_0 is a multiple of 8" in note for note in blocks.notes)


def test_a_length_baked_in_by_len_is_right_by_a_strict_export(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def graph(n: int, e: int) -> dict[str, Any]:
        return {
            "atoms": rng.normal(size=(n, 4)).astype(np.float32),
            "source": rng.integers(0, n, e),
            "target": rng.integers(0, n, e),
        }

    result = converted(f"{TORCH}:messages", tmp_path, [Batch(name=str(n), inputs=graph(n, 2 * n)) for n in (5, 8)])
    assert result.route == "torch.onnx dynamo, strict"
    assert result.artifact.signature.axes["atoms_0"].maximum is None
    assert len(result.tried) == 2
    assert all("fixed the length of atoms_0 at" in why and "torch.zeros(len(atoms), 4)" in why for _, why in result.tried)
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"))
    assert session.run(None, graph(300, 700))[0].shape == (300, 4)


def test_keras_layers_that_know_the_length_only_when_they_run(tmp_path: Path) -> None:
    said = refused(f"{KERAS}:cut", tmp_path, events(6, 9, before=(2,)))
    assert "Python code may decide by it (keras_sizes.py, line " in said
    assert said.endswith("add: --maximum x_1=200")


@pytest.mark.long
@pytest.mark.parametrize("name", ["condition"])
def test_keras_conditions_in_the_graph_are_right(tmp_path: Path, name: str) -> None:
    assert converted(f"{KERAS}:{name}", tmp_path, events(6, 9, before=(2,))).artifact.signature.axes["x_1"].maximum is None


@pytest.mark.long
def test_functions_of_tensorflow_are_asked_before_they_are_exported(tmp_path: Path) -> None:
    assert refused(f"{KERAS}:function", tmp_path).endswith("add: --maximum x_0=200")


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "way_out"),
    [
        ("window", ""),
        ("even", ""),
        ("chunks", "--maximum x_0=512"),
        ("hidden", "--maximum x_0=170"),
    ],
)
def test_other_branches_are_refused(tmp_path: Path, name: str, way_out: str) -> None:
    said = refused(f"{TORCH}:{name}", tmp_path)
    assert "size_models.py, line " in said
    assert ("--maximum" in said) == bool(way_out)
    assert said.endswith(way_out)


@pytest.mark.long
def test_a_relation_of_two_axes_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    batches = [
        Batch(name=str(n), inputs={"tracks": rng.normal(size=(n, 4)), "hits": rng.normal(size=(n + 5, 4))}) for n in (6, 9)
    ]
    said = refused(f"{TORCH}:relation", tmp_path, batches)
    assert "it was exported for tracks_0 <= hits_0 (size_models.py, line " in said


@pytest.mark.long
def test_a_branch_between_the_samples_and_the_longest_that_is_tried_follows_the_samples(tmp_path: Path) -> None:
    said = refused(f"{TORCH}:scale", tmp_path, events(20, 30))  # up to 240 are tried
    assert said.endswith("add: --maximum x_0=99")
    assert converted(f"{TORCH}:scale", tmp_path, events(20, 30), maximums={"x_0": 99}).comparison.verdict == "equal"


@pytest.mark.long
@pytest.mark.parametrize(("name", "largest"), [("topk", None), ("pad", None), ("bins", None), ("first", None), ("causal", 256)])
def test_honest_models_stay(tmp_path: Path, name: str, largest: int | None) -> None:
    result = converted(f"{TORCH}:{name}", tmp_path)
    assert result.artifact.signature.axes["x_0"].maximum == largest
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"))
    assert len(session.run(None, {"x": events(largest or 1000)[0].inputs["x"]})[0])


@pytest.mark.long
def test_a_branch_on_the_length_of_a_second_axis(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    batches = [Batch(name=str(n), inputs={"wave": rng.normal(size=(n, 2 * n)).astype(np.float32)}) for n in (4, 7)]
    assert refused(f"{TORCH}:kernel", tmp_path, batches).endswith("add: --maximum wave_1=150")
    kept = converted(f"{TORCH}:kernel", tmp_path, batches, maximums={"wave_1": 150})
    assert kept.artifact.signature.inputs[0].shape_text() == "[wave_0, 1<=wave_1<=150]"


@pytest.mark.long
def test_torchscript_and_exported_programs(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from tests.models import size_models

    torch.jit.script(size_models.Scale().eval()).save(tmp_path / "scale.pt")
    scripted = converted(tmp_path / "scale.pt", tmp_path)
    assert scripted.route == "torch.onnx TorchScript"  # the other keeps one branch
    assert 576 in {case.sizes["x_0"] for case in scripted.comparison.cases}
    shapes = ({0: torch.export.Dim.AUTO},)
    program = torch.export.export(size_models.Lead().eval(), (torch.randn(9, 4),), dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "lead.pt2")
    assert converted(tmp_path / "lead.pt2", tmp_path).artifact.signature.inputs[0].shape_text() == "[2<=x_0<=200, 4]"


def comparison(**cases: str) -> Comparison:
    """Return a comparison with cases ``n5="equal"``, ``n9="disagrees"`` and so on, ``given`` for those of the user."""
    found = []
    for name, status in cases.items():
        origin = "given" if name.startswith("given") else "generated"
        sizes = {"n": int("".join(filter(str.isdigit, name)))}
        found.append(CaseResult(name=name, origin=origin, sizes=sizes, status=status))  # type: ignore[arg-type]
    return Comparison(reference="a", candidate="b", cases=tuple(found))


UP_TO = Assumption(text="n <= 200", place="net.py, line 3", elsewhere=({"n": 201},), label="n", largest=200)
NUMBER = Assumption(text="n == 9", elsewhere=({"n": 10},), label="n", least=9, largest=9)


@pytest.mark.parametrize(
    ("cases", "options"),
    [
        ({"given5": "equal", "n72": "equal", "n201": "disagrees"}, "--maximum n=200"),
        ({"given5": "equal", "n72": "equal", "n90": "disagrees"}, "--maximum n=72"),
        ({"n0": "disagrees", "given5": "equal", "n201": "disagrees"}, "--minimum n=1 --maximum n=200"),
        ({"n1": "disagrees", "given5": "equal"}, "--minimum n=2"),
        ({"n3": "disagrees", "given5": "equal"}, ""),
        ({"given5": "equal", "given300": "disagrees"}, ""),
        ({"n300": "equal", "n201": "disagrees"}, ""),
        ({"given5": "equal"}, ""),
    ],
)
def test_the_way_out_leaves_no_wrong_case_in(cases: dict[str, str], options: str) -> None:
    assert way_out(comparison(**cases), [UP_TO]) == options


@pytest.mark.parametrize(
    ("cases", "said"),
    [
        ({"given5": "equal", "n201": "disagrees"}, "it was exported for n <= 200 (net.py, line 3): "),
        ({"given5": "disagrees", "n201": "disagrees", "n9": "equal"}, "the exporter fixed the length of n at 9: "),
        ({"given5": "equal", "n9": "disagrees"}, ""),
        ({"given5": "equal"}, ""),
    ],
)
def test_the_cause_is_what_fails_with_the_file(cases: dict[str, str], said: str) -> None:
    assert cause(comparison(**cases), [UP_TO, NUMBER]) == said
