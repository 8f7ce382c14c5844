"""Trees in fixed point -> the projects that conifer makes of them, read back: HLS, VHDL, and the model for its C++ emulation."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from portinf.core.batch import Array
from portinf.core.child import run_module
from portinf.core.errors import CannotError, PortinfError, first_line
from portinf.core.optional import require
from portinf.fixedpoint.casting import to_real
from portinf.fixedpoint.formats import Format
from portinf.fixedpoint.trees import Trees, load_trees
from portinf.targets.fpga.tools.conifer_check import check_hls, check_model, check_vhdl

__all__ = [
    "CPP",
    "HLS",
    "MODEL",
    "PROJECT",
    "VHDL",
    "ConiferOptions",
    "raw_inputs",
    "read_back",
    "scores_of",
    "vhdl_format",
    "why_no_vhdl",
    "write_conifer",
]

PROJECT = "portinf_model"
HLS, VHDL, CPP = "hls", "vhdl", "cpp"  # folders inside the project
MODEL = f"{PROJECT}.json"
SECONDS = 1800.0
DEEPEST = 8  # conifer's VHDL fills every tree up to its full depth
VHDL_BITS = 31  # its numbers are VHDL integers


@dataclass(frozen=True, kw_only=True)
class ConiferOptions:
    """Options of conifer.

    Attributes:
        part: the device.
        clock: nanoseconds.
    """

    part: str = "xcvu13p-flga2577-2-e"
    clock: float = 5.0


def vhdl_format(trees: Trees) -> Format:
    """Return the one format that conifer's VHDL has for inputs, thresholds and scores: it holds both grids exactly."""
    column, score = trees.column, trees.score
    integer = max(column.integer + (not column.signed), score.integer + (not score.signed))
    fraction = max(column.fraction, score.fraction, 0)
    return Format(integer + fraction, integer)


def why_no_vhdl(trees: Trees) -> str:
    """Say why conifer's VHDL backend cannot write these trees; empty where it can."""
    if trees.shape.depth > DEEPEST:
        return f"trees of depth {trees.shape.depth}: conifer's VHDL writes complete trees; supported up to depth {DEEPEST}"
    column, score = trees.column, trees.score
    bits = max(column.integer, score.integer) + 1 + max(column.fraction, score.fraction, 0)
    if bits > VHDL_BITS + 1 or vhdl_format(trees).width > VHDL_BITS:
        return f"its one format for inputs and scores would have more than {VHDL_BITS} bits"
    return ""


def write_conifer(network: Path, folder: Path, options: ConiferOptions) -> None:
    """Write the projects of saved trees into a folder, and compare the files with the trees.

    conifer changes folders as it works, so it writes in a process of its own.

    Args:
        network: folder that `portinf.fixedpoint.trees.save_trees` wrote.
        folder: made.
        options: options of conifer.

    Raises:
        MissingPackageError: conifer is not installed.
        CannotError: conifer refuses the trees, or wrote others; the message names tree and node.
    """
    arguments = (str(network.resolve()), str(folder.resolve()), json.dumps(asdict(options)))
    run_module("portinf.targets.fpga.tools.conifer", *arguments, tool="conifer", task="write the project", seconds=SECONDS)
    read_back(load_trees(network), folder)


def read_back(trees: Trees, folder: Path) -> None:
    """Compare what conifer wrote with the trees: formats, thresholds, scores and branches of every file.

    Raises:
        CannotError: something differs; the message names file, tree and node.
    """
    ensemble = _ensemble(trees)
    try:
        check_model(ensemble, folder / CPP / MODEL)
        check_hls(trees, ensemble, folder / HLS / "firmware")
        if not why_no_vhdl(trees):
            check_vhdl(trees, vhdl_format(trees), folder / VHDL / "firmware")
    except (OSError, ValueError, KeyError) as error:
        raise CannotError(f"what conifer wrote cannot be read back: {error}") from error


def main(network: str, folder: str, options: str) -> None:
    """Write the projects here: the child's side."""
    _write(load_trees(Path(network)), Path(folder), ConiferOptions(**json.loads(options)))


def _write(trees: Trees, folder: Path, options: ConiferOptions) -> None:
    conifer = require("conifer", "fpga")
    ensemble = _ensemble(trees)
    common = {"ProjectName": PROJECT, "XilinxPart": options.part, "ClockPeriod": options.clock, "Unroll": True}
    types = {
        "InputPrecision": str(trees.column),
        "ThresholdPrecision": str(trees.column),
        "WeightPrecision": "ap_uint<1>",  # conifer multiplies each column by 0 or 1; a format of the user's may not hold 1
        "ScorePrecision": str(trees.score),
    }
    made = {HLS: ("xilinxhls", types)}
    if not why_no_vhdl(trees):
        made[VHDL] = ("vhdl", {"Precision": str(vhdl_format(trees))})
        _without_compiler()
    try:
        for name, (backend, precision) in made.items():
            place = folder / name
            place.mkdir(parents=True)
            given = {**common, **precision, "Backend": backend, "OutputDir": str(place)}
            require("conifer.model", "fpga").make_model(json.loads(json.dumps(ensemble)), given).write()
            _tidy(place)
        (folder / CPP).mkdir()
        shutil.copyfile(folder / HLS / MODEL, folder / CPP / MODEL)
    except PortinfError:
        raise
    except Exception as error:
        raise CannotError(
            f"conifer {conifer.__version__} refuses the trees: {type(error).__name__}: {first_line(error)}"
        ) from error
    if VHDL in made:
        _all_simulators(folder / VHDL, trees)
    # csim_design of the vendor's tools would link conifer's test bench, which calls another function than there is
    (folder / HLS / "build_opt.tcl").write_text("set opt(csim) 0\n", encoding="utf-8")


