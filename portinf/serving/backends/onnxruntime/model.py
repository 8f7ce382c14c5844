"""Serves an ONNX file with ONNX Runtime as Triton's onnxruntime backend would: a Python-based backend for a local server.

It runs in the serving environment (numpy 1, ONNX Runtime) inside Triton's Python stub, never in the environment of portinf.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from portinf_onnx_checks import Tensor, check, config_shape, initializers, inputs, outputs  # type: ignore[import-not-found]
from portinf_onnx_ragged import Batching  # type: ignore[import-not-found]
from portinf_onnx_session import ConfigurationError, arena_shrinkage, open_session  # type: ignore[import-not-found]

__all__ = ["TritonPythonModel"]

# Triton's default of --backend-config=default-max-batch-size, which a Python-based backend does not get.
_DEFAULT_MAX_BATCH_SIZE = 4

Arrays = dict[str, Any]


class TritonPythonModel:
    """One instance of one model version: a session, and what the configuration says about its tensors."""

    @staticmethod
    def auto_complete_config(auto_complete_model_config: Any) -> Any:
        """Fill in missing inputs, outputs and batching from the ONNX file (onnxruntime.cc, ``AutoCompleteConfig``)."""
        config = auto_complete_model_config.as_dict()
        given = bool(config.get("input") or config.get("batch_input")), bool(config.get("output"))
        if not all(given):
            session = open_session(config, Path(pb_utils.get_model_dir()))
            found = inputs(session), outputs(session)
            _complete_batching(config, [*found[0].values(), *found[1].values()])
            for key, present, tensors in zip(("input", "output"), given, found, strict=True):
                if not present:
                    config[key] = [_entry(tensor, config["max_batch_size"] > 0) for tensor in tensors.values()]
        return auto_complete_model_config

    def initialize(self, args: dict[str, str]) -> None:
        """Open the session and check it against the configuration."""
        if int(np.__version__.split(".")[0]) >= 2:
            raise ConfigurationError(
                f"numpy {np.__version__} in the serving environment answers with 0 bytes; numpy 1 is needed"
            )
        config = json.loads(args["model_config"])
        if "GPU" in args.get("model_instance_kind", ""):
            raise ConfigurationError("an instance on a GPU is configured, but this local server runs on the CPU only")
        self._session = open_session(config, Path(pb_utils.get_model_dir()))
        check(config, self._session)
        self._run_options = arena_shrinkage(config)
        self._batching = Batching(config) if int(config.get("max_batch_size", 0)) > 0 else None
        self._outputs = [entry["name"] for entry in config["output"]]
        accepted = {**inputs(self._session), **initializers(self._session)}
        self._scalar_inputs = {tensor.name for tensor in accepted.values() if not tensor.dims}
        self._scalar_shapes = {
            entry["name"]: config_shape(entry) for entry in config["output"] if not outputs(self._session)[entry["name"]].dims
        }

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer the requests Triton hands over: as one batch with batching, else each by itself."""
        if self._batching is not None:
            return self._respond(requests)
        return [response for request in requests for response in self._respond([request])]

    def _respond(self, requests: list[Any]) -> list[Any]:
        # A request that cannot be read fails alone; when the session fails, all that were joined for it do.
        parts = [_read(request) for request in requests]
        good = [part for part in parts if isinstance(part, dict)]
        try:
            answers = iter(self._run(good) if good else [])
        except Exception as error:  # noqa: BLE001 - whatever fails, each of these requests gets its answer
            parts = [_failure(error) if isinstance(part, dict) else part for part in parts]
        return [
            _response(request, next(answers)) if isinstance(part, dict) else part
            for request, part in zip(requests, parts, strict=True)
        ]

    def _run(self, parts: list[Arrays]) -> list[Arrays]:
        feeds = parts[0] if self._batching is None else self._batching.join(parts)
        for name in self._scalar_inputs & feeds.keys():
            feeds[name] = feeds[name].reshape(())
        values = dict(zip(self._outputs, self._session.run(self._outputs, feeds, self._run_options), strict=True))
        for name, shape in self._scalar_shapes.items():
            values[name] = np.asarray(values[name]).reshape(shape)
        return [values] if self._batching is None else self._batching.part(values, parts)


def _complete_batching(config: dict[str, Any], tensors: list[Tensor]) -> None:
    batchable = all(tensor.dims and tensor.dims[0] == -1 for tensor in tensors)
    if not batchable:
        if config["max_batch_size"] != 0:
            raise ConfigurationError(
                f"autofill failed for model '{config['name']}': model does not support batching while non-zero max_batch_size is specified"
            )
        return
    if config["max_batch_size"] == 0:
        config["max_batch_size"] = _DEFAULT_MAX_BATCH_SIZE
    if config["max_batch_size"] > 1 and "sequence_batching" not in config:
        config.setdefault("dynamic_batching", {})


def _entry(tensor: Tensor, batching: bool) -> dict[str, Any]:
    dims = tensor.dims[1:] if batching else tensor.dims
    entry: dict[str, Any] = {"name": tensor.name, "data_type": tensor.type, "dims": dims or [1]}
    if not dims and batching:
        entry["reshape"] = {"shape": []}
    return entry


def _read(request: Any) -> Any:
    """Return the request's arrays by name, or the response that says why they cannot be used."""
    feeds = {}
    try:
        for tensor in request.inputs():
            value = tensor.as_numpy()
            feeds[tensor.name()] = _text(tensor.name(), value) if value.dtype == np.object_ else value
    except Exception as error:  # noqa: BLE001 - this request gets its answer, and the others theirs
        return _failure(error)
    return feeds


def _failure(error: Exception) -> Any:
    return pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError(" ".join(str(error).split())))


def _text(name: str, value: Any) -> Any:
    try:
        flat = [item.decode("utf-8") if isinstance(item, bytes) else item for item in value.reshape(-1)]
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"input '{name}' holds bytes that are no UTF-8 text; this local server cannot pass them on"
        ) from error
    return np.array(flat, dtype=np.object_).reshape(value.shape)


def _response(request: Any, answer: Arrays) -> Any:
    requested = request.requested_output_names()
    tensors = [pb_utils.Tensor(name, _bytes(value)) for name, value in answer.items() if name in requested]
    return pb_utils.InferenceResponse(output_tensors=tensors)


def _bytes(value: Any) -> Any:
    if value.dtype != np.object_:
        return value
    flat = [item.encode("utf-8") if isinstance(item, str) else item for item in value.reshape(-1)]
    return np.array(flat, dtype=np.object_).reshape(value.shape)
