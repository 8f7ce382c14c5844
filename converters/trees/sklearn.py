"""Reads scikit-learn's ensembles of trees: forests, gradient boosting, histogram gradient boosting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from portinf.converters.trees.answers import Answering, Link
from portinf.converters.trees.ensemble import Ensemble, Tree
from portinf.core.batch import Array
from portinf.core.errors import CannotError
from portinf.core.optional import require

__all__ = ["read_sklearn_trees"]

FORESTS = ("RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor")
TREES = ("DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor")


def read_sklearn_trees(model: Any) -> Answering | None:
    """Return the trees of a fitted estimator of scikit-learn, None for an estimator of another kind.

    Raises:
        CannotError: the kind is known, and this model of it cannot be expressed.
    """
    kind = type(model)
    reader = _READERS.get(kind.__name__) if kind.__module__.startswith("sklearn.") else None
    return None if reader is None else reader(model)


def cart(tree: Any, values: Array, target: int = 0) -> Tree:
    """Describe a ``sklearn.tree._tree.Tree`` with leaf values [nodes, columns]."""
    leaf = tree.children_left == -1
    missing = getattr(tree, "missing_go_to_left", np.zeros(len(leaf)))
    return Tree(
        leaf=leaf,
        feature=tree.feature,
        threshold=tree.threshold,
        yes=tree.children_left,
        no=tree.children_right,
        missing_yes=np.asarray(missing).astype(bool),
        values=values,
        target=target,
    )


def _forest(model: Any) -> Answering:
    members = model.estimators_ if hasattr(model, "estimators_") else [model]
    classes = _classes(model)
    trees = [cart(member.tree_, _columns(member.tree_.value, classes)) for member in members]
    targets = trees[0].values.shape[1]
    ensemble = Ensemble(trees=trees, targets=targets, columns=model.n_features_in_, rounded=True)
    return Answering(ensemble=ensemble, base=np.zeros(targets), scale=1.0 / len(members), classes=classes)


def _classes(model: Any) -> Sequence[Array]:
    if not hasattr(model, "classes_"):
        return ()
    return list(model.classes_) if isinstance(model.classes_, list) else [model.classes_]


def _columns(value: Array, classes: Sequence[Array]) -> Array:
    """Lay [nodes, outputs, classes] out side by side; shorter outputs are padded there and not here."""
    if not classes:
        return value[:, :, 0]
    return np.concatenate([value[:, k, : len(group)] for k, group in enumerate(classes)], axis=1)


def _gradient_boosting(model: Any) -> Answering:
    targets = model.estimators_.shape[1]
    trees = [
        cart(member.tree_, member.tree_.value[:, :, 0] * model.learning_rate, target)
        for stage in model.estimators_
        for target, member in enumerate(stage)
    ]
    ensemble = Ensemble(trees=trees, targets=targets, columns=model.n_features_in_, rounded=True)
    if not (model.init is None or model.init == "zero"):
        raise CannotError(
            f"init={type(model.init).__name__}: gradient boosting on top of another estimator is not supported; "
            "train with init=None or init='zero'"
        )
    base = np.ravel(model._raw_predict_init(np.zeros((1, model.n_features_in_), np.float32)))
    classes = _classes(model)
    link: Link = "identity" if not classes else "sigmoid" if targets == 1 else "softmax"
    return Answering(
        ensemble=ensemble,
        base=base,
        slope=2.0 if classes and model.loss == "exponential" else 1.0,
        link=link,
        classes=classes,
        positive="sum >= 0",
    )


def _histogram(model: Any) -> Answering:
    if model.is_categorical_ is not None and np.any(model.is_categorical_):
        raise CannotError(
            "histogram gradient boosting with categorical features: not supported; one-hot encode them in a pipeline"
        )
    stages = model._predictors
    trees = [_histogram_tree(predictor.nodes, target) for stage in stages for target, predictor in enumerate(stage)]
    targets = model.n_trees_per_iteration_
    ensemble = Ensemble(trees=trees, targets=targets, columns=model.n_features_in_)
    classes = _classes(model)
    link: Link = "identity" if model.loss not in ("poisson", "gamma") else "exp"
    if classes:
        link = "sigmoid" if targets == 1 else "softmax"
    return Answering(ensemble=ensemble, base=np.ravel(model._baseline_prediction), link=link, classes=classes)


def _histogram_tree(nodes: Array, target: int) -> Tree:
    return Tree(
        leaf=nodes["is_leaf"].astype(bool),
        feature=nodes["feature_idx"],
        threshold=nodes["num_threshold"],
        yes=nodes["left"].astype(np.int64),
        no=nodes["right"].astype(np.int64),
        missing_yes=nodes["missing_go_to_left"].astype(bool),
        values=nodes["value"][:, None],
        target=target,
    )


def _isolation(model: Any) -> Answering:
    """Depth of the leaf and mean depth below it, as ``IsolationForest._compute_score_samples`` adds them up."""
    mean_depth = require("sklearn.ensemble._iforest", "trees")._average_path_length
    trees = []
    for number, (member, features) in enumerate(zip(model.estimators_, model.estimators_features_, strict=True)):
        depth = model._decision_path_lengths[number] + model._average_path_length_per_tree[number] - 1.0
        tree = cart(member.tree_, np.asarray(depth, np.float64)[:, None])
        trees.append(replace(tree, feature=np.where(tree.leaf, 0, features[tree.feature])))
    whole = len(trees) * float(mean_depth([model.max_samples_])[0])
    if whole == 0:
        raise CannotError("an isolation forest of single rows (max_samples=1) gives one score for everything: not supported")
    ensemble = Ensemble(trees=trees, targets=1, columns=model.n_features_in_, rounded=True)
    return Answering(ensemble=ensemble, base=np.zeros(1), scale=1.0 / whole, link="anomaly", threshold=float(model.offset_))


_READERS: dict[str, Callable[[Any], Answering]] = {
    **dict.fromkeys((*FORESTS, *TREES), _forest),
    "GradientBoostingClassifier": _gradient_boosting,
    "GradientBoostingRegressor": _gradient_boosting,
    "HistGradientBoostingClassifier": _histogram,
    "HistGradientBoostingRegressor": _histogram,
    "IsolationForest": _isolation,
}
