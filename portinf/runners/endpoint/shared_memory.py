"""System shared memory between a client and a server on one machine: tensors stay off the wire."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from typing import Any

from portinf.core.batch import Array
from portinf.core.errors import ServingError, first_line
from portinf.core.optional import require
from portinf.core.signature import TensorSpec, dtype_by_numpy

__all__ = ["SharedRegions", "known_outputs"]

_NUMBER = count()
ALIGNMENT = 64


class SharedRegions:
    """Two regions of one request, for inputs and for outputs; a context manager that gives both back.

    Strings and empty tensors go over the wire, as do outputs whose shape is not known before the answer.

    Args:
        client: tritonclient's client, gRPC or HTTP.
        name: how messages call this side.
        inputs: tensors of the request, as they go to the server.
        outputs: (name, type, shape) of those whose size is known.

    Raises:
        ServingError: there is no shared memory, or the server cannot reach it: it runs on another machine or in a container.
    """

    def __init__(
        self, client: Any, name: str, inputs: Sequence[tuple[str, Array]], outputs: Sequence[tuple[str, str, tuple[int, ...]]]
    ) -> None:
        self._api: Any = require("tritonclient.utils.shared_memory", "")
        self._client, self._name = client, name
        self._regions: list[tuple[str, Any]] = []
        self._places: dict[str, tuple[str, Any, int, int]] = {}
        self._types = {output: (kind, shape) for output, kind, shape in outputs}
        sizes = [(tensor, array.nbytes) for tensor, array in inputs if array.dtype != object and array.size]
        requested = [(output, math.prod(shape) * dtype_by_numpy(kind).size) for output, kind, shape in outputs]
        try:
            self._make("in", sizes)
            self._make("out", [(output, size) for output, size in requested if size])
            arrays = dict(inputs)
            for tensor, _ in sizes:
                _, handle, _, offset = self._places[f"in/{tensor}"]
                self._api.set_shared_memory_region(handle, [arrays[tensor]], offset=offset)
        except Exception as error:
            self.close()
            why = f"{name}: shared memory: {first_line(error)}"
            raise ServingError(
                f"{why}; shared memory needs a server on this machine, outside any container: remove '+shm'"
            ) from error

    def _make(self, side: str, sizes: Sequence[tuple[str, int]]) -> None:
        offsets = []
        total = 0
        for _, size in sizes:
            offsets.append(total)
            total += -(-size // ALIGNMENT) * ALIGNMENT
        if not total:
            return
        name = f"portinf_{os.getpid()}_{next(_NUMBER)}_{side}"
        handle = self._api.create_shared_memory_region(name, f"/{name}", total)
        self._regions.append((name, handle))
        self._client.register_system_shared_memory(name, f"/{name}", total)
        for (tensor, size), offset in zip(sizes, offsets, strict=True):
            self._places[f"{side}/{tensor}"] = name, handle, size, offset

    def point(self, side: str, name: str, message: Any) -> bool:
        """Let a tensor of the request point into its region; False where it goes over the wire.

        Args:
            side: ``in`` or ``out``.
            name: of the tensor.
            message: tritonclient's InferInput or InferRequestedOutput.
        """
        place = self._places.get(f"{side}/{name}")
        if place is None:
            return False
        message.set_shared_memory(place[0], place[2], place[3])
        return True

    def read(self, name: str) -> Array | None:
        """Return a copy of an output; None where it came over the wire."""
        place = self._places.get(f"out/{name}")
        if place is None:
            return None
        kind, shape = self._types[name]
        found: Array = self._api.get_contents_as_numpy(place[1], kind, list(shape), offset=place[3])
        return found.copy()

    def close(self) -> None:
        """Give both regions back, on the server and here."""
        for name, handle in self._regions:
            with suppress(Exception):  # a server that is gone has forgotten the region
                self._client.unregister_system_shared_memory(name)
            self._api.destroy_shared_memory_region(handle)
        self._regions = []

    def __enter__(self) -> SharedRegions:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def known_outputs(specs: Sequence[TensorSpec], rows: int) -> list[tuple[str, str, tuple[int, ...]]]:
    """Return name, type and shape of the outputs whose shape follows from the number of rows alone."""
    found = []
    for spec in specs:
        axes = spec.shape or ()
        plain = all(axis.size is not None or (axis.label == "batch" and rows > 0) for axis in axes)
        if axes and plain and spec.dtype not in ("object", "bfloat16"):
            found.append((spec.name, spec.dtype, tuple(rows if axis.size is None else axis.size for axis in axes)))
    return found
