"""XGBoost's and LightGBM's own models and files, under the interface of scikit-learn; no pickle is involved."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from portinf.core.batch import Array
from portinf.core.errors import PortinfError, UnreadableError, first_line
from portinf.core.optional import require
from portinf.sources.model import SourceOptions
from portinf.sources.trees.estimator import EstimatorSource

__all__ = ["BoosterModel", "booster_source", "load_lightgbm", "load_xgboost"]


class BoosterModel:
    """A booster as an estimator: objectives of classification give labels 0, 1, ... and probabilities.

    Args:
        booster: ``xgboost.Booster`` or ``lightgbm.Booster``.
        library: ``xgboost`` or ``lightgbm``.
        objective: as the booster names it.
        features: number of columns.
        names: of the columns, where the booster was trained with names.
        classes: number of classes, 0 for a regression.
    """

    def __init__(
        self, booster: Any, *, library: str, objective: str, features: int, names: Sequence[str], classes: int
    ) -> None:
        self.booster, self.library, self.objective = booster, library, objective
        self.n_features_in_ = features
        self._estimator_type = "classifier" if classes else "regressor"
        if names:
            self.feature_names_in_ = np.array(names, dtype=object)
        if classes:
            self.classes_ = np.arange(classes)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = require("sklearn.utils", "trees")
        kind = self._estimator_type
        return tags.Tags(
            estimator_type=kind,
            target_tags=tags.TargetTags(required=True),
            classifier_tags=tags.ClassifierTags() if kind == "classifier" else None,
            regressor_tags=tags.RegressorTags() if kind == "regressor" else None,
        )

    def _raw(self, data: Any) -> Array:
        if self.library == "lightgbm":
            return np.asarray(self.booster.predict(data, validate_features=False))
        xgboost = require("xgboost", "trees")
        names = list(data.columns) if hasattr(data, "columns") else self.booster.feature_names
        matrix = xgboost.DMatrix(data, missing=np.nan, feature_names=names, feature_types=self.booster.feature_types)
        margin = self.objective == "multi:softmax"
        answer = np.asarray(self.booster.predict(matrix, output_margin=margin))
        return _softmax(answer) if margin else answer

    def predict(self, data: Any) -> Array:
        """Return labels [rows] of a classifier, else what the booster predicts."""
        if self._estimator_type == "regressor":
            return self._raw(data)
        return np.asarray(self.classes_[np.argmax(self._probabilities(data), axis=1)])

    def _probabilities(self, data: Any) -> Array:
        answer = self._raw(data)
        return np.stack([1 - answer, answer], axis=1) if answer.ndim == 1 else answer

    def __getattr__(self, name: str) -> Any:
        """Offer ``predict_proba`` [rows, classes] for classifiers alone."""
        if name == "predict_proba" and self.__dict__.get("_estimator_type") == "classifier":
            return self._probabilities
        raise AttributeError(name)


def _softmax(margins: Array) -> Array:
    powers = np.exp(margins - margins.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def booster_source(booster: Any, options: SourceOptions) -> EstimatorSource:
    """Wrap a booster of XGBoost or LightGBM."""
    library = type(booster).__module__.partition(".")[0]
    model = _of_xgboost(booster) if library == "xgboost" else _of_lightgbm(booster)
    notes = []
    if model._estimator_type == "classifier":
        notes.append(
            f"the booster's objective is {model.objective}: its answers are label and probabilities of classes 0, 1, ..."
        )
    best = getattr(booster, "best_iteration", None) if library == "xgboost" and booster.attr("best_iteration") else None
    if best is not None and best + 1 < booster.num_boosted_rounds():
        notes.append(
            f"training stopped early at iteration {best}, and Booster.predict uses all {booster.num_boosted_rounds()}; "
            f"return booster[: {best + 1}] from a factory to convert the best one"
        )
    return EstimatorSource(model, options, framework=library, notes=notes)


def _of_xgboost(booster: Any) -> BoosterModel:
    learner = json.loads(booster.save_config())["learner"]
    objective = str(learner["objective"]["name"])
    several = int(learner["learner_model_param"]["num_class"])
    binary = objective in ("binary:logistic", "binary:hinge") and int(learner["learner_model_param"].get("num_target", 1)) == 1
    return BoosterModel(
        booster,
        library="xgboost",
        objective=objective,
        features=booster.num_features(),
        names=booster.feature_names or (),
        classes=several or (2 if binary else 0),
    )


def _of_lightgbm(booster: Any) -> BoosterModel:
    head = booster.model_to_string(num_iteration=1).partition("\nTree=")[0]
    fields = dict(line.split("=", 1) for line in head.splitlines() if "=" in line)
    objective = fields.get("objective", "custom").split()[0]
    names = fields["feature_names"].split()
    plain = names == [f"Column_{k}" for k in range(len(names))]
    return BoosterModel(
        booster,
        library="lightgbm",
        objective=objective,
        features=booster.num_feature(),
        names=() if plain else names,
        classes={"binary": 2, "multiclass": int(fields["num_class"]), "multiclassova": int(fields["num_class"])}.get(
            objective, 0
        ),
    )


def load_lightgbm(options: SourceOptions) -> EstimatorSource:
    """Load a text file that ``Booster.save_model`` wrote.

    Raises:
        UnreadableError: it is damaged.
    """
    lightgbm = require("lightgbm", "trees")
    path = options.found.path
    text = path.read_text(encoding="utf-8", errors="replace")
    if "\nend of trees" not in text:
        raise UnreadableError(f"{path}: a damaged or truncated LightGBM model: it has no line 'end of trees'")
    try:
        booster = lightgbm.Booster(model_file=str(path))
    except Exception as error:
        raise UnreadableError(f"{path}: LightGBM {lightgbm.__version__} cannot load it: {first_line(error)}") from error
    return booster_source(booster, options)


def load_xgboost(options: SourceOptions) -> EstimatorSource:
    """Load a JSON or UBJSON file that ``save_model`` of a Booster or of an estimator wrote.

    Raises:
        UnreadableError: it is damaged.
    """
    xgboost = require("xgboost", "trees")
    path = options.found.path
    try:
        booster = xgboost.Booster(model_file=_named(path))
        kind = json.loads(booster.attr("scikit_learn") or "{}").get("_estimator_type")
        if kind not in ("classifier", "regressor"):
            return booster_source(booster, options)
        model = xgboost.XGBClassifier() if kind == "classifier" else xgboost.XGBRegressor()
        model.load_model(_named(path))
    except PortinfError:
        raise
    except Exception as error:
        raise UnreadableError(f"{path}: XGBoost {xgboost.__version__} cannot load it: {_said(error)}") from error
    return EstimatorSource(model, options, framework="xgboost")


def _named(path: Path) -> Any:
    """Return the content: XGBoost recognises the format of a path by its suffix, and that of a buffer by its first bytes."""
    return bytearray(path.read_bytes())


def _said(error: Exception) -> str:
    """Return what XGBoost's own check says, without place and stack of its sources."""
    return re.sub(r"^\[[\d:]+\] \S+:\d+: ", "", first_line(error))
