"""Writes, for a loaded model, a client in Python that can be pasted and run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from portinf.core.signature import maximums_from

__all__ = ["ServedTensor", "snippet", "tensors"]

_NUMPY = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
    "BYTES": "object",
}


@dataclass(frozen=True, kw_only=True)
class ServedTensor:
    """One tensor as a client sees it.

    Attributes:
        name: of the tensor.
        datatype: as in the protocol (``FP32``).
        shape: with the batch axis, -1 where free.
        maximums: largest length at which the model is right, by the number of the axis, where there is one.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    maximums: Mapping[int, int] = field(default_factory=dict)


def tensors(config: dict[str, Any], role: str) -> list[ServedTensor]:
    """Return the tensors of a server's model configuration; ``role`` is ``"input"`` or ``"output"``; optional ones are left out."""
    batch = (-1,) if int(config.get("max_batch_size", 0)) > 0 else ()
    parameters = config.get("parameters") or {}
    largest = maximums_from({name: str(value.get("string_value", "")) for name, value in parameters.items()})
    found = []
    for entry in config.get(role) or []:
        if not entry.get("optional", False):
            datatype = entry["data_type"].removeprefix("TYPE_")
            shape = batch + tuple(int(size) for size in entry["dims"])
            found.append(
                ServedTensor(
                    name=entry["name"],
                    datatype="BYTES" if datatype == "STRING" else datatype,
                    shape=shape,
                    maximums={axis: n for (name, axis), n in largest.items() if name == entry["name"]},
                )
            )
    return found


def snippet(config: dict[str, Any], address: str, protocol: str = "http") -> str:
    """Return a script that sends one request, with 1 for every free size, names the largest sizes, and prints the answer.

    Args:
        config: the model's configuration as the server gives it.
        address: host and port of that protocol.
        protocol: ``"http"`` or ``"grpc"``.
    """
    lines = [
        "import numpy as np",
        f"import tritonclient.{protocol} as triton",
        "",
        f'client = triton.InferenceServerClient("{address}")',
        "inputs = []",
    ]
    for tensor in tensors(config, "input"):
        shape = tuple(1 if size < 0 else size for size in tensor.shape)
        lines += [f"# the model is right for axis {axis} of {tensor.name!r} up to {n}" for axis, n in tensor.maximums.items()]
        lines += [
            f"values = {_values(tensor.datatype, shape)}",
            f"inputs.append(triton.InferInput({tensor.name!r}, list(values.shape), {tensor.datatype!r}))",
            "inputs[-1].set_data_from_numpy(values)",
        ]
    sequence = ", sequence_id=1, sequence_start=True, sequence_end=True" if "sequence_batching" in config else ""
    lines.append(f"result = client.infer({config['name']!r}, inputs{sequence})")
    lines += [f"print({tensor.name!r}, result.as_numpy({tensor.name!r}))" for tensor in tensors(config, "output")]
    return "\n".join(lines) + "\n"


def _values(datatype: str, shape: tuple[int, ...]) -> str:
    if datatype == "BYTES":
        return f'np.full({shape}, b"text", dtype=object)'
    return f"np.zeros({shape}, dtype=np.{_NUMPY[datatype]})" if datatype != "BOOL" else f"np.zeros({shape}, dtype=bool)"
