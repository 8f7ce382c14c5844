"""A Keras model in one HDF5 file (``.h5``): Keras 3's own, and those of Keras 2 and 1, which Keras 3 does not always read right."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from portinf.core.errors import CannotError, PermissionNeededError, UnreadableError, UsageError, first_line
from portinf.core.optional import available, require
from portinf.sources.keras.legacy_config import check_axes, modernised, needs_code, with_operations
from portinf.sources.keras.legacy_objects import legacy_objects
from portinf.sources.keras.source import lambda_refused

__all__ = ["load_h5"]


def load_h5(path: Path, *, allow_code: bool) -> tuple[Any, list[str]]:
    """Load a Keras model from an HDF5 file without its optimizer, and say what had to be done to read it.

    A file of Keras 2 or before goes to ``tf_keras`` where that is installed, because it is the same code; else it is
    rewritten for Keras 3, and refused where the two are not known to compute the same.

    Raises:
        PermissionNeededError: it holds Lambda layers, and ``allow_code`` is false.
        UsageError: it holds weights only.
        UnreadableError: damaged, or no file of Keras.
        CannotError: a layer is not known, or was changed since; the message says what to do.
    """
    config, version = _read(path)
    code = needs_code(config)
    if code and not allow_code:
        if "Lambda" in code:
            raise lambda_refused(path)
        raise PermissionNeededError(f"{path}: calls {', '.join(code)}: allow it with --allow-code if you trust it")
    if int(version.split(".")[0]) >= 3:
        check_axes(path, config)
        renewed = with_operations(config)
        return _keras3(path, path if renewed == config else _rewritten(path, renewed), renewed, allow_code), []
    if available("tf_keras"):
        return _tf_keras(path, version)
    check_axes(path, config)
    changed, done = modernised(path, config)
    note = f"a file of Keras {version}, read by Keras 3" + (f": {'; '.join(done)}" if done else "")
    return _keras3(path, _rewritten(path, changed), changed, allow_code), [note]


def _read(path: Path) -> tuple[dict[str, Any], str]:
    """Return the model's configuration and the version of Keras that wrote it."""
    h5py = require("h5py", "tensorflow")
    try:
        with h5py.File(path, "r") as file:
            attributes = {name: file.attrs[name] for name in ("model_config", "keras_version") if name in file.attrs}
            groups = sorted(file)
            weights = "layer_names" in file.attrs or "_layer_checkpoint_dependencies" in groups or "layers" in groups
            nested = "model_weights" in groups and "keras_version" in file["model_weights"].attrs
            if "keras_version" not in attributes and nested:
                attributes["keras_version"] = file["model_weights"].attrs["keras_version"]
    except Exception as error:
        raise UnreadableError(f"{path}: a damaged or truncated HDF5 file: {first_line(error)}") from error
    if "model_config" not in attributes:
        if weights or "model_weights" in groups:
            raise UsageError(
                f"{path}: holds weights only, not the model; name the factory of the model (file.py:factory) "
                "and give this file as --weights"
            )
        raise UnreadableError(f"{path}: an HDF5 file, but not of a Keras model; it holds: {', '.join(groups[:5]) or 'nothing'}")
    try:
        config = json.loads(_text(attributes["model_config"]))
        version = _text(attributes.get("keras_version", "1"))
        int(version.split(".")[0])
    except ValueError as error:
        raise UnreadableError(f"{path}: its model_config is damaged: {first_line(error)}") from error
    if not isinstance(config, dict) or "class_name" not in config:
        raise UnreadableError(f"{path}: its model_config is not that of a Keras model")
    return config, version


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _rewritten(path: Path, config: dict[str, Any]) -> Any:
    """Return the file in memory with another configuration."""
    h5py = require("h5py", "tensorflow")
    file = h5py.File(io.BytesIO(path.read_bytes()), "r+")
    file.attrs["model_config"] = json.dumps(config)
    return file


def _keras3(path: Path, file: Any, config: dict[str, Any], allow_code: bool) -> Any:
    keras = require("keras", "tensorflow")
    from keras.src.legacy.saving.legacy_h5_format import load_model_from_hdf5

    try:
        objects = legacy_objects(config)
        with keras.saving.custom_object_scope(objects):
            return load_model_from_hdf5(file, custom_objects=objects, compile=False, safe_mode=not allow_code)
    except CannotError as error:
        raise CannotError(f"{path}: {error}") from error
    except Exception as error:
        raise _cannot(path, error, f"Keras {keras.__version__}") from error


def _tf_keras(path: Path, version: str) -> tuple[Any, list[str]]:
    tf_keras = require("tf_keras", "tensorflow")
    try:
        model = tf_keras.models.load_model(path, compile=False)
    except Exception as error:
        raise _cannot(path, error, f"tf_keras {tf_keras.__version__}") from error
    return model, [f"a file of Keras {version}, read by tf_keras {tf_keras.__version__}"]


def _cannot(path: Path, error: Exception, reader: str) -> Exception:
    text = first_line(error)
    if "Unknown" in text or "Could not locate" in text or "not registered" in text:
        return CannotError(
            f"{path}: uses a layer that {reader} does not know ({text[:200]}); write a factory that defines it and loads the file "
            "(custom_objects=...), and name it as file.py:factory"
        )
    hint = "" if "tf_keras" in reader else "; if Keras 2 wrote it: pip install --no-deps 'tf_keras==2.21.*' and try again"
    return UnreadableError(f"{path}: {reader} cannot load it: {text[:400]}{hint}")
