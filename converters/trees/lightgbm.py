"""Reads LightGBM's boosters from their own text; the format is that of ``Tree::ToString`` and ``GBDT::SaveModelToString``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from portinf.converters.trees.answers import Answering, Link
from portinf.converters.trees.ensemble import Ensemble, Tree
from portinf.converters.trees.xgboost import with_categories
from portinf.core.batch import Array
from portinf.core.errors import CannotError

__all__ = ["read_lightgbm"]

CATEGORICAL, DEFAULT_LEFT = 1, 2  # bits of decision_type; the two above say what counts as missing
NONE, ZERO = 0, 1
LINKS: dict[str, Link] = {
    "binary": "sigmoid",
    "multiclass": "softmax",
    "multiclassova": "sigmoid",
    "cross_entropy": "sigmoid",
    "cross_entropy_lambda": "log1p exp",
    "poisson": "exp",
    "gamma": "exp",
    "tweedie": "exp",
    **dict.fromkeys(
        ("regression", "regression_l1", "huber", "fair", "quantile", "mape", "lambdarank", "rank_xendcg", "custom"), "identity"
    ),
}


def read_lightgbm(booster: Any, *, classes: Sequence[Array]) -> Answering:
    """Return the trees of a ``lightgbm.Booster``, those up to its best iteration where it has one.

    Args:
        booster: the model.
        classes: class labels of a classifier, else empty.

    Raises:
        CannotError: a kind of model that cannot be expressed; the message says which.
    """
    head, *blocks = re.split(r"^Tree=\d+$", booster.model_to_string().partition("\nend of trees")[0], flags=re.MULTILINE)
    about = _fields(head)
    objective, *options = about.get("objective", "custom").split()
    if objective not in LINKS:
        raise CannotError(f"the objective '{objective}' is not known")
    targets = int(about["num_tree_per_iteration"])
    columns = int(about["max_feature_idx"]) + 1
    zeros: set[int] = set()
    trees = [_tree(_fields(block), number % targets, zeros) for number, block in enumerate(blocks)]
    if not trees:
        raise CannotError("the booster has no trees")
    whole = {int(f) for tree in trees if tree.equal is not None for f in tree.feature[tree.equal]}
    ensemble = Ensemble(trees=trees, targets=targets, columns=columns, zero_missing=sorted(zeros), whole=sorted(whole))
    slopes = [float(option.partition(":")[2]) for option in options if option.startswith("sigmoid:")]
    average = re.search(r"^average_output$", head, flags=re.MULTILINE) is not None
    return Answering(
        ensemble=ensemble,
        base=np.zeros(targets),
        scale=targets / len(trees) if average else 1.0,
        slope=slopes[0] if slopes else 1.0,
        link="signed square" if "sqrt" in options else LINKS[objective],
        classes=classes,
    )


def _fields(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def _numbers(fields: Mapping[str, str], name: str, dtype: Any) -> Array:
    return np.array(fields.get(name, "").split(), dtype=dtype)


def _tree(fields: Mapping[str, str], target: int, zeros: set[int]) -> Tree:
    """Describe one tree, inner nodes first and leaves behind them; note columns in which zeros are missing values."""
    if fields.get("is_linear", "0") != "0":
        raise CannotError("trees with linear models as leaves (linear_tree=true): not supported")
    leaves = _numbers(fields, "leaf_value", np.float64)
    inner = int(fields["num_leaves"]) - 1
    kinds = _numbers(fields, "decision_type", np.int64)[:inner]
    feature = _numbers(fields, "split_feature", np.int64)[:inner]
    threshold = _numbers(fields, "threshold", np.float64)[:inner]
    missing = (kinds >> 2) & 3
    categorical = (kinds & CATEGORICAL) > 0
    zeros.update(int(f) for f in feature[(missing == ZERO) & ~categorical])
    # without missing values NaN is taken for 0
    left = np.where(missing == NONE, threshold >= 0, (kinds & DEFAULT_LEFT) > 0)
    tree = Tree(
        leaf=np.arange(inner + len(leaves)) >= inner,
        feature=_padded(feature, len(leaves)),
        threshold=_padded(threshold, len(leaves)),
        yes=_padded(_children(fields, "left_child", inner), len(leaves)),
        no=_padded(_children(fields, "right_child", inner), len(leaves)),
        missing_yes=_padded(left & ~categorical, len(leaves)),
        values=np.concatenate([np.zeros(inner), leaves])[:, None],
        target=target,
    )
    if not categorical.any():
        return tree
    sets = _sets(fields, np.flatnonzero(categorical), threshold)
    return with_categories(tree, sets, inside_is_yes=True)


def _children(fields: Mapping[str, str], name: str, inner: int) -> Array:
    """Return numbers of nodes; LightGBM writes leaf k as -(k + 1)."""
    children = _numbers(fields, name, np.int64)[:inner]
    return np.where(children < 0, inner - 1 - children, children)


def _padded(array: Array, leaves: int) -> Array:
    return np.concatenate([array, np.zeros(leaves, array.dtype)])


def _sets(fields: Mapping[str, str], nodes: Array, threshold: Array) -> dict[int, list[int]]:
    """Return the categories that go left, by node: bit sets of 32 bits a word; the threshold is the number of the set."""
    bounds, words = _numbers(fields, "cat_boundaries", np.int64), _numbers(fields, "cat_threshold", np.int64)
    sets = {}
    for node in nodes.tolist():
        number = int(threshold[node])
        chosen = words[bounds[number] : bounds[number + 1]].tolist()
        sets[node] = [32 * place + bit for place, word in enumerate(chosen) for bit in range(32) if word >> bit & 1]
    return sets
