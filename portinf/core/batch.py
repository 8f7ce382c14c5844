"""Batches of named arrays: read from files, written to files, recorded as goldens."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from portinf.core.errors import UnreadableError, UsageError
from portinf.core.files import whole_file
from portinf.core.signature import Signature, dtype_by_numpy

__all__ = [
    "Array",
    "Arrays",
    "Batch",
    "Origin",
    "check_batch",
    "load_goldens",
    "load_npz",
    "save_goldens",
    "save_npz",
    "shapes_of",
]

Array = npt.NDArray[Any]
Arrays = dict[str, Array]
Origin = Literal["given", "generated"]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One request's worth of inputs.

    Attributes:
        name: where it comes from, as shown in reports.
        inputs: arrays by input name.
        origin: ``given`` by the user, or ``generated`` by portinf at a size of its own choice.
        expected: recorded outputs by name (goldens), else None.
        columns: arrays beside the inputs (labels, weights), first axis = rows.
        stream: name of the file that it is a part of, where a file is read in parts; its parts are reported as one case.
        first_row: number of its first row in that file.
        file_rows: rows of that file that it holds, where they are not the first axis of its first input.
    """

    name: str
    inputs: Arrays
    origin: Origin = "given"
    expected: Arrays | None = None
    columns: Arrays = field(default_factory=dict)
    stream: str = ""
    first_row: int = 0
    file_rows: int | None = None

    @property
    def rows(self) -> int:
        """Rows of its file, else the length of the first axis of the first input; 0 for no inputs or a scalar there."""
        if self.file_rows is not None:
            return self.file_rows
        first = next(iter(self.inputs.values()), None)
        return 0 if first is None or first.ndim == 0 else len(first)


def shapes_of(arrays: Mapping[str, Array]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each array by name."""
    return {name: tuple(array.shape) for name, array in arrays.items()}


def _read_npz(path: Path) -> Arrays:
    if not path.is_file():
        raise UnreadableError(f"{path}: no such file; expected an .npz file with one array per input")
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise UnreadableError(f"{path}: expected an .npz file with one named array per input, found a single .npy array")
        with archive:
            return {name: _readable(archive[name]) for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, KeyError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        if "allow_pickle" in why:
            why = "it holds Python objects (save strings as a fixed-width numpy type)"
        raise UnreadableError(f"{path}: not a readable .npz file: {why}") from error


def _readable(array: Array) -> Array:
    return array.astype(object) if array.dtype.kind in "US" else array


def _storable(array: Array) -> Array:
    if array.dtype != object:
        return array
    if not all(isinstance(item, str) for item in array.ravel()):
        raise UsageError("an array of Python objects other than strings cannot be stored: convert it to numbers or strings")
    return array.astype(np.str_)


def load_npz(path: Path) -> Batch:
    """Read one batch from an npz file whose keys are the model's input names.

    Raises:
        UnreadableError: the file is missing, damaged or holds pickled objects.
    """
    return Batch(name=path.name, inputs=_read_npz(path))


def save_npz(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays by name; a reader sees the old file or the whole new one.

    Raises:
        UnreadableError: the file cannot be written.
        UsageError: an array holds Python objects.
    """
    with whole_file(path) as stream, zipfile.ZipFile(stream, "w") as archive:
        for name, array in arrays.items():  # np.savez would refuse an input that is called "file"
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, _storable(array), allow_pickle=False)


def save_goldens(path: Path, batches: Sequence[Batch]) -> None:
    """Write batches with their expected outputs, keys ``case_K/input/NAME`` and ``case_K/output/NAME``."""
    arrays: Arrays = {}
    for number, batch in enumerate(batches):
        arrays.update({f"case_{number}/input/{name}": array for name, array in batch.inputs.items()})
        arrays.update({f"case_{number}/output/{name}": array for name, array in (batch.expected or {}).items()})
    save_npz(path, arrays)


def load_goldens(path: Path) -> list[Batch]:
    """Read what `save_goldens` wrote.

    Raises:
        UnreadableError: the file is missing, damaged, or its keys are of another layout.
    """
    cases: dict[str, tuple[Arrays, Arrays]] = {}
    for key, array in _read_npz(path).items():
        case, _, rest = key.partition("/")
        side, _, name = rest.partition("/")
        if side not in ("input", "output") or not name:
            raise UnreadableError(f"{path}: key '{key}' is not of the form case_0/input/NAME: not a goldens file")
        cases.setdefault(case, ({}, {}))[0 if side == "input" else 1][name] = array
    return [Batch(name=case, inputs=inputs, expected=outputs) for case, (inputs, outputs) in cases.items()]


def check_batch(signature: Signature, batch: Batch) -> dict[str, int]:
    """Hold a batch against a signature and return the lengths of its dynamic axes.

    Raises:
        UsageError: an input is missing or unknown, or its type or shape does not fit; the message names it.
    """
    required = [spec.name for spec in signature.inputs if not spec.optional]
    known = [spec.name for spec in signature.inputs]
    missing = [name for name in required if name not in batch.inputs]
    unknown = [name for name in batch.inputs if name not in known]
    if missing or unknown:
        raise UsageError(
            f"{batch.name}: expected inputs {', '.join(known)}; found {', '.join(batch.inputs) or 'none'}; "
            "save the arrays under the model's own input names"
        )
    for name, array in batch.inputs.items():
        expected, found = signature.input(name).dtype, dtype_by_numpy(str(array.dtype)).numpy
        if expected != found:
            raise UsageError(f"{batch.name}: input '{name}': expected type {expected}, found {found}")
    return signature.sizes(shapes_of(batch.inputs))
