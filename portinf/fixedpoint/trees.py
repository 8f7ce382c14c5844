"""An ensemble of decision trees in fixed point as plain data; a folder with JSON and npz, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from portinf.fixedpoint.casting import Array
from portinf.fixedpoint.formats import FixedPointError, Format
from portinf.fixedpoint.head import Step

__all__ = ["ARRAYS", "FILE", "Columns", "Shape", "Trees", "load_trees", "save_trees"]

SCHEMA = 1
FILE = "trees.json"
NUMBERS = "trees.npz"
ARRAYS = ("feature", "left", "leaf", "root", "target", "depth")


@dataclass(frozen=True, kw_only=True)
class Columns:
    """An input: a matrix [rows, count]; the columns of all inputs stand side by side.

    Attributes:
        name: the user's.
        count: how many columns it has.
    """

    name: str
    count: int


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Where the trees go, without a number in them: the same for float and fixed point.

    Arrays have one entry per node, all trees one after the other; the two branches of a node are neighbours.

    Attributes:
        inputs: in the user's order.
        single: inputs are rounded to float32 before anything else.
        strict: the test is x < threshold, else x <= threshold; where it holds, the first branch is taken.
        feature: column that is tested; 0 at leaves.
        left: first branch; the second is the next node. A leaf has itself.
        leaf: whether the node is a leaf.
        root: first node of each tree.
        target: number of the sum that each tree adds to.
        depth: comparisons on the longest way.
        targets: how many sums there are.
    """

    inputs: tuple[Columns, ...]
    single: bool
    strict: bool
    feature: Array
    left: Array
    leaf: Array
    root: Array
    target: Array
    depth: int
    targets: int

    @property
    def columns(self) -> int:
        """How many columns all inputs have."""
        return sum(item.count for item in self.inputs)

    @property
    def used(self) -> Array:
        """The columns that some tree tests, in order."""
        return np.unique(self.feature[~self.leaf])


@dataclass(frozen=True, kw_only=True)
class Trees:
    """Trees in fixed point, and what is made of their sums outside the hardware.

    Attributes:
        shape: of the trees.
        column: format of inputs and thresholds.
        score: format of leaves and sums.
        threshold: raw numbers of ``column`` by node; 0 at leaves.
        value: raw numbers of ``score`` by node; 0 where it is no leaf.
        start: raw numbers of ``score``, one per sum, from which the sums start.
        sums: name of the tensor [rows, targets] that the sums are for ``steps``.
        dtype: numpy type in which ``steps`` take the sums.
        steps: from the sums to the outputs.
        constants: that the steps read, by tensor.
        outputs: tensor by the user's name of the output, in the user's order.
        labels: output with scores and the class of each of its columns, by the output with class labels.
    """

    shape: Shape
    column: Format
    score: Format
    threshold: Array
    value: Array
    start: Array
    sums: str
    dtype: str
    steps: tuple[Step, ...]
    constants: Mapping[str, Array]
    outputs: Mapping[str, str]
    labels: Mapping[str, tuple[str, Array]] = field(default_factory=dict)


def save_trees(trees: Trees, folder: Path) -> None:
    """Write two files into a folder; it is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = trees.shape
    data = {
        "schema": SCHEMA,
        "inputs": [[item.name, item.count] for item in shape.inputs],
        "single": shape.single,
        "strict": shape.strict,
        "targets": shape.targets,
        "column": str(trees.column),
        "score": str(trees.score),
        "sums": trees.sums,
        "dtype": trees.dtype,
        "steps": [[step.kind, list(step.inputs), step.output, dict(step.options)] for step in trees.steps],
        "constants": list(trees.constants),
        "outputs": dict(trees.outputs),
        "labels": {name: scores for name, (scores, _) in trees.labels.items()},
    }
    arrays = {name: np.asarray(getattr(shape, name)) for name in ARRAYS}
    arrays |= {name: np.asarray(getattr(trees, name)) for name in ("threshold", "value", "start")}
    arrays |= {f"constant/{number}": _plain(array) for number, array in enumerate(trees.constants.values())}
    arrays |= {f"classes/{name}": _plain(classes) for name, (_, classes) in trees.labels.items()}
    np.savez_compressed(folder / NUMBERS, **arrays)  # type: ignore[arg-type]
    (folder / FILE).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def _plain(array: Array) -> Array:
    """Texts as fixed-width ones: a file must not need pickle."""
    return array.astype(str) if array.dtype == object else array


def _texts(array: Array) -> Array:
    return array.astype(object) if array.dtype.kind == "U" else array


def load_trees(folder: Path) -> Trees:
    """Read what `save_trees` wrote.

    Raises:
        FixedPointError: a file is missing, damaged or of another version; the message names it.
    """
    path = folder / FILE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        with np.load(folder / NUMBERS, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if data["schema"] != SCHEMA:
            raise FixedPointError(f"{path}: schema {data['schema']}, expected {SCHEMA}: written by another version of portinf")
        return _trees(data, arrays)
    except FixedPointError:
        raise
    except Exception as error:
        raise FixedPointError(f"{path}: missing or damaged: {type(error).__name__}: {error}") from error


def _trees(data: Mapping[str, Any], arrays: Mapping[str, Array]) -> Trees:
    shape = Shape(
        inputs=tuple(Columns(name=name, count=count) for name, count in data["inputs"]),
        single=data["single"],
        strict=data["strict"],
        targets=data["targets"],
        **{name: arrays[name] for name in ARRAYS if name != "depth"},
        depth=int(arrays["depth"]),
    )
    return Trees(
        shape=shape,
        column=Format.parse(data["column"]),
        score=Format.parse(data["score"]),
        **{name: arrays[name] for name in ("threshold", "value", "start")},
        sums=data["sums"],
        dtype=data["dtype"],
        steps=tuple(
            Step(kind=kind, inputs=tuple(inputs), output=output, options=options)
            for kind, inputs, output, options in data["steps"]
        ),
        constants={name: _texts(arrays[f"constant/{number}"]) for number, name in enumerate(data["constants"])},
        outputs=data["outputs"],
        labels={name: (scores, _texts(arrays[f"classes/{name}"])) for name, scores in data["labels"].items()},
    )
