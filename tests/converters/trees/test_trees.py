"""Tree ensembles on rows that lie on the thresholds and next to them: not one row may take another branch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import threadpoolctl

from portinf.converters.trees.estimators import routes
from portinf.converters.trees.reader import read_ensemble
from portinf.core.signature import Axis, Signature, TensorSpec, dtype_by_numpy
from portinf.sources.detect import Found
from portinf.sources.model import Declared, SourceOptions
from portinf.sources.routes import ExportOptions
from portinf.sources.trees.boosters import booster_source
from portinf.sources.trees.estimator import EstimatorSource
from tests.models import tree_models

MODELS = [
    *("forest", "forest3", "forest_nan", "forest_two_outputs", "forest_regressor2", "tree", "isolation"),
    *("boosting", "boosting3", "boosting_exponential", "boosting_regressor"),
    *("histogram", "histogram3", "histogram_regressor"),
    *("xgboost", "xgboost3", "xgboost_sentinel", "xgboost_stopped", "xgboost_dart", "xgboost_poisson"),
    *("xgboost_two", "xgboost_forest", "xgboost_categories"),
    *("lightgbm", "lightgbm3", "lightgbm_ova", "lightgbm_regressor", "lightgbm_forest", "lightgbm_zeros"),
    "lightgbm_categories",
]
NAN_ALLOWED = ("forest_nan", "histogram", "xgboost", "lightgbm")


def source_of(name: str, dtype: str) -> EstimatorSource:
    samples = [Declared(name="X", dtype=dtype, shape=(4, tree_models.FEATURES))]
    options = SourceOptions(found=Found(format="factory", path=Path()), samples=samples)
    model = getattr(tree_models, name)()
    return EstimatorSource(model, options) if hasattr(model, "fit") else booster_source(model, options)


def on_the_edge(source: EstimatorSource, dtype: str) -> Any:
    """Return rows with one value on a threshold, the next number below or above, or halfway between two floats."""
    read = read_ensemble(source.model)
    assert read is not None
    values: list[tuple[int, float]] = []
    for tree in read.ensemble.trees:
        for feature, threshold in zip(tree.feature[~tree.leaf], tree.threshold[~tree.leaf], strict=True):
            if not np.isfinite(threshold):  # all but missing values go one way
                continue
            near, single = np.array(threshold).astype(dtype), np.float32(threshold)
            steps = [np.nextafter(near, np.array(end, dtype)) for end in (-np.inf, np.inf)]
            halves = [(np.float64(single) + np.nextafter(single, np.float32(end))) / 2 for end in (-np.inf, np.inf)]
            values += [(int(feature), float(value)) for value in (near, *steps, single, *halves)]
    rows = np.random.default_rng(0).normal(size=(len(values) + 100, tree_models.FEATURES)).astype(dtype)
    for row, (feature, value) in zip(rows, values, strict=False):
        row[feature] = value
    return rows


def exported(source: EstimatorSource, rows: Any, folder: Path) -> tuple[dict[str, Any], list[Any]]:
    """Return the answers of the source and of the ONNX file, which is checked to come from the first route."""
    answers = source.infer({"X": rows})
    columns = (Axis(label="n"), Axis(size=rows.shape[1]))
    outputs = tuple(
        TensorSpec(
            name=name,
            dtype=dtype_by_numpy(str(array.dtype)).numpy,
            shape=(Axis(label="n"), *(Axis(size=n) for n in array.shape[1:])),
        )
        for name, array in answers.items()
    )
    signature = Signature(inputs=(TensorSpec(name="X", dtype=str(rows.dtype), shape=columns),), outputs=outputs)
    route = next(iter(routes(source, ExportOptions(signature=signature, example=folder / "none.npz", opset=18))))
    assert route.export is not None, route.reason
    session = onnxruntime.InferenceSession(str(route.export(folder)), providers=["CPUExecutionProvider"])
    return answers, session.run(None, {"in_0": rows})


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", MODELS)
def test_no_row_takes_another_branch(name: str, dtype: str, tmp_path: Path) -> None:
    with threadpoolctl.threadpool_limits(1):
        compare(name, dtype, tmp_path)


def compare(name: str, dtype: str, tmp_path: Path) -> None:
    source = source_of(name, dtype)
    rows = on_the_edge(source, dtype)
    if name in NAN_ALLOWED:
        rows[np.random.default_rng(1).random(rows.shape) < 0.1] = np.nan
    if name == "lightgbm_zeros":
        rows[np.random.default_rng(1).random(rows.shape) < 0.2] = 0
    answers, found = exported(source, rows, tmp_path)
    for (key, expected), got in zip(answers.items(), found, strict=True):
        assert got.shape == expected.shape, key
        if expected.dtype.kind == "f":
            # one rounding of float in the answer; XGBoost adds in float itself; double: another order of summation
            bound = 1e-13 if expected.dtype == np.float64 else 5e-6 if name.startswith("xgboost") else 2e-7
            np.testing.assert_allclose(got, expected, rtol=bound, atol=bound)
        else:
            np.testing.assert_array_equal(got, expected)
