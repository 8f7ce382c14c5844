"""The options of ``portinf optimize --target tensorrt``, and the text of its result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from shlex import quote
from typing import TYPE_CHECKING, Any

import click
import cloup

from portinf.cli.options.precision import check_precision, precision_lines, read_precision_physics
from portinf.core.errors import UsageError

if TYPE_CHECKING:
    from portinf.targets.tensorrt.optimize import TensorrtOptions, TensorrtResult

__all__ = ["GROUPS", "OPTIONS", "lines", "read"]

GROUPS = ("TensorRT", "Physics metrics")
OPTIONS = cloup.option_group(
    GROUPS[0],
    click.option("--triton-release", metavar="YY.MM", help="Triton release that will serve the model."),
    click.option("--tensorrt", metavar="VERSION", help="TensorRT version, such as 8.6 or 10.3, if no release is given."),
    click.option(
        "--max-batch-size",
        type=click.IntRange(min=0),
        metavar="N",
        help="Rows that the server may batch. Default: 64 if rows are independent, else 0.",
    ),
    click.option(
        "--axis-range",
        "spans",
        multiple=True,
        metavar="LABEL=MIN:OPT:MAX",
        help="Lengths of an axis for the optimization profile. Default: from the samples.",
    ),
    click.option("--name", metavar="NAME", help="Name of the model in Triton. Default: file name of MODEL without suffix."),
    click.option("--check-with", type=click.Choice(["rtx"]), help="Parse and build with TensorRT-RTX on this CPU, as a proxy."),
    click.option("--build", is_flag=True, help="Build and check the engine here, with trtexec and the GPU of this machine."),
)


def read(given: Mapping[str, Any]) -> TensorrtOptions:
    """Turn the text of the options into data.

    Raises:
        UsageError: a range is malformed, or an axis is given twice.
    """
    from portinf.targets.tensorrt.optimize import TensorrtOptions
    from portinf.targets.tensorrt.profiles import parse_span

    check_precision(given)
    spans = [parse_span(text) for text in given["spans"]]
    labels = [label for label, _ in spans]
    if len(set(labels)) < len(labels):
        raise UsageError(f"--axis-range: axis '{next(label for label in labels if labels.count(label) > 1)}' is given twice")
    return TensorrtOptions(
        tensorrt=given["tensorrt"],
        release=given["triton_release"],
        precision=given["precision"] or "fp32",
        physics=read_precision_physics(given),
        max_batch_size=given["max_batch_size"],
        spans=dict(spans),
        name=given["name"],
        check=given["check_with"] == "rtx",
        build=given["build"],
    )


def lines(result: TensorrtResult) -> Iterator[str]:
    """Yield the text on a written folder."""
    place = f"Triton {result.release}, " if result.release else ""
    yield f"{result.folder}: '{result.name}' for {place}TensorRT {result.version}, {result.precision}"
    yield f"  batching: max_batch_size {result.max_batch_size}: {result.batching}"
    for which in ("min", "opt", "max") if result.profile.inputs else ():
        yield f"  {which} shapes: {result.profile.text(which)}"
    yield f"  operators: checked against {', '.join(result.checked.sources)}"
    if result.proxy is not None:
        yield f"  {result.proxy.text()}"
    if result.built:
        yield f"  engine: built here; {result.recorded} recorded requests agree"
    else:
        yield f"  engine: not built. Run {quote(f'{result.folder}/build_engine.sh')} in the serving container;"
        yield f"  it is installed only if all {result.recorded} recorded requests match"
    for line in precision_lines(result.lowered) if result.lowered else ():
        yield f"  {line}"
