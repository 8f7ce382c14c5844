"""Options of ``portinf optimize --target onnxruntime``, and the text of its result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup

from portinf.cli.options.precision import check_precision, precision_lines, read_precision_physics
from portinf.core.errors import UsageError

if TYPE_CHECKING:
    from portinf.targets.onnxruntime.optimize import OptimizeResult
    from portinf.targets.onnxruntime.options import OnnxruntimeOptions
    from portinf.targets.onnxruntime.search import SearchResult

__all__ = ["GROUPS", "OPTIONS", "lines", "read"]

GROUPS = ("ONNX Runtime", "Physics metrics")
OPTIONS = cloup.option_group(
    GROUPS[0],
    click.option(
        "--threads",
        type=click.IntRange(min=0),
        default=0,
        metavar="N",
        help="Intra-op threads at run time; 1 enables rewrites that are safe on one thread only.",
    ),
    click.option(
        "--search", is_flag=True, help="Time rewrites, precisions, graph levels and threads on --inputs; keep the best."
    ),
    click.option(
        "--report", type=click.Path(path_type=Path), metavar="FILE.html", help="Write the results of --search, with a plot."
    ),
)


def read(given: Mapping[str, Any]) -> OnnxruntimeOptions:
    """Turn the text of the options into data.

    Raises:
        UsageError: an option does not fit.
    """
    from portinf.targets.onnxruntime.options import OnnxruntimeOptions

    if given["report"] is not None and not given["search"]:
        raise UsageError("--report requires --search; for the report of a comparison use portinf validate --report")
    check_precision(given)
    return OnnxruntimeOptions(
        threads=given["threads"],
        precision=given["precision"],
        physics=read_precision_physics(given),
        search=given["search"],
        report=given["report"],
    )


def lines(result: OptimizeResult | SearchResult) -> Iterator[str]:
    """Yield what there is to say of a written file."""
    from portinf.targets.onnxruntime.search import SearchResult
    from portinf.targets.onnxruntime.search_report import search_text

    out = result.artifact.path
    if isinstance(result, SearchResult):
        yield from search_text(result).splitlines()
        return
    if result.comparison is None:
        yield f"{out}: nothing to improve: the original, byte for byte"
        return
    before, after = result.operators
    yield f"{out}: {before} operators before, {after} after"
    for step in result.steps:
        times = f"({step.guarantee}): {step.before * 1e3:.3g} ms before, {step.after * 1e3:.3g} ms after"
        yield f"  {step.name} {times}" if step.kept else f"  left out: {step.name}: {step.text}"
    if result.lowered is not None:
        for line in precision_lines(result.lowered):
            yield f"  {line}"
        yield "  {:.3g} ms before, {:.3g} ms after".format(*(seconds * 1e3 for seconds in result.timing))
    yield f"  {result.comparison.summary()}"
