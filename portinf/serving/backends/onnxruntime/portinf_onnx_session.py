"""Turns a Triton model configuration into an ONNX Runtime session with the settings the C++ onnxruntime backend would use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import onnxruntime as ort

__all__ = ["FILES", "ConfigurationError", "arena_shrinkage", "model_file", "open_session", "parameters", "session_options"]

FILES = "files"
_DEFAULT_FILE = "model.onnx"
_TRUE = ("true", "on", "1")
_FALSE = ("false", "off", "0")


class ConfigurationError(ValueError):
    """The model configuration asks for something that is wrong, or that cannot be done faithfully here."""


def parameters(config: dict[str, Any]) -> dict[str, str]:
    """Return the ``parameters`` of a model configuration as plain name -> string value."""
    return {name: str(value.get("string_value", "")) for name, value in (config.get("parameters") or {}).items()}


def model_file(config: dict[str, Any], version_folder: Path) -> Path:
    """Return the ONNX file of one version; a folder of that name holds the real ``model.onnx``.

    The user's files may lie in the folder `FILES` of the version.  The Python of a stub takes ASCII paths alone: bytes are asked for.

    Raises:
        ConfigurationError: there is no such file.
    """
    folder = version_folder / FILES
    path = (folder if folder.is_dir() else version_folder) / (config.get("default_model_filename") or _DEFAULT_FILE)
    if os.path.isdir(str(path).encode()):  # noqa: PTH112
        path = path / _DEFAULT_FILE
    if not os.path.exists(str(path).encode()):  # noqa: PTH110
        raise ConfigurationError(f"unable to find '{path}' for model '{config.get('name', '')}'")
    return path


def session_options(config: dict[str, Any]) -> Any:
    """Return ONNX Runtime session options: graph level, execution mode, threads, memory, custom operators.

    Names, values and defaults are those of the onnxruntime backend (onnxruntime.cc, ``ModelState``).

    Raises:
        ConfigurationError: a value has the wrong form, or an execution accelerator is asked for.
    """
    values = parameters(config)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = _graph_level(config)
    mode = _integer(values, "execution_mode")
    if mode not in (0, 1):
        raise ConfigurationError(f"parameter execution_mode is {mode}, expected 0 (sequential) or 1 (parallel)")
    options.execution_mode = ort.ExecutionMode.ORT_PARALLEL if mode else ort.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = max(_integer(values, "intra_op_thread_count"), 0)
    options.inter_op_num_threads = max(_integer(values, "inter_op_thread_count"), 0)
    if "enable_mem_arena" in values:
        options.enable_cpu_mem_arena = _boolean(values, "enable_mem_arena")
    if "enable_mem_pattern" in values:
        options.enable_mem_pattern = _boolean(values, "enable_mem_pattern")
    allocator = "session.use_device_allocator_for_initializers"
    if allocator in values:
        options.add_session_config_entry(allocator, values[allocator])
    _refuse_accelerators(config)
    for library in (config.get("model_operations") or {}).get("op_library_filename") or []:
        options.register_custom_ops_library(library)
    return options


def open_session(config: dict[str, Any], version_folder: Path) -> Any:
    """Open the ONNX file of one version on the CPU.

    Raises:
        ConfigurationError: the file is missing or ONNX Runtime cannot load it.
    """
    path = model_file(config, version_folder)
    options = session_options(config)
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ConfigurationError(f"ONNX Runtime cannot load '{path}': {' '.join(str(error).split())}") from error


def arena_shrinkage(config: dict[str, Any]) -> Any:
    """Return ONNX Runtime run options that carry ``memory.enable_memory_arena_shrinkage``, or None without that parameter."""
    key = "memory.enable_memory_arena_shrinkage"
    value = parameters(config).get(key)
    if value is None:
        return None
    options = ort.RunOptions()
    options.add_run_config_entry(key, value)
    return options


def _graph_level(config: dict[str, Any]) -> Any:
    level = int(((config.get("optimization") or {}).get("graph") or {}).get("level", 0))
    levels = ort.GraphOptimizationLevel
    table = {-1: levels.ORT_ENABLE_BASIC, 1: levels.ORT_ENABLE_EXTENDED, 2: levels.ORT_DISABLE_ALL}
    return table.get(level, levels.ORT_ENABLE_ALL)


def _refuse_accelerators(config: dict[str, Any]) -> None:
    accelerators = (config.get("optimization") or {}).get("execution_accelerators") or {}
    names = [entry.get("name", "") for entry in accelerators.get("cpu_execution_accelerator") or []]
    if names:
        raise ConfigurationError(
            f"execution accelerator '{names[0]}' is requested, but this local server has the CPU provider only; "
            "leave it out of the configuration, or serve with the stock container"
        )


def _integer(values: dict[str, str], name: str) -> int:
    text = values.get(name, "0")
    try:
        return int(text)
    except ValueError:
        raise ConfigurationError(f"parameter {name} is '{text}', expected a whole number") from None


def _boolean(values: dict[str, str], name: str) -> bool:
    text = values[name].lower()
    if text not in _TRUE + _FALSE:
        raise ConfigurationError(f"parameter {name} is '{values[name]}', expected true or false")
    return text in _TRUE
