"""The tree cells of the matrix: XGBoost, LightGBM and scikit-learn, from factories, native files and pickles."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.matrix.cell import Arrays, Cell, Rng, two

MODELS = Path(__file__).parent.parent / "models" / "tree_models.py"
ROWS = (30, 47)
CLASSES = ("label", "probabilities")


def _x(rng: Rng, k: int) -> Arrays:
    return {"X": rng.normal(size=(ROWS[k], 5)).astype(np.float32)}


def _missing(rng: Rng, k: int) -> Arrays:
    x = _x(rng, k)["X"]
    x[rng.random(x.shape) < 0.2] = np.nan
    return {"X": x}


def _double(rng: Rng, k: int) -> Arrays:
    return {"X": rng.normal(size=(ROWS[k], 5))}


def _columns(rng: Rng, k: int) -> Arrays:
    """Columns in the order of the training."""
    region = np.array(["barrel", "endcap", "forward"])[rng.integers(0, 3, ROWS[k])]
    pt, eta = rng.normal(size=(2, ROWS[k])).astype(np.float32)
    return {"pt": pt, "region": region, "eta": eta}


def _models() -> Any:
    from tests.models import tree_models

    return tree_models


def _xgboost(model: str, file: str, *, booster: bool = False) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        made = getattr(_models(), model)()
        (made.get_booster() if booster else made).save_model(folder / file)
        return file

    return write


def _lightgbm(model: str) -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        getattr(_models(), model)().booster_.save_model(folder / "model.txt")
        return "model.txt"

    return write


def _pickled(folder: Path) -> str:
    (folder / "model.pkl").write_bytes(pickle.dumps(_models().boosting3()))
    return "model.pkl"


def _joblib(folder: Path) -> str:
    import joblib

    joblib.dump(_models().pipeline(), folder / "model.joblib", compress=3)
    return "model.joblib"


def _cell(name: str, model: str | Callable[[Path], str], inputs: Callable[[Rng, int], Arrays] = _x, **more: Any) -> Cell:
    source = f"{MODELS}:{model}" if isinstance(model, str) else model
    return Cell(name=name, source=source, inputs=two(inputs), **more)


def _classifier(name: str, model: str | Callable[[Path], str], **more: Any) -> Cell:
    return _cell(name, model, outputs=CLASSES, **more)


CELLS = (
    _classifier("XGBoost classifier, missing values", "xgboost", inputs=_missing, labels=["X_0"], everyday=True),
    _classifier("XGBoost classifier, three classes", "xgboost3"),
    _cell("XGBoost regressor", "xgboost_regressor"),
    _cell("XGBoost regressor, two targets", "xgboost_two"),
    _cell("XGBoost regressor, dart", "xgboost_dart"),
    _classifier("XGBoost random forest", "xgboost_forest"),
    _classifier("XGBoost .json", _xgboost("xgboost", "model.json")),
    _classifier("XGBoost .ubj of a Booster, three classes", _xgboost("xgboost3", "model.ubj", booster=True)),
    _cell("XGBoost .ubj of a Booster, Poisson", _xgboost("xgboost_poisson", "model.ubj", booster=True)),
    _cell(
        "XGBoost, linear booster",
        "xgboost_linear",
        expect="gblinear",
        code=4,
        cure="train with a tree booster, or write the linear function as a model of its own",
    ),
    _classifier("LightGBM classifier, missing values", "lightgbm", inputs=_missing),
    _classifier("LightGBM classifier, three classes of words", "lightgbm3"),
    _cell("LightGBM regressor", "lightgbm_regressor"),
    _cell("LightGBM regressor, random forest", "lightgbm_forest"),
    _classifier("LightGBM .txt", _lightgbm("lightgbm"), inputs=_missing),
    _cell("LightGBM .txt, regressor", _lightgbm("lightgbm_regressor")),
    _classifier("scikit-learn GradientBoosting classifier", "boosting3"),
    _cell("scikit-learn GradientBoosting regressor", "boosting_regressor"),
    _classifier("scikit-learn HistGradientBoosting classifier, missing values", "histogram", inputs=_missing),
    _cell("scikit-learn HistGradientBoosting regressor, gamma", "histogram_regressor"),
    _classifier("scikit-learn RandomForest classifier, words", "forest3"),
    _classifier("scikit-learn RandomForest classifier, float64", "forest3", inputs=_double),
    _cell("scikit-learn RandomForest regressor", "forest_regressor"),
    _cell("scikit-learn IsolationForest", "isolation", outputs=("label", "scores")),
    _classifier("scikit-learn LogisticRegression", "logistic"),
    _classifier("scikit-learn MLPClassifier after StandardScaler", "pipeline_mlp"),
    _classifier("pipeline: StandardScaler, XGBoost", "pipeline_xgboost"),
    _classifier("pipeline: columns by name, one of words", "columns", inputs=_columns, labels=["batch"]),
    _classifier("pickled pipeline (joblib), with permission", _joblib, options=("--allow-pickle",)),
    _classifier("pickled estimator, with permission", _pickled, options=("--allow-pickle",)),
    _cell(
        "pickled estimator, without permission",
        _pickled,
        expect="--allow-pickle",
        code=4,
        cure="--allow-pickle, if the file is trusted, or a factory that loads it",
        everyday=True,
    ),
)
