"""The process in which a C simulation runs: rows in .npy files, one call a row, answers in .npy files; numpy alone."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import numpy as np

__all__ = ["main"]


def main(library: str, folder: str, inputs: str, *sizes: str) -> None:
    """Call the library for every row; the current folder is the library's own."""
    function = getattr(ctypes.CDLL(library), f"{Path(library).stem}_double")
    given = [np.load(Path(folder) / f"in_{number}.npy") for number in range(int(inputs))]
    made = [np.zeros((len(given[0]), int(size))) for size in sizes]
    arrays = [*given, *made]
    function.argtypes, function.restype = [ctypes.c_void_p] * len(arrays), None
    places = [(array.ctypes.data, array.strides[0]) for array in arrays]
    for row in range(len(given[0])):
        function(*(start + row * step for start, step in places))
    for number, array in enumerate(made):
        np.save(Path(folder) / f"out_{number}.npy", array)


if __name__ == "__main__":
    main(*sys.argv[1:])
