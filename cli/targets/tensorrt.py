"""The options of ``portinf optimize --target tensorrt``, and how its result is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from shlex import quote
from typing import TYPE_CHECKING, Any, TypeVar

import click

from portinf.core.errors import UsageError

if TYPE_CHECKING:
    from portinf.targets.tensorrt.optimize import TensorrtOptions, TensorrtResult
    from portinf.validation import PhysicsOptions

__all__ = ["read_tensorrt_options", "refuse_tensorrt_options", "tensorrt_lines", "tensorrt_options"]

F = TypeVar("F", bound=Callable[..., Any])
_OPTIONS = {
    "tensorrt": "--tensorrt",
    "release": "--release",
    "max_batch": "--max-batch",
    "spans": "--range",
    "name": "--name",
    "check": "--check",
    "build": "--build",
}


def tensorrt_options(function: F) -> F:
    """Add the options that only TensorRT has."""
    for option in reversed(
        (
            click.option("--release", metavar="YY.MM", help="tensorrt: release of the Triton that will serve it."),
            click.option(
                "--tensorrt", metavar="VERSION", help="tensorrt: its version, such as 8.6 or 10.3, where no release is given."
            ),
            click.option(
                "--max-batch",
                type=click.IntRange(min=0),
                metavar="N",
                help="tensorrt: rows that the server may join; default 64 if rows are proved independent, else 0.",
            ),
            click.option(
                "--range",
                "spans",
                multiple=True,
                metavar="LABEL=MIN:OPT:MAX",
                help="tensorrt: lengths of an axis; default from the samples.",
            ),
            click.option("--name", metavar="NAME", help="tensorrt: name of the model in Triton; default: the stem of MODEL."),
            click.option(
                "--check", type=click.Choice(["rtx"]), help="tensorrt: parse and build with TensorRT-RTX on this CPU, a proxy."
            ),
            click.option(
                "--build", is_flag=True, help="tensorrt: build and check the engine here, with this machine's trtexec and GPU."
            ),
        )
    ):
        function = option(function)
    return function


def refuse_tensorrt_options(target: str, given: Mapping[str, Any]) -> None:
    """Refuse these options for another target.

    Raises:
        UsageError: one was given.
    """
    for key, option in _OPTIONS.items():
        if given[key] not in (None, (), False):
            raise UsageError(f"{option}: only with --target tensorrt, not with --target {target}")


def read_tensorrt_options(given: Mapping[str, Any], physics: PhysicsOptions) -> TensorrtOptions:
    """Turn the text of the options into data.

    Raises:
        UsageError: a range is of another form, an axis is given twice, or an option does not fit this target.
    """
    from portinf.targets.tensorrt.optimize import TensorrtOptions
    from portinf.targets.tensorrt.profiles import parse_span

    if given["threads"]:
        raise UsageError("--threads: only with --target onnxruntime; TensorRT runs on a GPU")
    spans = [parse_span(text) for text in given["spans"]]
    labels = [label for label, _ in spans]
    if len(set(labels)) < len(labels):
        raise UsageError(f"--range: axis '{next(label for label in labels if labels.count(label) > 1)}' is given twice")
    return TensorrtOptions(
        tensorrt=given["tensorrt"],
        release=given["release"],
        precision=given["precision"] or "fp32",
        physics=physics,
        max_batch_size=given["max_batch"],
        spans=dict(spans),
        name=given["name"],
        check=given["check"] == "rtx",
        build=given["build"],
    )


def tensorrt_lines(result: TensorrtResult) -> Iterator[str]:
    """Yield what there is to say of a written folder."""
    place = f"Triton {result.release}, " if result.release else ""
    yield f"{result.folder}: '{result.name}' for {place}TensorRT {result.version}, {result.precision}"
    yield f"  batching: max_batch_size {result.max_batch_size}: {result.batching}"
    for which, words in (("least", "smallest"), ("usual", "usual"), ("most", "largest")):
        if result.profile.inputs:
            yield f"  {words} shapes: {result.profile.text(which)}"
    yield f"  operators: held against {', '.join(result.checked.sources)}"
    if result.proxy is not None:
        yield f"  {result.proxy.text()}"
    if result.built:
        yield f"  engine: built here; {result.recorded} recorded requests agree"
    else:
        yield f"  engine: not built (not run here): run {quote(f'{result.folder}/build_engine.sh')} in the serving container, on its GPU;"
        yield f"  it must answer {result.recorded} recorded requests before it is put in place"
