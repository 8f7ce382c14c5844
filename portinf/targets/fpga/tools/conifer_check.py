"""Trees in fixed point against the files that conifer wrote of them: formats, thresholds, scores and branches, one by one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from portinf.core.errors import CannotError
from portinf.fixedpoint.formats import Format
from portinf.fixedpoint.trees import Trees

__all__ = ["check_hls", "check_model", "check_vhdl"]

FIELDS = ("feature", "weight", "threshold", "value", "children_left", "children_right", "parent")
Ensemble = Mapping[str, Any]


def _same(what: str, expected: Any, found: Any) -> None:
    if found != expected:
        raise CannotError(
            f"{what}: conifer changed it from {expected} to {found}, so the firmware would not compute what the emulator does"
        )


def _numbers(what: str, expected: Sequence[Any], found: Sequence[Any]) -> None:
    """Compare numbers by node."""
    _same(f"{what}: number of nodes", len(expected), len(found))
    for node, (one, two) in enumerate(zip(expected, found, strict=True)):
        _same(f"{what} of node {node}", one, two)


def _tree(title: str, expected: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    words = {"threshold": "threshold", "value": "score", "feature": "column", "weight": "column's weights"}
    for field, word in {**words, "children_left": "first branch", "children_right": "second branch"}.items():
        _numbers(f"{title}: {word}", expected[field], found[field])


def check_model(ensemble: Ensemble, path: Path) -> None:
    """Compare the file from which conifer's C++ emulation reads its trees.

    Args:
        ensemble: as conifer was given it.
        path: the file.

    Raises:
        CannotError: a number differs; the message names tree and node.
    """
    found = json.loads(path.read_text(encoding="utf-8"))
    for name in ("init_predict", "norm", "splitting_convention", "n_classes", "n_features"):
        _same(f"{path.name}: {name}", ensemble[name], found[name])
    _same(f"{path.name}: number of trees", len(ensemble["trees"]), len(found["trees"]))
    for number, (expected, made) in enumerate(zip(ensemble["trees"], found["trees"], strict=True)):
        for target, (one, two) in enumerate(zip(expected, made, strict=True)):
            _tree(f"{path.name}: tree {number} of sum {target}", one, two)


def check_hls(trees: Trees, ensemble: Ensemble, firmware: Path) -> None:
    """Compare the C++ that is handed to synthesis.

    Args:
        trees: as the emulator computes them.
        ensemble: as conifer was given them.
        firmware: folder of ``parameters.h`` and ``BDT.cpp``.

    Raises:
        CannotError: a number differs; the message names tree and node.
    """
    text = (firmware / "parameters.h").read_text(encoding="utf-8")
    types = {name: type for type, name in re.findall(r"^typedef (\S+) (\w+);", text, re.M)}
    for name, format in {"input_t": trees.column, "threshold_t": trees.column, "score_t": trees.score}.items():
        _same(f"parameters.h: type {name}", str(format), types.get(name))
    convention = re.search(r'splitting_convention = "(.*?)"', text)
    _same("parameters.h: test", ensemble["splitting_convention"], convention[1] if convention else None)
    start = re.search(r"bdt =\s*\{[^\n]*\n\s*([^,]+),[^\n]*\n\s*\{([^}]*)\}", text)
    found = [float(part) for part in (f"{start[1]},{start[2]}" if start else "").split(",") if part]
    _same("parameters.h: factor and first scores", [1.0, *ensemble["init_predict"]], found)
    requested = {(target, number): tree for number, each in enumerate(ensemble["trees"]) for target, tree in enumerate(each)}
    made: dict[tuple[int, int], dict[str, Any]] = {}
    for target, number, body in re.findall(r"tree_(\d+)_(\d+) = (\{.*?\});", text, re.S):
        fields = json.loads(body.replace("{", "[").replace("}", "]"))
        made[int(target), int(number)] = dict(zip(FIELDS, fields, strict=True))
    _same("parameters.h: trees", sorted(requested), sorted(made))
    for (target, number), tree in requested.items():
        title = f"parameters.h: tree {number} of sum {target}"
        _tree(title, tree, made[target, number])
        _numbers(
            f"{title}: node before", _parents(tree["children_left"], tree["children_right"]), made[target, number]["parent"]
        )
    calls = re.findall(r"scores\[(\d+)\]\[(\d+)\] = tree_(\d+)_(\d+)\.", (firmware / "BDT.cpp").read_text(encoding="utf-8"))
    _same(
        "BDT.cpp: trees that are summed",
        sorted((*place, *place) for place in requested),
        sorted(tuple(map(int, call)) for call in calls),
    )


def _parents(left: Sequence[int], right: Sequence[int]) -> list[int]:
    found = [-1] * len(left)
    for branches in (left, right):
        for node, branch in enumerate(branches):
            if branch >= 0:
                found[branch] = node
    return found


def check_vhdl(trees: Trees, format: Format, firmware: Path) -> None:
    """Compare the VHDL, whose trees are filled up to their full depth.

    Args:
        trees: as the emulator computes them.
        format: the one format of the VHDL.
        firmware: folder of ``Constants.vhd``, ``Split.vhd`` and ``Arrays*.vhd``.

    Raises:
        CannotError: a number differs; the message names tree and node.
    """
    shape = trees.shape
    text = (firmware / "Constants.vhd").read_text(encoding="utf-8")
    for name in ("tx", "ty"):
        bits = re.search(rf"subtype {name} is signed\((\d+) downto 0\)", text)
        _same(f"Constants.vhd: width of {name}", format.width, int(bits[1]) + 1 if bits else None)
    constants = {name: int(number) for name, number in re.findall(r"constant (\w+) : integer := (\d+);", text)}
    expected = {"nFeatures": shape.columns, "nClasses": shape.targets, "norm_slice_l": format.fraction}
    for name, number in {**expected, "norm_slice_h": format.fraction + format.width - 1}.items():
        _same(f"Constants.vhd: {name}", number, constants.get(name))
    split = re.search(r"entity work\.(split_\w+)", (firmware / "Split.vhd").read_text(encoding="utf-8"))
    _same("Split.vhd: test", "split_lt" if shape.strict else "split_lte", split[1] if split else None)
    for target in range(shape.targets):
        file = firmware / f"Arrays{target}.vhd"
        _arrays(trees, target, format, file.name, file.read_text(encoding="utf-8"))


def _arrays(trees: Trees, target: int, format: Format, title: str, text: str) -> None:
    shape = trees.shape
    up = {"threshold": format.fraction - trees.column.fraction, "value": format.fraction - trees.score.fraction}
    first = {name: int(number) for name, number in re.findall(r"constant (\w+) : ty := to_ty\((-?\d+)\);", text)}
    _same(f"{title}: first score", int(trees.start[target]) << up["value"], first.get("initPredict"))
    _same(f"{title}: factor", 1 << format.fraction, first.get("normalisation"))
    parts = re.findall(r"constant (\w+) : intArray2Dn\w+\([^)]*\) := (\(.*?\));", text, re.S)
    found = {name: json.loads(body.replace("(", "[").replace(")", "]")) for name, body in parts}
    roots = [int(root) for root, own in zip(shape.root, shape.target, strict=True) if own == target]
    for number, (left, right, parents, ends) in enumerate(
        zip(found["children_left"], found["children_right"], found["parent"], found["iLeaf"], strict=True)
    ):
        name = f"{title}: tree {number}"
        _numbers(f"{name}: node before", _parents(left, right), parents)
        _same(f"{name}: leaves", [node for node, branch in enumerate(left) if branch < 0], ends)
        places = [(0, roots[number] if number < len(roots) else -1)]
        while places:
            node, root = places.pop()
            leaf = root < 0 or bool(shape.leaf[root])
            if leaf and left[node] < 0:
                score = 0 if root < 0 else int(trees.value[root]) << up["value"]
                _same(f"{name}: score of node {node}", score, found["value_int"][number][node])
            elif not leaf:
                _same(f"{name}: column of node {node}", int(shape.feature[root]), found["feature"][number][node])
                threshold = int(trees.threshold[root]) << up["threshold"]
                _same(f"{name}: threshold of node {node}", threshold, found["threshold_int"][number][node])
            if left[node] >= 0:
                following = (root, root) if leaf else (int(shape.left[root]), int(shape.left[root]) + 1)
                places += zip((left[node], right[node]), following, strict=True)
            elif not leaf:
                _same(f"{name}: branches of node {node}", "two", "none")
