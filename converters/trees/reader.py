"""Finds out whether a model is an ensemble of trees that portinf writes by itself, and reads it."""

from __future__ import annotations

from typing import Any

import numpy as np

from portinf.converters.trees.answers import Answering
from portinf.converters.trees.lightgbm import read_lightgbm
from portinf.converters.trees.sklearn import read_sklearn_trees
from portinf.converters.trees.xgboost import read_xgboost
from portinf.core.errors import CannotError

__all__ = ["read_ensemble"]


def read_ensemble(model: Any) -> Answering | None:
    """Return the trees of a fitted model, None where it is no ensemble of trees.

    Raises:
        CannotError: it is one, of a kind that cannot be expressed; the message says which.
    """
    bases = {f"{base.__module__}.{base.__name__}" for base in type(model).__mro__}
    if "xgboost.sklearn.XGBModel" in bases:
        return _xgboost(model)
    if "lightgbm.sklearn.LGBMModel" in bases:
        return _lightgbm(model)
    if hasattr(model, "booster") and hasattr(model, "library"):
        classes = [model.classes_] if hasattr(model, "classes_") else []
        if model.library == "lightgbm":
            return read_lightgbm(model.booster, classes=classes)
        return read_xgboost(model.booster, classes=classes, missing=np.nan)
    return read_sklearn_trees(model)


def _xgboost(model: Any) -> Answering:
    booster = model.get_booster()
    best = getattr(model, "best_iteration", None)
    if best is not None and model.booster != "gblinear":
        booster = booster[: best + 1]
    classes = [model.classes_] if hasattr(model, "classes_") else []
    read = read_xgboost(booster, classes=classes, missing=float(model.missing))
    if classes and read.ensemble.targets > 1 and read.link != "softmax":
        raise CannotError("a classifier of several labels at once: not supported; train one classifier per label")
    return read


def _lightgbm(model: Any) -> Answering:
    classes = [model.classes_] if hasattr(model, "classes_") else []
    if classes and callable(model.objective):
        raise CannotError("a classifier with an objective of your own gives raw scores: not supported; convert its booster_")
    return read_lightgbm(model.booster_, classes=classes)
