"""The check of a wrong node -> three small files that reproduce it: reference.onnx, candidate.onnx, inputs.npz."""

from __future__ import annotations

import dataclasses
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from portinf.bisection.single_node import Alone, write_both
from portinf.core.batch import Array, Arrays, save_npz
from portinf.core.errors import PortinfError, UnreadableError
from portinf.ort.opening import OnnxSession
from portinf.validation.elementwise import differing
from portinf.validation.tolerance import Tolerance

__all__ = ["Reproducer", "write_reproducer"]

ENOUGH = 4096  # bytes of inputs that need no further cropping
TRIALS = 80


@dataclass(frozen=True, kw_only=True)
class Reproducer:
    """What was written.

    Attributes:
        folder: that holds the three files.
        command: runs them; exit code 5.
        shapes: of the inputs as cropped.
    """

    folder: Path
    command: str
    shapes: dict[str, tuple[int, ...]]


class _Pair:
    """Both parts, ready to run at any size; a context manager."""

    def __init__(self, alone: Alone, tolerance: Tolerance) -> None:
        self._stack = ExitStack()
        self._tolerance = tolerance
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="portinf-crop-")))
        paths = write_both(alone, folder, fixed=False)
        self._sessions = [OnnxSession(path, level="all", threads=0, name=path.stem) for path in paths]
        for session in self._sessions:
            self._stack.callback(session.close)

    def answers(self, inputs: Arrays) -> list[Array]:
        return [next(iter(session.infer(inputs).values())) for session in self._sessions]

    def differs(self, inputs: Arrays) -> bool:
        """Whether both parts answer, and differ by more than the tolerance."""
        try:
            left, right = self.answers(inputs)
        except PortinfError:
            return False
        if not left.size:
            return False
        kinds = {str(array.dtype) for array in inputs.values()}
        return bool(differing({"": left}, {"": right}, tolerance=self._tolerance, inputs=kinds, least=0.0))

    def __enter__(self) -> _Pair:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def write_reproducer(alone: Alone, folder: Path, tolerance: Tolerance) -> Reproducer | None:
    """Write the files; None where the difference does not show when the parts run by themselves.

    The inputs are halved along their axes as long as the difference survives and they hold more than a few kilobytes.
    Where the default tolerance hides the difference (tensors far smaller than one), the command names one that does not.

    Args:
        alone: the proof.
        folder: made where it is missing; files of these names are replaced.
        tolerance: of the comparison.

    Raises:
        UnreadableError: the folder cannot be written to.
    """
    own = Tolerance(rtol=alone.deviation.rtol, atol=alone.deviation.atol)
    for rule in (tolerance, own):
        with _Pair(alone, rule) as pair:
            if pair.differs(alone.inputs):
                inputs = _cropped(alone.inputs, pair)
                output = pair.answers(inputs)[0]
                return _written(dataclasses.replace(alone, inputs=inputs, output=output), folder, rule)
    return None


def _written(alone: Alone, folder: Path, tolerance: Tolerance) -> Reproducer:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = write_both(alone, folder, fixed=True)
        save_npz(folder / "inputs.npz", alone.inputs)
    except OSError as error:
        raise UnreadableError(f"{folder}: cannot be written: {error.strerror}") from error
    bounds = "".join(
        f" --{name} {value:.6g}" for name, value in (("rtol", tolerance.rtol), ("atol", tolerance.atol)) if value is not None
    )
    command = shlex.join(["portinf", "validate", str(paths[0]), str(paths[1]), "--inputs", str(folder / "inputs.npz")]) + bounds
    return Reproducer(folder=folder, command=command, shapes={name: a.shape for name, a in alone.inputs.items()})


def _cropped(inputs: Arrays, pair: _Pair) -> Arrays:
    """Halve axes of one length together, then single axes, as long as the difference survives."""
    trials = 0
    progress = True
    while progress and trials < TRIALS and _bytes(inputs) > ENOUGH:
        progress = False
        for smaller in _halves(inputs):
            trials += 1
            if pair.differs(smaller):
                inputs, progress = smaller, True
                break
            if trials >= TRIALS:
                break
    return inputs


def _halves(inputs: Arrays) -> Iterator[Arrays]:
    """Yield the inputs with one half of an axis: first all axes of a length, the longest length first, then each by itself."""
    places = [(name, axis) for name, array in inputs.items() for axis in range(array.ndim)]
    lengths = sorted({inputs[name].shape[axis] for name, axis in places} - {0, 1}, reverse=True)
    groups = [[(name, axis) for name, axis in places if inputs[name].shape[axis] == length] for length in lengths]
    singles = [[place] for group in groups if len(group) > 1 for place in group]
    for group in (*groups, *singles):
        length = inputs[group[0][0]].shape[group[0][1]]
        for part in (slice(0, length // 2), slice(length // 2, length)):
            cropped = dict(inputs)
            for name, axis in group:
                index = (slice(None),) * axis + (part,)
                cropped[name] = cropped[name][index]
            yield {name: array.copy() for name, array in cropped.items()}


def _bytes(inputs: Arrays) -> int:
    return sum(array.nbytes for array in inputs.values())
