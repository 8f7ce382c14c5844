"""A conversion is judged outside the samples' range too: refused or noted by the operator's name, with the way out."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest

from portinf.conversion.convert import ConvertOptions, ConvertResult, convert
from portinf.conversion.options import SourcingOptions
from portinf.core.batch import Array, Arrays, Batch
from portinf.core.errors import CannotError, DisagreementError
from portinf.onnx_graph.model_file import read_onnx
from portinf.sources.process.parent import SourceProcess

FLOAT, INT = "float[n,4] {}", "int64[n,4] {}"
LOG_SIGMOID = "m = Neg (x) s = Softplus (m) y = Neg (s)"
NAIVE = "a = Sigmoid (x) y = Log (a)"
FIVE = "five = Constant <value_int: int = 5> ()"
FLOORED = f"{FIVE} zero = Constant <value_int: int = 0> () r = Mod (x, five) d = Sub (x, r) y = Div (d, five)"
TRUNCATED = f"{FIVE} y = Div (x, five)"


def _write(path: Path, nodes: str, kind: str, given: str = "x") -> Path:
    nodes = nodes if given == "x" else f"x = Identity ({given}) {nodes}"
    text = f'<ir_version: 8, opset_import: ["" : 18]> g ({kind.format(given)}) => ({kind.format("y")}) {{ {nodes} }}'
    onnx.save(onnx.parser.parse_model(text), str(path))
    return path


class Conversion:
    """Converts one graph with an exporter that writes another."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder, self._patch = folder, monkeypatch
        self.out = folder / "out.onnx"

    def run(self, source: str, exported: str, kind: str = FLOAT, **options: object) -> ConvertResult:
        """Convert, with samples of two sizes."""
        wrong = _write(self._folder / "wrong.onnx", exported, kind, "in_0")

        def export(process: SourceProcess, route: int) -> Path:
            folder = process.folder / f"written_{route}"
            folder.mkdir()
            return Path(shutil.copy(wrong, folder / "model.onnx"))

        self._patch.setattr(SourceProcess, "export", export)
        rng = np.random.default_rng(0)
        rows = [rng.normal(size=(n, 4)).astype(np.float32) if kind == FLOAT else rng.integers(0, 21, (n, 4)) for n in (5, 7)]
        batches = [Batch(name=f"sample {number}", inputs={"x": row}) for number, row in enumerate(rows)]
        force = bool(options.pop("force", False))
        sourcing = SourcingOptions(batches=batches, **options)  # type: ignore[arg-type]
        path = _write(self._folder / "right.onnx", source, kind)
        return convert(str(path), self.out, ConvertOptions(sourcing=sourcing, force=force))


@pytest.fixture
def conversion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Conversion:
    """Return what converts in the test's folder."""
    return Conversion(tmp_path, monkeypatch)


def test_an_unstable_formula_is_refused_by_name_with_the_way_out(conversion: Conversion) -> None:
    with pytest.raises(DisagreementError, match=r"inner extremes: Log of Sigmoid \(argument 0; node .*file -inf") as caught:
        conversion.run(LOG_SIGMOID, NAIVE)
    assert "or, if the model never gets such inputs, add: --value-range x=-" in str(caught.value)
    assert not conversion.out.exists()


def test_the_users_range_bounds_what_is_asked(conversion: Conversion) -> None:
    result = conversion.run(LOG_SIGMOID, NAIVE, ranges={"x": (-8.0, 8.0)})
    assert [check.status for check in result.comparison.checks] == ["passed"]
    with pytest.raises(DisagreementError, match="Log of Sigmoid"):
        conversion.run(LOG_SIGMOID, NAIVE, ranges={"x": (-50.0, 8.0)})


def test_negative_whole_numbers_are_tried_and_the_division_is_named(conversion: Conversion) -> None:
    with pytest.raises(
        DisagreementError, match=r"inner extremes: Div \(whole numbers, one of them negative.*--value-range x=0:20"
    ):
        conversion.run(FLOORED, TRUNCATED, INT)
    with pytest.raises(
        DisagreementError, match=r"values from the ranges given .*look at Div \(whole numbers, one of them negative"
    ):
        conversion.run(FLOORED, TRUNCATED, INT, ranges={"x": (-40.0, 40.0)})
    assert conversion.run(FLOORED, TRUNCATED, INT, ranges={"x": (0.0, 40.0)}).comparison.verdict == "equal"


def test_no_way_out_is_offered_for_numbers_that_the_samples_enclose(conversion: Conversion) -> None:
    big = "k = Constant <value_float: float = 1e6> ()"
    by_hand = "n = Neg (x) a = Exp (x) b = Exp (n) d = Sub (a, b) h = Constant <value_float: float = 0.5> () s = Mul (d, h)"
    with pytest.raises(DisagreementError, match="Sub of Exp") as caught:
        conversion.run(f"{big} s = Sinh (x) y = Mul (s, k)", f"{big} {by_hand} y = Mul (s, k)")
    assert "--value-range" not in str(caught.value)


def test_a_stranger_difference_is_a_note_that_the_file_keeps(conversion: Conversion) -> None:
    result = conversion.run("y = Identity (x)", "f = Cast <to: int = 1> (x) y = Cast <to: int = 7> (f)", INT)
    notes = [
        note for note in result.notes if note.startswith("outside the samples' range the file differs from the source: Cast")
    ]
    assert len(notes) == 1
    assert notes[0] in read_onnx(conversion.out).provenance["notes"]
    assert [(check.name, check.status) for check in result.comparison.checks] == [("inner extremes", "reported")]


def test_an_honest_file_gets_no_note(conversion: Conversion) -> None:
    result = conversion.run(LOG_SIGMOID, LOG_SIGMOID)
    assert not any("outside the samples" in note for note in result.notes)
    assert "file and source agree" in result.comparison.checks[0].text


def test_force_takes_the_file_with_the_judgement_in_it(conversion: Conversion) -> None:
    result = conversion.run(LOG_SIGMOID, NAIVE, force=True)
    assert result.comparison.verdict == "disagrees"
    assert "Log of Sigmoid" in read_onnx(conversion.out).provenance["validation"]["summary"]


def test_a_source_that_dies_far_out_is_an_error_with_the_way_out(
    conversion: Conversion, monkeypatch: pytest.MonkeyPatch
) -> None:
    infer = SourceProcess.infer

    def dying(self: SourceProcess, inputs: Mapping[str, Array], *, double: bool = False) -> Arrays:
        if inputs["x"].size and np.abs(inputs["x"]).max() > 20:
            raise CannotError("the source's process ended with signal 11 during 'infer'")
        return infer(self, inputs, double=double)

    monkeypatch.setattr(SourceProcess, "infer", dying)
    with pytest.raises(CannotError, match=r"outside the samples' range .*signal 11.*--value-range x="):
        conversion.run(LOG_SIGMOID, LOG_SIGMOID)
