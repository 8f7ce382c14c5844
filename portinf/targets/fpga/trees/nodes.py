"""The attributes of a TreeEnsembleRegressor -> its nodes, and the shape of trees whose branches are neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from portinf.core.batch import Array
from portinf.core.errors import CannotError
from portinf.core.optional import require
from portinf.fixedpoint.trees import Columns, Shape

if TYPE_CHECKING:
    import onnx


__all__ = ["Nodes", "read_nodes", "settled"]


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """What the operator says, one entry per node in its own order.

    Attributes:
        tree: which tree.
        feature: column that is tested.
        threshold: float64.
        leaf: whether it is a leaf.
        yes, no: next node, as a place in these arrays; 0 at leaves.
        strict: the test is <, else <=.
        leaves: float64, what a leaf adds to each of the operator's sums; shape [nodes, sums].
        base: float64, from which the operator's sums start; shape [sums].
    """

    tree: Array
    feature: Array
    threshold: Array
    leaf: Array
    yes: Array
    no: Array
    strict: bool
    leaves: Array
    base: Array

    @property
    def sums(self) -> int:
        """How many sums the operator gives."""
        return len(self.base)


def read_nodes(node: onnx.NodeProto, where: str) -> Nodes:
    """Read the operator.

    Args:
        node: the ONNX node.
        where: the file, for messages.

    Raises:
        CannotError: it does what conifer cannot; the message says what.
    """
    onnx = require("onnx", "")
    found: dict[str, Any] = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
    for name in ("nodes_values", "target_weights", "base_values"):
        tensor = found.pop(f"{name}_as_tensor", None)
        found[name] = np.asarray(found.get(name, ()) if tensor is None else onnx.numpy_helper.to_array(tensor), np.float64)
    strict = _strict(found, where)
    if found.get("aggregate_function", b"SUM") != b"SUM" or found.get("post_transform", b"NONE") != b"NONE":
        raise CannotError(f"{where}: the trees are not added up as they are: expected what portinf convert writes")
    tree, number = np.asarray(found["nodes_treeids"], np.int64), np.asarray(found["nodes_nodeids"], np.int64)
    place = {pair: at for at, pair in enumerate(zip(tree.tolist(), number.tolist(), strict=True))}
    leaf = np.asarray(found["nodes_modes"]) == b"LEAF"
    leaves = np.zeros((len(tree), int(found["n_targets"])))
    pairs = zip(found["target_treeids"], found["target_nodeids"], strict=True)
    at = np.array([place[pair] for pair in pairs], np.int64)
    np.add.at(leaves, (at, np.asarray(found["target_ids"], np.int64)), found["target_weights"])
    base = found["base_values"] if found["base_values"].size else np.zeros(leaves.shape[1])
    return Nodes(
        tree=tree,
        feature=np.asarray(found["nodes_featureids"], np.int64),
        threshold=found["nodes_values"],
        leaf=leaf,
        yes=_places(tree, found["nodes_truenodeids"], leaf, place),
        no=_places(tree, found["nodes_falsenodeids"], leaf, place),
        strict=strict,
        leaves=leaves,
        base=base,
    )


def _strict(found: Mapping[str, Any], where: str) -> bool:
    modes = {mode.decode() for mode in found["nodes_modes"]} - {"LEAF"}
    if "BRANCH_EQ" in modes:
        raise CannotError(
            f"{where}: it has categorical splits, and conifer's trees compare with thresholds alone: not supported"
        )
    if len(modes) > 1 or not modes <= {"BRANCH_LT", "BRANCH_LEQ"}:
        raise CannotError(f"{where}: tests {', '.join(sorted(modes))}: expected BRANCH_LT or BRANCH_LEQ at every node")
    return modes == {"BRANCH_LT"}


def _places(tree: Array, numbers: Sequence[int], leaf: Array, place: Mapping[tuple[int, int], int]) -> Array:
    found = [0 if end else place[(one, number)] for one, number, end in zip(tree.tolist(), numbers, leaf.tolist(), strict=True)]
    return np.array(found, np.int64)


def settled(nodes: Nodes, inputs: tuple[Columns, ...], single: bool, weights: Array, where: str) -> tuple[Shape, Array, Array]:
    """Put the nodes of each tree in order of their depth, the two branches of a node beside each other.

    Args:
        nodes: of the operator.
        inputs: of the model.
        single: as of `portinf.fixedpoint.trees.Shape`.
        weights: from the operator's sums to the model's, shape [targets, sums].
        where: the file, for messages.

    Returns:
        the shape, thresholds and leaf values by node, both float64.

    Raises:
        CannotError: a tree adds to several sums.
    """
    _, firsts = np.unique(nodes.tree, return_index=True)
    order: list[int] = []
    left: list[int] = []
    roots, depth = [], 0
    for first in sorted(firsts.tolist()):
        root = _root(nodes, first)
        roots.append(len(order))
        depth = max(depth, _tree(nodes, root, order, left))
    leaf = nodes.leaf[order]
    values = nodes.leaves[order] @ weights.T  # [nodes, targets]
    values[~leaf] = 0
    target, value = _one_target(values, roots, where)
    shape = Shape(
        inputs=inputs,
        single=single,
        strict=nodes.strict,
        feature=np.where(leaf, 0, nodes.feature[order]).astype(np.int32),
        left=np.array(left, np.int32),
        leaf=leaf,
        root=np.array(roots, np.int32),
        target=target,
        depth=depth,
        targets=len(weights),
    )
    return shape, np.where(leaf, 0.0, nodes.threshold[order]), value


def _root(nodes: Nodes, first: int) -> int:
    """Return the node of a tree to which no other leads."""
    own = np.flatnonzero(nodes.tree == nodes.tree[first])
    inner = own[~nodes.leaf[own]]
    led = set(nodes.yes[inner].tolist()) | set(nodes.no[inner].tolist())
    return next(node for node in own.tolist() if node not in led)


def _tree(nodes: Nodes, root: int, order: list[int], left: list[int]) -> int:
    """Append one tree level by level; return its depth."""
    root = _decided(nodes, root)
    level, depth = [root], 0
    order.append(root)
    left.append(len(order) - 1)
    places = {root: len(order) - 1}
    while True:
        below: list[int] = []
        for node in level:
            if nodes.leaf[node]:
                continue
            left[places[node]] = len(order)
            for branch in (_decided(nodes, int(nodes.yes[node])), _decided(nodes, int(nodes.no[node]))):
                places[branch] = len(order)
                order.append(branch)
                left.append(len(left))
                below.append(branch)
        if not below:
            return depth
        level, depth = below, depth + 1


def _decided(nodes: Nodes, node: int) -> int:
    """Pass nodes whose threshold is infinite, where all but missing values go one way."""
    while not nodes.leaf[node] and np.isinf(nodes.threshold[node]):
        node = int(nodes.yes[node] if nodes.threshold[node] > 0 else nodes.no[node])
    return node


def _one_target(values: Array, roots: Sequence[int], where: str) -> tuple[Array, Array]:
    """Return the sum that each tree adds to, and the values by node."""
    ends = [*roots[1:], len(values)]
    target = []
    for start, end in zip(roots, ends, strict=True):
        used = np.flatnonzero(values[start:end].any(axis=0))
        if len(used) > 1:
            raise CannotError(
                f"{where}: its leaves hold one number for each of {values.shape[1]} targets or classes (a random forest, or trees of "
                "several outputs): conifer's leaves hold one number"
            )
        target.append(int(used[0]) if len(used) else 0)
    return np.array(target, np.int32), values.sum(axis=1)
