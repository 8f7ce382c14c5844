"""Every operator of a table: lowered, it is valid ONNX, opens in ONNX Runtime, and answers as before but for the rounding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from portinf.mixed_precision import find_places, load_whole, lower_graph, save_whole
from portinf.ort.session import PlainSession
from tests.mixed_precision.operators import CASES, Case, model, sample

HALF = {"rtol": 2e-2, "atol": 4e-3}  # a few roundings of fp16 (5e-4), more where a difference cancels


def answer(path: Path) -> Any:
    session = PlainSession(path, level="none", threads=1, name="test")
    return session.infer(sample())["y"]


@pytest.mark.parametrize("case", CASES, ids=[f"{number}-{case.name}" for number, case in enumerate(CASES)])
def test_operator(case: Case, tmp_path: Path) -> None:
    onnx.save(model(case), str(tmp_path / "model.onnx"))
    whole = load_whole(tmp_path / "model.onnx")
    places, _ = find_places(whole, "float16")
    assert bool(places) != case.kept or case.name in ("LSTM",)
    expected = answer(tmp_path / "model.onnx")
    for emulate in (False, True):
        made = lower_graph(whole, places, "fp16", emulate=emulate)
        onnx.checker.check_model(made, full_check=True)
        onnx.shape_inference.infer_shapes(made, check_type=True, strict_mode=True)
        assert [v.type.tensor_type.elem_type for v in (*made.graph.input, *made.graph.output)] == [1, 1, case.output]
        found = answer(save_whole(made, tmp_path / "lowered.onnx"))
        np.testing.assert_allclose(found, expected, **HALF)
        if case.name == "positions":
            np.testing.assert_allclose(found, expected, atol=5e-4)