def _ensemble(trees: Trees) -> dict[str, Any]:
    """Return conifer's own form of the model; every number lies on its grid."""
    shape = trees.shape
    ends = np.append(shape.root[1:], len(shape.leaf))
    by_target: list[list[dict[str, Any]]] = [[] for _ in range(shape.targets)]
    for start, end, target in zip(shape.root.tolist(), ends.tolist(), shape.target.tolist(), strict=True):
        by_target[target].append(_tree(trees, start, end))
    count = max(1, *map(len, by_target))
    empty = _lone(shape.columns)
    names = [f"{item.name}_{number}" for item in shape.inputs for number in range(item.count)]
    return {
        "n_classes": shape.targets,
        "n_features": shape.columns,
        "n_trees": count,
        "max_depth": max(1, shape.depth),
        "init_predict": to_real(trees.start, trees.score).tolist(),
        "norm": 1,
        "library": "portinf",
        "splitting_convention": "<" if shape.strict else "<=",
        "feature_map": {name: number for number, name in enumerate(names)},
        "trees": [[own[k] if k < len(own) else empty for own in by_target] for k in range(count)],
    }


def _tree(trees: Trees, start: int, end: int) -> dict[str, Any]:
    shape, own = trees.shape, slice(start, end)
    leaf = shape.leaf[own]
    left = shape.left[own] - start
    feature = np.where(leaf, -2, shape.feature[own])
    return {
        "feature": feature.tolist(),
        "threshold": to_real(trees.threshold[own], trees.column).tolist(),
        "value": to_real(trees.value[own], trees.score).tolist(),
        "children_left": np.where(leaf, -1, left).tolist(),
        "children_right": np.where(leaf, -1, left + 1).tolist(),
        "weight": [_one_hot(column, shape.columns) for column in feature.tolist()],
    }


def _one_hot(column: int, columns: int) -> list[int]:
    return [int(number == column) for number in range(columns)]


def _lone(columns: int) -> dict[str, Any]:
    """Return a tree that adds nothing."""
    single = {"feature": [-2], "threshold": [0.0], "value": [0.0], "children_left": [-1], "children_right": [-1]}
    return {**single, "weight": [[0] * columns]}


class _Converter(SimpleNamespace):
    """What conifer's VHDL writer needs of its own converter, which would compile a library for that."""

    def __init__(self, type_string: str) -> None:
        format = Format.parse(type_string)
        super().__init__(width=format.width, integer_bits=format.integer, fractional_bits=format.fraction, signed=True)

    def to_int(self, x: float) -> int:
        """Return the raw number; every number lies on the grid, but for -2.0 in leaves, which nothing compares with."""
        return int(np.floor(np.float64(x) * 2.0**self.fractional_bits))


def _without_compiler() -> None:
    require("conifer.backends.vhdl.writer", "fpga").FixedPointConverter = _Converter


def _all_simulators(folder: Path, trees: Trees) -> None:
    """Write the scripts of every simulator, not of the one that happens to be on this machine."""
    simulators = require("conifer.backends.vhdl.simulators", "fpga")
    source = Path(simulators.__file__).parent
    for name in ("Xsim", "GHDL", "Modelsim"):
        getattr(simulators, name).write_scripts(str(folder), str(source), trees.shape.targets)


def _tidy(folder: Path) -> None:
    """Take the machine, its user and the place of building out of what conifer wrote."""
    path = folder / MODEL
    data = json.loads(path.read_text(encoding="utf-8"))
    data.pop("metadata", None)
    data["config"] = {**data["config"], "output_dir": "."}
    path.write_text(json.dumps(data) + "\n", encoding="utf-8")


def raw_inputs(trees: Trees, columns: Array) -> Array:
    """Return raw numbers of the VHDL's format from raw numbers of ``trees.column``."""
    return np.asarray(columns, np.int64) << (vhdl_format(trees).fraction - trees.column.fraction)


def scores_of(trees: Trees, raw: Array) -> Array:
    """Return raw numbers of ``trees.score`` from those that the VHDL gives."""
    return np.asarray(raw, np.int64) >> (vhdl_format(trees).fraction - trees.score.fraction)
