"""Calls torch's two ONNX exporters: an ``nn.Module``, ScriptModule or exported program -> ``model.onnx`` with at most one data file."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from portinf.converters.pytorch_graphs import exportable_layers
from portinf.converters.pytorch_jets import exportable_jets
from portinf.converters.pytorch_operators import translations
from portinf.converters.pytorch_reasons import reason_of, refuse_guesses
from portinf.errors import CannotError, PortinfError
from portinf.lazy import require
from portinf.routes import ExportOptions
from portinf.samples import load_npz

__all__ = ["dynamic_axes", "example", "export_dynamo", "export_torchscript", "in_names", "missing_onnxscript", "one_data_file"]

SMALL = 1_500_000_000  # bytes of parameters up to which one file without external data is safe (protobuf's limit is 2 GiB)
DATA = "model.onnx.data"


def missing_onnxscript() -> str | None:
    """Return why the dynamo exporter cannot be used, or None."""
    from portinf.lazy import available

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


def export_dynamo(model: Any, arguments: tuple[Any, ...], options: ExportOptions, folder: Path, **more: Any) -> Path:
    """Export with the dynamo exporter.

    Args:
        model: a module, or an exported program.
        arguments: example inputs; empty for a program.
        options: opset and names.
        folder: where to write.
        more: dynamic shapes.

    Raises:
        CannotError: the exporter failed; the message is the root cause, with the line of the user's file.
    """
    torch = require("torch", "torch")
    _quiet()
    path = folder / "model.onnx"
    try:
        with warnings.catch_warnings(), exportable_layers(), exportable_jets():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                model,
                arguments,
                str(path),
                dynamo=True,
                input_names=in_names(options),
                opset_version=options.opset,
                external_data=_bytes(model) > SMALL,
                custom_translation_table=translations(),
                verbose=False,
                **more,
            )
    except PortinfError:
        raise
    except Exception as error:
        raise CannotError(reason_of(error)) from error
    one_data_file(path, large=_bytes(model) > SMALL)
    return path


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
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.onnx.export(
                model,
                arguments,
                str(path),
                dynamo=False,
                dynamic_axes=dynamic_axes(options),
                input_names=in_names(options),
                opset_version=min(options.opset, 18),
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
