"""Reads XGBoost's boosters from their own JSON; format: https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from portinf.converters.trees.answers import Answering, Link
from portinf.converters.trees.ensemble import Ensemble, Tree
from portinf.core.batch import Array
from portinf.core.errors import CannotError

__all__ = ["read_xgboost", "with_categories"]

LINKS: dict[str, Link] = {
    "binary:logistic": "sigmoid",
    "reg:logistic": "sigmoid",
    "binary:hinge": "hinge",
    "multi:softprob": "softmax",
    "multi:softmax": "softmax",
    "count:poisson": "exp",
    "reg:gamma": "exp",
    "reg:tweedie": "exp",
    "survival:cox": "exp",
    "survival:aft": "exp",
    **dict.fromkeys(
        (
            *("reg:squarederror", "reg:squaredlogerror", "reg:pseudohubererror", "reg:absoluteerror", "reg:quantileerror"),
            *("binary:logitraw", "rank:ndcg", "rank:pairwise", "rank:map"),
        ),
        "identity",
    ),
}


def read_xgboost(booster: Any, *, classes: Sequence[Array], missing: float) -> Answering:
    """Return the trees of an ``xgboost.Booster``.

    Args:
        booster: already cut to the iterations that its model uses.
        classes: class labels of a classifier, else empty.
        missing: the number that its model takes for a missing value.

    Raises:
        CannotError: a kind of model that cannot be expressed; the message says which.
    """
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    objective = str(learner["objective"]["name"])
    if objective not in LINKS:
        raise CannotError(f"the objective '{objective}' is not known")
    gradient = learner["gradient_booster"]
    if gradient["name"] not in ("gbtree", "dart"):
        raise CannotError(f"booster '{gradient['name']}': a linear model and no trees: not supported; use booster='gbtree'")
    weights = gradient.get("weight_drop")
    model = gradient["gbtree"]["model"] if gradient["name"] == "dart" else gradient["model"]
    parameters = learner["learner_model_param"]
    if _encodes(model.get("cats")):
        raise CannotError("the booster recodes named categories by itself: not supported; encode them as numbers first")
    targets = max(int(parameters["num_class"]), int(parameters.get("num_target", 1)), 1)
    factors = [1.0] * len(model["trees"]) if weights is None else weights
    trees = [
        _tree(tree, target, factor) for tree, target, factor in zip(model["trees"], model["tree_info"], factors, strict=True)
    ]
    if not trees:
        raise CannotError("the booster has no trees")
    whole = sorted({int(f) for tree in trees if tree.equal is not None for f in tree.feature[tree.equal]})
    ensemble = Ensemble(
        trees=trees,
        targets=targets,
        columns=int(parameters["num_feature"]),
        strict=True,
        single=True,
        missing=missing,
        whole=whole,
    )
    link = LINKS[objective]
    base = _margin(np.atleast_1d(np.array(json.loads(parameters["base_score"]), np.float64)), link)
    return Answering(ensemble=ensemble, base=base, link=link, classes=classes, positive="probability > 0.5")


def _encodes(cats: Mapping[str, Any] | None) -> bool:
    return cats is not None and bool(cats.get("enc"))


def _margin(base: Array, link: Link) -> Array:
    """Return the base score before the link."""
    if link == "sigmoid":
        return np.asarray(np.log(base / (1 - base)))
    return np.asarray(np.log(base)) if link == "exp" else base


def _tree(tree: Mapping[str, Any], target: int, factor: float) -> Tree:
    if int(tree["tree_param"]["size_leaf_vector"]) > 1:
        raise CannotError(
            "trees with vectors as leaves (multi_strategy='multi_output_tree'): not supported; use one tree per output"
        )
    yes, no = np.array(tree["left_children"]), np.array(tree["right_children"])
    conditions = np.array(tree["split_conditions"], np.float32).astype(np.float64)
    plain = Tree(
        leaf=yes == -1,
        feature=np.array(tree["split_indices"]),
        threshold=conditions,
        yes=yes,
        no=no,
        missing_yes=np.array(tree["default_left"]).astype(bool),
        values=(conditions * factor)[:, None],
        target=target,
    )
    if not any(tree["split_type"]):
        return plain
    nodes, starts, sizes = tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"]
    sets = {node: tree["categories"][start : start + size] for node, start, size in zip(nodes, starts, sizes, strict=True)}
    return with_categories(plain, sets, inside_is_yes=False)


def with_categories(tree: Tree, sets: Mapping[int, Sequence[int]], *, inside_is_yes: bool) -> Tree:
    """Write a test "is one of" as a chain of tests for equality, whose first node keeps its number.

    Args:
        tree: ``yes`` and ``no`` of the nodes in ``sets`` are where a member and a stranger go, or the other way round.
        sets: categories by node.
        inside_is_yes: a member of the set goes to ``yes``.
    """
    columns = {
        name: list(getattr(tree, name)) for name in ("leaf", "feature", "threshold", "yes", "no", "missing_yes", "values")
    }
    equal = [False] * len(tree.leaf)
    for node, categories in sets.items():
        inside, outside = (tree.yes[node], tree.no[node]) if inside_is_yes else (tree.no[node], tree.yes[node])
        missing_inside = bool(tree.missing_yes[node]) == inside_is_yes
        chain = [node, *range(len(equal), len(equal) + len(categories) - 1)]
        for name in columns:
            columns[name] += [columns[name][node]] * (len(categories) - 1)
        equal += [True] * (len(categories) - 1)
        equal[node] = True
        for place, (here, category) in enumerate(zip(chain, categories, strict=True)):
            columns["threshold"][here] = float(category)
            columns["yes"][here] = inside
            columns["no"][here] = chain[place + 1] if place + 1 < len(chain) else outside
            columns["missing_yes"][here] = missing_inside
    arrays = {name: np.array(value) for name, value in columns.items()}
    return Tree(**arrays, equal=np.array(equal), target=tree.target)
