"""One tensor of both sides -> the parts of both graphs that compute it, run by themselves on the reference's inputs."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from portinf.bisection.deviation import Deviation, deviation
from portinf.bisection.extract import Part, part_of, write_part
from portinf.bisection.matching import Match, Matching
from portinf.bisection.tensor_store import Store
from portinf.core.batch import Array, Arrays
from portinf.core.errors import PortinfError
from portinf.ort.opening import OnnxSession
from portinf.validation.tolerance import Tolerance

__all__ = ["Alone", "run_alone", "write_both"]


@dataclass(frozen=True, kw_only=True)
class Alone:
    """Two parts that should compute the same.

    Attributes:
        candidate, reference: the parts.
        names: name in the files by the candidate's tensor, and by the reference's.
        inputs: the reference's tensors by name in the files.
        output: the reference's answer.
        deviation: of the candidate's answer to these inputs from the reference's.
    """

    candidate: Part
    reference: Part
    names: tuple[Mapping[str, str], Mapping[str, str]]
    inputs: Arrays
    output: Array
    deviation: Deviation


def run_alone(matching: Matching, match: Match, known: Collection[str], expected: Store, tolerance: Tolerance) -> Alone | None:
    """Cut out what computes one tensor from known ones, on both sides, and run both; None where that is not possible.

    Args:
        matching: of the whole graphs.
        match: the tensor; it has a counterpart.
        known: tensors of the candidate whose counterparts are taken as inputs.
        expected: the reference's tensors.
        tolerance: of the comparison.
    """
    assert match.counterpart is not None
    images = {matching.counterparts[name] for name in known if name in matching.counterparts} | set(matching.reference.inputs)
    candidate = part_of(matching.candidate, match.tensor, known)
    reference = part_of(matching.reference, match.counterpart, images - {match.counterpart})
    taken: dict[str, str] = {}  # name in the files by the reference's tensor
    for name in candidate.inputs:
        if name not in matching.counterparts:
            return None
        taken.setdefault(matching.counterparts[name], name)
    for name in reference.inputs:
        taken.setdefault(name, name if name not in taken.values() and name != match.tensor else f"{name}__reference")
    if any(name not in expected for name in taken) or match.tensor in taken.values():
        return None
    mine = {name: taken[matching.counterparts[name]] for name in candidate.inputs}
    names = ({**mine, match.tensor: match.tensor}, {**taken, match.counterpart: match.tensor})
    inputs = {name: expected[tensor] for tensor, name in taken.items()}
    alone = Alone(
        candidate=candidate,
        reference=reference,
        names=names,
        inputs=inputs,
        output=expected[match.counterpart],
        deviation=Deviation(error=0.0, allowed=0.0, agrees=True),
    )
    return _judged(alone, tolerance)


def _judged(alone: Alone, tolerance: Tolerance) -> Alone | None:
    with tempfile.TemporaryDirectory(prefix="portinf-alone-") as folder:
        paths = write_both(alone, Path(folder), fixed=True)
        try:
            answers = [_answer(path, alone.inputs) for path in paths]
        except PortinfError:
            return None
    gap = deviation(answers[0], answers[1], tolerance)
    return Alone(
        candidate=alone.candidate,
        reference=alone.reference,
        names=alone.names,
        inputs=alone.inputs,
        output=answers[0],
        deviation=gap,
    )


def write_both(alone: Alone, folder: Path, *, fixed: bool) -> tuple[Path, Path]:
    """Write ``reference.onnx`` and ``candidate.onnx`` and return their paths."""
    paths = folder / "reference.onnx", folder / "candidate.onnx"
    write_part(alone.reference, paths[0], alone.names[1], alone.inputs, alone.output, fixed=fixed)
    write_part(alone.candidate, paths[1], alone.names[0], alone.inputs, alone.output, fixed=fixed)
    return paths


def _answer(path: Path, inputs: Arrays) -> Array:
    session = OnnxSession(path, level="none", threads=0, name=path.stem)
    try:
        return next(iter(session.infer(inputs).values()))
    finally:
        session.close()
