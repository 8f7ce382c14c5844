"""Joins the requests of one batch into the feeds of a session and parts its outputs again, ragged batching included.

The rules are those of Triton's backend library (backend_input_collector.cc, backend_output_responder.cc): counts are per
request and count every element, batch axis included; item shapes are per batch item, without the batch axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from portinf_onnx_checks import config_shape  # type: ignore[import-not-found]
from portinf_onnx_session import ConfigurationError  # type: ignore[import-not-found]

__all__ = ["Batching"]

Arrays = dict[str, Any]

_NUMPY = {"TYPE_FP32": np.float32, "TYPE_FP64": np.float64, "TYPE_INT32": np.int32, "TYPE_INT64": np.int64}


@dataclass(frozen=True)
class _Made:
    """One ``batch_input`` of the configuration: what is made of which input, and what the model calls it."""

    kind: str
    source: str
    targets: list[str]
    type: Any


@dataclass(frozen=True)
class _Scattered:
    """One ``batch_output``: its shape with the batch axis, and the input whose shape fills in what is -1."""

    source: str
    shape: list[int]


class Batching:
    """What a configuration with ``max_batch_size`` > 0 says about joining requests and parting outputs."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._ragged = {entry["name"] for entry in config["input"] if entry.get("allow_ragged_batch")}
        self._made = [_made(entry) for entry in config.get("batch_input") or []]
        shapes = {entry["name"]: [-1, *config_shape(entry)] for entry in config["output"]}
        self._scattered = {
            entry["target_name"][0]: _Scattered(entry["source_input"][0], shapes[entry["target_name"][0]])
            for entry in config.get("batch_output") or []
        }

    def join(self, parts: list[Arrays]) -> Arrays:
        """Return the feeds for all requests together: ragged inputs flat, the others one after another along the batch axis."""
        feeds = {}
        for name in parts[0]:
            values = [part[name].reshape(-1) if name in self._ragged else part[name] for part in parts]
            feeds[name] = values[0] if len(values) == 1 else np.concatenate(values)
        for made in self._made:
            value = _batch_input(made.kind, [part[made.source].shape for part in parts]).astype(made.type)
            feeds.update(dict.fromkeys(made.targets, value))
        return feeds

    def part(self, values: Arrays, parts: list[Arrays]) -> list[Arrays]:
        """Return each request's own outputs.

        Raises:
            ConfigurationError: an output does not have the size that the batch asks for.
        """
        answers: list[Arrays] = [{} for _ in parts]
        for name, value in values.items():
            scattered = self._scattered.get(name)
            pieces = _split(name, value, parts) if scattered is None else _scatter(name, value, scattered, parts)
            for answer, piece in zip(answers, pieces, strict=True):
                answer[name] = piece
        return answers


def _made(entry: dict[str, Any]) -> _Made:
    kind = entry["data_type"]
    if kind not in _NUMPY:
        raise ConfigurationError(f"unexpected batch input data type '{kind}', expected one of {', '.join(_NUMPY)}")
    return _Made(entry["kind"], entry["source_input"][0], list(entry["target_name"]), _NUMPY[kind])


def _batch_input(kind: str, shapes: list[tuple[int, ...]]) -> Any:
    counts = np.array([int(np.prod(shape)) for shape in shapes], dtype=np.int64)
    if kind == "BATCH_ELEMENT_COUNT":
        return counts
    if kind == "BATCH_ACCUMULATED_ELEMENT_COUNT":
        return np.cumsum(counts)
    if kind == "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO":
        return np.concatenate([[0], np.cumsum(counts)])
    if kind == "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE":
        return np.zeros(counts.max(), dtype=np.int64)
    items = [shape[1:] for shape in shapes for _ in range(shape[0])]
    if kind == "BATCH_ITEM_SHAPE":
        return np.array(items, dtype=np.int64).reshape(len(items), len(shapes[0]) - 1)
    if kind == "BATCH_ITEM_SHAPE_FLATTEN":
        return np.array([size for item in items for size in item], dtype=np.int64)
    raise ConfigurationError(f"unexpected batch input kind '{kind}'")


def _split(name: str, value: Any, parts: list[Arrays]) -> list[Any]:
    sizes = [next(iter(part.values())).shape[0] for part in parts]
    if value.ndim == 0 or value.shape[0] != sum(sizes):
        raise ConfigurationError(
            f"output '{name}' has shape {list(value.shape)}, but its first axis must be the batch of {sum(sizes)}"
        )
    return np.split(value, np.cumsum(sizes)[:-1])


def _scatter(name: str, value: Any, scattered: _Scattered, parts: list[Arrays]) -> list[Any]:
    flat, pieces, offset = value.reshape(-1), [], 0
    for part in parts:
        source = part[scattered.source].shape
        shape = [source[axis] if size == -1 else size for axis, size in enumerate(scattered.shape)]
        size = int(np.prod(shape))
        if offset + size > flat.size:
            raise ConfigurationError(f"output '{name}' has {flat.size} elements, fewer than its requests' inputs ask for")
        pieces.append(flat[offset : offset + size].reshape(shape))
        offset += size
    return pieces
