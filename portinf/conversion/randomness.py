"""Refuses or reports models whose results are random and so cannot be compared: sources and ONNX files."""

from __future__ import annotations

from pathlib import Path

from portinf.conversion.open_source import OpenedSource
from portinf.core.errors import CannotError
from portinf.onnx_graph.model_file import load_proto
from portinf.onnx_graph.random_operators import random_nodes, refuse_random
from portinf.runners.source import SourceRunner
from portinf.validation import CheckResult, Comparison, Tolerance, compare

__all__ = ["random_checks", "refuse_changing_answers", "refuse_random_file", "refuse_random_source"]


def refuse_random_source(source: str, opened: OpenedSource) -> None:
    """Refuse a source that was seen to draw random numbers on which its answers depend.

    Raises:
        CannotError: it did; the message says where, and what to do.
    """
    if opened.process.random:
        raise CannotError(f"{source}: {opened.process.random}")


def refuse_changing_answers(source: str, opened: OpenedSource, comparison: Comparison, tolerance: Tolerance) -> None:
    """Refuse a source that, second run, gives other results: that explains why no file computes the same.

    Args:
        source: as the user calls it.
        opened: the source, with the answers that it gave.
        comparison: the comparison that failed.
        tolerance: of the comparison.

    Raises:
        CannotError: it does.
    """
    bad = {case.name for case in comparison.cases if case.status == "disagrees"}
    batches = [batch for batch in opened.cases if batch.name in bad][:2]
    if not batches:
        return
    asked = SourceRunner(opened.process, name=source, signature=opened.signature)  # it remembers no answer
    again = compare(opened.runner, asked, batches, tolerance=tolerance, allow_nan=True)
    refuse_random_source(source, opened)
    if again.verdict != "equal":
        raise CannotError(
            f"{source}: the model's results differ from call to call, so no file can reproduce them: {again.reason}; "
            "it draws random numbers or keeps state between calls"
        )


def refuse_random_file(path: Path) -> None:
    """Refuse an ONNX file whose outputs depend on random numbers; see `portinf.onnx_graph.random_operators.refuse_random`."""
    refuse_random(load_proto(path), str(path))


def random_checks(path: Path) -> list[CheckResult]:
    """Return the failed check of an ONNX file whose outputs depend on random numbers; nothing for any other."""
    found = random_nodes(load_proto(path))
    text = f"{path}: {found.text}: its results differ from call to call, whether or not these cases are equal"
    return [CheckResult(name="randomness", status="failed", text=text)] if found.reaching else []
