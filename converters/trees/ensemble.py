"""Turns an ensemble of decision trees into ONNX nodes whose comparisons are those of the library that trained it.

The operator is TreeEnsembleRegressor of ai.onnx.ml 3, with thresholds and sums in the arithmetic of the source: double for
scikit-learn and LightGBM, float for XGBoost. Its output is float whatever the input; where the source is asked in double,
the leaves are cut into whole numbers so small that every sum of them is exact in float, and put together again in double.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from portinf.converters.trees.parts import DOUBLE, FLOAT, ML, Parts
from portinf.core.batch import Array
from portinf.core.optional import require

__all__ = ["Ensemble", "Tree", "raw_sums"]

MANTISSA = 24  # bits of a float: whole numbers up to 2 ** 24 are exact
WANTED_BITS = 50  # of a leaf, where the sums are to be exact


@dataclass(frozen=True, kw_only=True)
class Tree:
    """One tree; every array has one entry per node, node 0 is the root.

    Attributes:
        leaf: whether the node is a leaf.
        feature: column that is tested.
        threshold: number it is compared with.
        equal: the test is equality (one category) and not an order.
        yes, no: next node if the test holds or not.
        missing_yes: where NaN goes.
        values: leaf values, shape [nodes, columns].
        target: number of the sum that the first column adds to.
    """

    leaf: Array
    feature: Array
    threshold: Array
    yes: Array
    no: Array
    missing_yes: Array
    values: Array
    equal: Array | None = None
    target: int = 0


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """Trees whose leaves add up to one number per target.

    Attributes:
        trees: the trees.
        targets: how many sums there are.
        strict: the test is x < threshold, else x <= threshold.
        single: comparisons and sums are in float, else in double.
        rounded: inputs are rounded to float before a comparison in double (scikit-learn's trees).
        missing: the number that stands for a missing value beside NaN.
        zero_missing: columns in which zeros count as missing.
        whole: columns that are cut to whole numbers (categories).
        columns: how many columns the input has.
    """

    trees: Sequence[Tree]
    targets: int
    columns: int
    strict: bool = False
    single: bool = False
    rounded: bool = False
    missing: float | None = None
    zero_missing: Sequence[int] = field(default_factory=tuple)
    whole: Sequence[int] = field(default_factory=tuple)


def raw_sums(parts: Parts, inputs: Sequence[str], ensemble: Ensemble, *, exact: bool) -> str:
    """Write the ensemble and return the name of its sums, shape [rows, targets], double (float if ``single``).

    Args:
        parts: receives nodes and constants.
        inputs: names of matrices [rows, k], joined side by side.
        ensemble: the trees.
        exact: sums precise to double.
    """
    x = _prepared(parts, inputs, ensemble)
    values = np.concatenate([tree.values[tree.leaf] for tree in ensemble.trees]).astype(np.float64)
    if ensemble.single:
        return _regressor(parts, x, ensemble, values, ensemble.targets)
    if not exact:
        return parts.cast(_regressor(parts, x, ensemble, values, ensemble.targets), DOUBLE)
    pieces, scales = _pieces(values, len(ensemble.trees))
    whole = _regressor(parts, x, ensemble, pieces, ensemble.targets, len(scales))
    return _together(parts, parts.cast(whole, DOUBLE), ensemble.targets, scales)


def _together(parts: Parts, sums: str, targets: int, scales: Sequence[float]) -> str:
    """Add the pieces up in double. No MatMul: ONNX Runtime merges a factor behind it into a float attribute."""
    added = ""
    for number, scale in enumerate(scales):
        columns = parts.constant(np.arange(targets * number, targets * (number + 1)))
        piece = parts.node("Mul", parts.node("Gather", sums, columns, axis=1), parts.constant(np.array(scale)))
        added = parts.node("Add", added, piece) if added else piece
    return added


def _prepared(parts: Parts, inputs: Sequence[str], ensemble: Ensemble) -> str:
    """Cast and join the inputs, and mark what counts as missing."""
    kinds = [FLOAT] if ensemble.single else [FLOAT, DOUBLE] if ensemble.rounded else [DOUBLE]
    ready = list(inputs)
    for kind in kinds:
        ready = [parts.cast(name, kind) for name in ready]
    x = ready[0] if len(ready) == 1 else parts.node("Concat", *ready, axis=1)
    dtype = np.float32 if ensemble.single else np.float64
    nan = np.array(np.nan, dtype)
    if ensemble.missing is not None and not math.isnan(ensemble.missing):
        found = parts.node("Equal", x, parts.constant(np.array(ensemble.missing, dtype)))
        x = parts.node("Where", found, parts.constant(nan), x)
    if ensemble.zero_missing:
        # LightGBM's kZeroThreshold, a float: what is not larger counts as zero; NaN stays NaN
        tiny = parts.node("LessOrEqual", parts.node("Abs", x), parts.constant(np.array(np.float32(1e-35), dtype)))
        chosen = parts.constant(_mask(ensemble.zero_missing, ensemble.columns))
        x = parts.node("Where", parts.node("And", tiny, chosen), parts.constant(nan), x)
    if ensemble.whole:
        cut = parts.node("Floor", x)  # XGBoost takes what is below 0 for no category, LightGBM cuts -0.5 to category 0
        if not ensemble.single:
            negative = parts.node("Less", x, parts.constant(np.array(0, dtype)))
            cut = parts.node("Where", negative, parts.node("Ceil", x), cut)
        x = parts.node("Where", parts.constant(_mask(ensemble.whole, ensemble.columns)), cut, x)
    return x


def _mask(chosen: Sequence[int], columns: int) -> Array:
    return np.isin(np.arange(columns), np.array(chosen)).reshape(1, columns)


def _pieces(values: Array, trees: int) -> tuple[Array, list[float]]:
    """Cut values [leaves, k] into whole numbers [leaves, pieces, k] and the scale of each piece.

    The sum of one piece over all trees stays below 2 ** 24, so a float holds it exactly in any order of summation.
    """
    bits = MANTISSA - 1 - max(0, math.ceil(math.log2(max(1, trees))))
    if bits < 4:
        bits = 4  # half a million trees and more: the last digits of very large sums are rounded
    largest = float(np.abs(values).max(initial=0.0))
    exponent = math.frexp(largest)[1]
    rest, cut, scales = values.copy(), [], []
    for number in range(math.ceil(WANTED_BITS / bits)):
        scale = math.ldexp(1.0, exponent - bits * (number + 1))
        whole = np.rint(rest / scale)
        rest = rest - whole * scale
        cut.append(whole)
        scales.append(scale)
    return np.stack(cut, axis=1), scales


def _regressor(parts: Parts, x: str, ensemble: Ensemble, values: Array, targets: int, pieces: int = 1) -> str:
    """Write the operator; ``values`` has one row per leaf, in the order of trees and nodes."""
    attributes: dict[str, Any] = _node_attributes(ensemble)
    attributes.update(_leaf_attributes(ensemble, values.reshape(len(values), pieces, -1), targets))
    helper = require("onnx", "").numpy_helper
    for name in ("nodes_values", "target_weights"):
        array = attributes.pop(name)
        if ensemble.single:
            attributes[name] = array.astype(np.float32)
        else:
            attributes[f"{name}_as_tensor"] = helper.from_array(array.astype(np.float64), name)
    plain = {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in attributes.items()}
    return parts.node("TreeEnsembleRegressor", x, domain=ML, n_targets=targets * pieces, post_transform="NONE", **plain)


def _node_attributes(ensemble: Ensemble) -> dict[str, Any]:
    trees = ensemble.trees
    test = "BRANCH_LT" if ensemble.strict else "BRANCH_LEQ"
    modes: list[str] = []
    for tree in trees:
        equal = np.zeros(len(tree.leaf), bool) if tree.equal is None else tree.equal
        modes += np.where(tree.leaf, "LEAF", np.where(equal, "BRANCH_EQ", test)).tolist()
    inner = [~tree.leaf for tree in trees]

    def joined(arrays: Sequence[Array]) -> Array:
        return np.concatenate([np.where(keep, array, 0) for keep, array in zip(inner, arrays, strict=True)])

    return {
        "nodes_treeids": np.concatenate([np.full(len(tree.leaf), k) for k, tree in enumerate(trees)]),
        "nodes_nodeids": np.concatenate([np.arange(len(tree.leaf)) for tree in trees]),
        "nodes_featureids": joined([tree.feature for tree in trees]).astype(np.int64),
        "nodes_modes": modes,
        "nodes_values": joined([tree.threshold for tree in trees]),
        "nodes_truenodeids": joined([tree.yes for tree in trees]).astype(np.int64),
        "nodes_falsenodeids": joined([tree.no for tree in trees]).astype(np.int64),
        "nodes_missing_value_tracks_true": joined([tree.missing_yes for tree in trees]).astype(np.int64),
    }


def _leaf_attributes(ensemble: Ensemble, values: Array, targets: int) -> dict[str, Array]:
    """Return one entry per leaf, piece and column; piece p of target t adds to the sum ``p * targets + t``."""
    leaves, pieces, columns = values.shape
    tree_ids = np.concatenate([np.full(int(tree.leaf.sum()), k) for k, tree in enumerate(ensemble.trees)])
    node_ids = np.concatenate([np.flatnonzero(tree.leaf) for tree in ensemble.trees])
    first = np.array([tree.target for tree in ensemble.trees])[tree_ids]
    ids = first[:, None, None] + targets * np.arange(pieces)[None, :, None] + np.arange(columns)[None, None, :]
    each = pieces * columns
    assert ids.shape == (leaves, pieces, columns)
    return {
        "target_treeids": np.repeat(tree_ids, each),
        "target_nodeids": np.repeat(node_ids, each),
        "target_ids": ids.ravel(),
        "target_weights": values.ravel(),
    }
