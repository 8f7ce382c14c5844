"""Inner tensors of one run by name: small ones in memory, the rest in files, so that all of them can be read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import numpy as np

from portinf.core.batch import Array

__all__ = ["Store"]

SMALL = 1_000_000  # bytes up to which one tensor stays in memory
MEMORY = 512_000_000  # bytes that stay in memory altogether


class Store:
    """A context manager that removes its files."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="portinf-tensors-")
        self._arrays: dict[str, Array] = {}
        self._files: dict[str, Path] = {}
        self._held = 0

    def add(self, tensors: Iterable[tuple[str, Array]]) -> None:
        """Keep tensors as they come."""
        for name, array in tensors:
            if array.dtype == object or (array.nbytes <= SMALL and self._held + array.nbytes <= MEMORY):
                self._arrays[name] = array
                self._held += array.nbytes
            else:
                path = Path(self._folder.name) / f"{len(self._files)}.npy"
                np.save(path, array.view(np.uint16) if str(array.dtype) == "bfloat16" else array)
                self._files[name] = path
                self._arrays[name] = np.empty(0, array.dtype)  # its type alone

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def __getitem__(self, name: str) -> Array:
        if name in self._files:
            return np.asarray(np.load(self._files[name], mmap_mode="r")).view(self._arrays[name].dtype)
        return self._arrays[name]

    @property
    def names(self) -> list[str]:
        """All names, in the order in which they came."""
        return list(self._arrays)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._folder.cleanup()
