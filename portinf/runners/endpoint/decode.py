"""Raw answers of the v2 protocol -> arrays, each checked against its own byte size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from portinf.core.batch import Array
from portinf.core.optional import require
from portinf.core.signature import dtype_by_kserve

__all__ = ["grpc_array", "http_array"]


def grpc_array(result: Any, entry: Any) -> Array:
    """Decode one output of a gRPC answer.

    Args:
        result: tritonclient's result.
        entry: the output's own message in it.

    Raises:
        ValueError, struct.error: the bytes do not fit shape and type, or are no UTF-8 text.
    """
    response = result.get_response()
    position = next(number for number, output in enumerate(response.outputs) if output.name == entry.name)
    contents = response.raw_output_contents
    return _decode(entry.datatype, list(entry.shape), bytes(contents[position]) if position < len(contents) else b"")


def http_array(result: Any, entry: Mapping[str, Any]) -> Array:
    """Decode one output of an HTTP answer, in binary or in JSON form.

    Args:
        result: tritonclient's result.
        entry: the output's own object in it.

    Raises:
        ValueError, struct.error, KeyError: the bytes do not fit shape and type, or are no UTF-8 text.
    """
    kind, shape = entry["datatype"], [int(n) for n in entry["shape"]]
    declared = entry.get("parameters", {}).get("binary_data_size")
    if declared is None and "data" not in entry:
        declared = 0
    if declared is not None:
        _check_size(kind, shape, int(declared))
    array = np.asarray(result.as_numpy(entry["name"]))
    return _texts(array) if kind == "BYTES" else array


def _check_size(kind: str, shape: list[int], found: int) -> None:
    count, size = math.prod(shape), dtype_by_kserve(kind).size
    least = count * (size or 4)
    if found < least or (found > least and (size or not count)):
        more = "" if size else "at least "
        raise ValueError(f"expected {more}{least} bytes of {kind}, found {found}")


def _decode(kind: str, shape: list[int], raw: bytes) -> Array:
    _check_size(kind, shape, len(raw))
    if kind == "BYTES":
        flat = require("tritonclient.utils", "").deserialize_bytes_tensor(raw)
        return _texts(np.asarray(flat, dtype=object).reshape(shape))
    if kind == "BF16":
        require("ml_dtypes", "")
    return np.frombuffer(raw, dtype=np.dtype(dtype_by_kserve(kind).numpy)).reshape(shape)


def _texts(array: Array) -> Array:
    """Decode elements to str, as ONNX Runtime gives strings."""
    texts = np.empty(array.shape, dtype=object)
    texts.ravel()[:] = [value.decode("utf-8") if isinstance(value, bytes) else value for value in array.ravel()]
    return texts
