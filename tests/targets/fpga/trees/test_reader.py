"""The trees of ONNX files that portinf writes, read back: every answer again, and what conifer cannot take refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from portinf.core.errors import CannotError
from portinf.fixedpoint.tree_emulator import answers, joined, walk
from portinf.runners.onnx import OnnxRuntimeRunner
from portinf.targets.fpga.trees.reader import FloatTrees, holds_trees, read_trees
from tests.models.tree_files import written

TAKEN = [
    *("boosting", "boosting3", "boosting_exponential", "boosting_regressor", "histogram", "histogram3", "histogram_regressor"),
    *("xgboost", "xgboost3", "xgboost_dart", "xgboost_poisson", "xgboost_forest"),
    *("lightgbm", "lightgbm3", "lightgbm_ova", "lightgbm_regressor", "lightgbm_forest"),
]
LEAVES = "its leaves hold one number for each of"
REFUSED = {
    "forest": LEAVES,
    "forest_two_outputs": LEAVES,
    "forest_regressor2": LEAVES,
    "xgboost_two": "two sums (two targets)",
    "xgboost_sentinel": "it turns some numbers into missing values, and conifer's trees have none",
    "lightgbm_zeros": "it turns some numbers into missing values, and conifer's trees have none",
    "xgboost_categories": "it has categorical splits",
    "lightgbm_categories": "it has categorical splits",
    "isolation": "Pow (tensor 'pow__22'): it stands after the trees, and is not computed there",
    "pipeline_xgboost": "it stands before the trees, and conifer takes trees alone",
}


def computed(trees: FloatTrees, x: np.ndarray) -> dict[str, np.ndarray]:
    """Answer rows with the trees in float64."""
    shape = trees.shape
    leaves = walk(shape, joined(shape, {shape.inputs[0].name: x}), trees.threshold)
    sums = [trees.start[k] + trees.value[leaves][:, shape.target == k].sum(axis=1) for k in range(shape.targets)]
    return answers(trees, np.stack(sums, axis=1))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "dtype"),
    [*((name, "float32") for name in TAKEN), *((name, "float64") for name in ("boosting3", "lightgbm", "xgboost_regressor"))],
)
def test_the_trees_answer_as_their_file(name: str, dtype: str, tmp_path: Path) -> None:
    path, signature = written(name, tmp_path, dtype)
    assert holds_trees(path)
    x = np.random.default_rng(4).normal(size=(800, 5)).astype(dtype)
    found = computed(read_trees(path, signature), x)
    with OnnxRuntimeRunner(path) as runner:
        expected = runner.infer({signature.inputs[0].name: x})
    for key, array in expected.items():
        assert found[key].shape == array.shape
        if array.dtype.kind == "f":
            np.testing.assert_allclose(found[key], array, rtol=1e-5, atol=1e-5)
        else:
            np.testing.assert_array_equal(found[key], array)


@pytest.mark.parametrize("name", REFUSED)
def test_what_conifer_cannot_take_is_one_line(name: str, tmp_path: Path) -> None:
    path, signature = written(name, tmp_path)
    with pytest.raises(CannotError) as caught:
        read_trees(path, signature)
    assert REFUSED[name] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_threshold_beyond_all_numbers_is_no_test(tmp_path: Path) -> None:
    """XGBoost writes infinite thresholds where only missing values go the other way: no format holds them."""
    path, signature = written("xgboost", tmp_path)
    model = onnx.load(path)
    node = next(node for node in model.graph.node if node.op_type == "TreeEnsembleRegressor")
    values = next(item for item in node.attribute if item.name == "nodes_values")
    modes = next(item for item in node.attribute if item.name == "nodes_modes")
    inner = [place for place, mode in enumerate(modes.strings) if mode != b"LEAF"]
    for place, end in zip(inner[:4], (np.inf, -np.inf, np.inf, -np.inf), strict=True):
        values.floats[place] = end
    onnx.save(model, path)
    trees = read_trees(path, signature)
    assert np.isfinite(trees.threshold).all()
    x = np.random.default_rng(4).normal(size=(500, 5)).astype(np.float32)
    with OnnxRuntimeRunner(path) as runner:
        expected = runner.infer({signature.inputs[0].name: x})
    for key, array in expected.items():
        np.testing.assert_allclose(computed(trees, x)[key], array, atol=1e-5)
