"""A Keras file of HGQ2 -> da4ml's logic and HDL with the bits that training chose; nothing is quantised again."""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from portinf.core.errors import CannotError, first_line
from portinf.core.optional import require
from portinf.fixedpoint.formats import Format
from portinf.fixedpoint.network import Input, Layer, Network, save
from portinf.sources.detect import detect
from portinf.sources.keras.source import KerasSource, load_keras
from portinf.sources.model import SourceOptions
from portinf.targets.fpga.tools.da4ml import DEEPEST, LogicOptions, exact_numbers, run_da4ml, write_hdl

__all__ = ["is_hgq", "write_hgq"]


def is_hgq(path: Path) -> bool:
    """Say whether a ``.keras`` file has layers of HGQ2."""
    try:
        with zipfile.ZipFile(path) as archive:
            return b'"module": "hgq.' in archive.read("config.json")
    except (OSError, KeyError, zipfile.BadZipFile):
        return False


def write_hgq(model: Path, network: Path, folder: Path, options: LogicOptions) -> Mapping[str, Any]:
    """Write logic, HDL and figures, and what a runner must know of inputs and outputs, in a process of its own.

    Args:
        model: the ``.keras`` file.
        network: folder for inputs and outputs, as a network whose one layer is the whole model.
        folder: of logic and HDL.
        options: part, clock and language.

    Returns:
        As `portinf.targets.fpga.tools.da4ml.write_logic`.

    Raises:
        MissingPackageError: HGQ2, Keras or da4ml is not installed.
        CannotError: da4ml does not lay a layer out.
    """
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": ""}
    arguments = [str(model), str(network), str(folder), json.dumps(asdict(options))]
    return run_da4ml("portinf.targets.fpga.tools.hgq2", arguments, folder, environment)


def main(model: str, network: str, folder: str, options: str) -> None:
    """Write here: the child's side."""
    sys.setrecursionlimit(DEEPEST)
    loaded = load_keras(Path(model), allow_code=False)
    source = KerasSource(loaded, SourceOptions(found=detect(model)))
    logic = _logic(loaded, model)
    save(_network(source, logic), Path(network))
    write_hdl(logic, Path(folder), LogicOptions(**json.loads(options)))


def _logic(model: Any, path: str) -> Any:
    trace = require("da4ml.trace", "hgq")
    make = require("da4ml.converter", "hgq").trace_model
    try:
        with exact_numbers():
            given, found = make(model, trace.HWConfig(1, -1, -1), {"hard_dc": 2})
            return trace.comb_trace(_flat(given), _flat(found), keep_dead_inputs=True)
    except Exception as error:
        raise CannotError(f"{path}: da4ml does not lay the model out: {first_line(error)}") from error


def _flat(arrays: Any) -> list[Any]:
    several = arrays if isinstance(arrays, tuple | list) else (arrays,)
    return [variable for array in several for variable in np.ravel(array._vars)]


def _network(source: KerasSource, logic: Any) -> Network:
    """Describe inputs and outputs; the logic itself cuts each number to its own bits, so one wide format does for all."""
    inputs = []
    for item in source.inputs or ():
        shape = tuple(item.shape or ())[1:]
        if None in shape:
            raise CannotError(f"input '{item.name}': its shape {item.shape} has open axes; hardware wants them fixed")
        sizes = tuple(int(n) for n in shape if n is not None)
        format = _format(logic.inp_kifs)
        inputs.append(Input(name=item.name, shape=sizes, axes=tuple(range(len(sizes))), format=format))
    if not inputs:
        raise CannotError("the model declares no inputs: build it as a functional or sequential model with keras.Input")
    answers = source.infer({item.name: np.zeros((1, *item.shape), np.float32) for item in inputs})
    names = tuple(item.name for item in inputs)
    result = _format(logic.out_kifs)
    layers = [
        Layer(name=f"hgq_{k}", kind="hgq2", inputs=names, shape=tuple(array.shape[1:]), result=result)
        for k, array in enumerate(answers.values())
    ]
    return Network(
        inputs=tuple(inputs), layers=tuple(layers), outputs=dict(zip(answers, (x.name for x in layers), strict=True))
    )


def _format(bits: Any) -> Format:
    """Return the format that holds numbers of all these bits: what is finer or larger is cut as the logic does it."""
    signed, integer, fraction = (int(row.max()) for row in np.asarray(bits))
    return Format(signed + integer + fraction, signed + integer, bool(signed))
