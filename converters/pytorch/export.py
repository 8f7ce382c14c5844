"""Calls torch's two ONNX exporters: an ``nn.Module``, ScriptModule or exported program -> ``model.onnx`` with at most one data file."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from portinf.converters.python_branches import TRACING, branches_on_sizes
from portinf.converters.pytorch.graphs import exportable_layers
from portinf.converters.pytorch.jets import exportable_jets
from portinf.converters.pytorch.operators import translations
from portinf.converters.pytorch.optimizer import exact_constants
from portinf.converters.pytorch.reasons import reason_of, refuse_guesses
from portinf.converters.pytorch.sizes import assumptions, watched
from portinf.converters.pytorch.torchscript_operators import exact_symbolics
from portinf.core.batch import load_npz
from portinf.core.errors import CannotError, PortinfError
from portinf.core.optional import require
from portinf.sources.routes import ExportOptions

__all__ = [
    "captured",
    "dynamic_axes",
    "example",
    "export_dynamo",
    "export_torchscript",
    "in_names",
    "missing_onnxscript",
    "one_data_file",
]

SMALL = 1_500_000_000  # bytes of parameters up to which one file without external data is safe (protobuf's limit is 2 GiB)
DATA = "model.onnx.data"


def missing_onnxscript() -> str | None:
    """Return why the dynamo exporter cannot be used, or None."""
    from portinf.core.optional import available

    return None if available("onnxscript") else "the package 'onnxscript' is not installed; pip install 'portinf[torch]'"


def in_names(options: ExportOptions) -> list[str]:
    """Return the graph's input names by position."""
    return [f"in_{k}" for k in range(len(options.signature.inputs))]


def example(options: ExportOptions) -> tuple[Any, ...]:
    """Return the example's tensors in the signature's order."""
    torch = require("torch", "torch")
    arrays = load_npz(options.example).inputs
    return tuple(torch.from_numpy(arrays[spec.name].copy()) for spec in options.signature.inputs)


def dynamic_axes(options: ExportOptions) -> dict[str, dict[int, str]]:
    """Return the labels of the dynamic axes by input, as the TorchScript exporter wants them."""
    axes = {
        name: {number: axis.label for number, axis in enumerate(spec.shape or ()) if axis.label is not None}
        for name, spec in zip(in_names(options), options.signature.inputs, strict=True)
    }
    return {name: value for name, value in axes.items() if value}


def _quiet() -> None:
    for name in ("torch.onnx", "onnxscript", "torch.fx", "torch.export", "torch._export"):
        logging.getLogger(name).setLevel(logging.ERROR)


def export_dynamo(capture: Callable[[], Any], options: ExportOptions, folder: Path, *, parts: Sequence[Any] = ()) -> Path:
    """Export with the dynamo exporter, and note what it assumed of sizes.

    Args:
        capture: returns the exported program.
        options: opset and names; takes the assumptions.
        folder: where to write.
        parts: the modules of the model, whose code is searched for hints where the program has none.

    Raises:
        CannotError: the exporter failed; the message is the root cause, with the line of the user's file.
    """
    torch = require("torch", "torch")
    _quiet()
    path = folder / "model.onnx"
    try:
        with warnings.catch_warnings(), exportable_layers(), exportable_jets(), exact_constants(), watched() as conditions:
            warnings.simplefilter("ignore")
            program = capture()
            assumed = assumptions(program, conditions, options)
            number = any(assumption.fixed for assumption in assumed)
            more = branches_on_sizes(parts, options, only_if=None if number else TRACING, always=number)
            options.assumed.extend([*assumed, *more])
            known = len(conditions)
            torch.onnx.export(
                program,
                (),
                str(path),
                dynamo=True,
                input_names=in_names(options),
                opset_version=options.opset,
                external_data=_bytes(program) > SMALL,
                custom_translation_table=translations(),
                verbose=False,
            )
            # of what is decomposed, a length may become a number that the file does not depend on: no limit
            late = assumptions(program, conditions[known:], options) if len(conditions) > known else []
            options.assumed.extend(replace(one, least=None, largest=None, multiple=1, sure=False) for one in late)
    except PortinfError:
        raise
    except Exception as error:
        raise CannotError(reason_of(error)) from error
    one_data_file(path, large=_bytes(program) > SMALL)
    return path


def captured(module: Any, arguments: tuple[Any, ...], shapes: Any, *, strict: bool) -> Any:
    """Return a module as an exported program, captured as torch's ONNX exporter does.

    Args:
        module: takes its inputs by position.
        arguments: example inputs.
        shapes: dynamic shapes as `torch.export.export` takes them; None where every axis is fixed.
        strict: follow the module's bytecode, and so also ``len(tensor)``, where else the module is run with symbols for sizes.

    Raises:
        Exception: whatever torch raises.
    """
    strategies = require("torch.onnx._internal.exporter._capture_strategies", "torch")
    capture = (strategies.TorchExportStrictStrategy if strict else strategies.TorchExportNonStrictStrategy)(verbose=False)
    flags = require("torch.onnx._internal.exporter._flags", "torch")
    result = flags.set_onnx_exporting_flag(capture)(module, arguments, None, shapes)
    if result.exported_program is None:
        raise result.exception
    return result.exported_program


def export_torchscript(model: Any, arguments: tuple[Any, ...], options: ExportOptions, folder: Path) -> Path:
    """Export with the TorchScript exporter, which records one run: where Python read a tensor's value, the result is refused.

    Args:
        model: a module (it is traced) or a ScriptModule.
        arguments: example inputs.
        options: opset, names and axes.
        folder: where to write.

    Raises:
        CannotError: the exporter failed, or recorded a value that other inputs would change; the message names the line.
    """
    torch = require("torch", "torch")
    _quiet()
    path = folder / "model.onnx"
    opset = min(options.opset, 18)
    try:
        with exact_symbolics(opset), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.onnx.export(
                model,
                arguments,
                str(path),
                dynamo=False,
                dynamic_axes=dynamic_axes(options),
                input_names=in_names(options),
                opset_version=opset,
                verbose=False,
            )
    except Exception as error:
        raise CannotError(reason_of(error)) from error
    refuse_guesses(caught)
    one_data_file(path, large=_bytes(model) > SMALL)
    return path


def _bytes(model: Any) -> int:
    state: Mapping[str, Any] = model.state_dict() if callable(model.state_dict) else model.state_dict
    return sum(tensor.numel() * tensor.element_size() for tensor in state.values())


def one_data_file(path: Path, *, large: bool = False) -> None:
    """Put all external tensors of an ONNX file into one data file beside it, and remove the loose ones.

    Args:
        path: the ONNX file.
        large: do so with the tensors inside the file as well.
    """
    if not large and all(file == path for file in path.parent.iterdir()):
        return
    onnx = require("onnx", "")
    model = onnx.load(str(path), load_external_data=False)
    names = _locations(model)
    if names == [DATA] or not (names or large):
        return
    onnx.load_external_data_for_model(model, str(path.parent))
    for name in names:
        (path.parent / name).unlink()
    onnx.save(model, str(path), save_as_external_data=True, all_tensors_to_one_file=True, location=DATA, size_threshold=1024)


def _locations(model: Any) -> Sequence[str]:
    helper = require("onnx.external_data_helper", "")
    names = {
        entry.value
        for tensor in helper._get_all_tensors(model)
        if helper.uses_external_data(tensor)
        for entry in tensor.external_data
        if entry.key == "location"
    }
    return sorted(names)
