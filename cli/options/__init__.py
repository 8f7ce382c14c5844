"""Options that several commands share, and how their text is read."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import cloup

from portinf.core.errors import UsageError

if TYPE_CHECKING:
    from portinf.conversion.convert import ConvertOptions
    from portinf.conversion.options import SourcingOptions
    from portinf.core.signature import Role
    from portinf.samples import StreamOptions

__all__ = [
    "COLUMNS",
    "FILE",
    "INPUTS",
    "ROLE",
    "STREAM",
    "TOLERANCE",
    "convert_options",
    "json_option",
    "model_options",
    "read_convert_options",
    "read_sourcing_options",
    "read_stream_options",
    "sample_options",
    "source_options",
]

F = TypeVar("F", bound=Callable[..., Any])
Option = Callable[[F], F]

json_option = click.option("--json", "as_json", is_flag=True, help="Print only a JSON report on stdout.")
INPUTS = click.option(
    "--inputs",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Samples: .npz (one request), .npy, HDF5 (FILE:GROUP), Parquet, ROOT (FILE:TREE). May be repeated; axes whose "
    "length differs between the files become dynamic.",
)
COLUMNS = (
    click.option(
        "--input-columns",
        "columns",
        multiple=True,
        metavar="INPUT=COL,COL,...",
        help="Columns of the files that fill an input, in this order. Default: the column with the input's name.",
    ),
    click.option(
        "--layout",
        "layouts",
        multiple=True,
        metavar="INPUT=AXIS,AXIS,...",
        help="Meaning of an input's axes where their lengths leave it open: rows, entries, features.",
    ),
    click.option(
        "--mask",
        "masks",
        multiple=True,
        metavar="INPUT=COL",
        help="Fill an input with 1 where a row of column COL has an entry, else 0.",
    ),
)
STREAM = (
    click.option(
        "--extra-column",
        "beside",
        multiple=True,
        metavar="NAME[=COL]",
        help="Also read this column of the files, for example a label or a weight.",
    ),
    click.option(
        "--batch-rows",
        type=click.IntRange(min=1),
        metavar="N",
        help="Rows of a file read at once. Default: about 64 MB, at most 65536 rows.",
    ),
    click.option("--max-rows", type=click.IntRange(min=1), metavar="N", help="Rows of a file read in total. Default: all."),
    click.option("--first-row", type=click.IntRange(min=0), default=0, metavar="N", help="First row to read. Default: 0."),
)
ROLE = click.option(
    "--role",
    "roles",
    multiple=True,
    metavar="NAME=KIND[:AXIS[:GROUPS]]",
    help="Meaning of an input's numbers: value, index:AXIS, segment:AXIS, mask:AXIS, row_splits:AXIS. Default: detected.",
)
PERMISSIONS = (
    click.option("--allow-pickle", is_flag=True, help="Unpickle the model's files. This runs code from them."),
    click.option("--allow-code", is_flag=True, help="Run code from the model file, such as Lambda layers."),
    click.option("--freeze-state", is_flag=True, help="Keep the model's own state as loaded, although calls change it."),
)
LIMITS = (
    click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=1800.0,
        metavar="SECONDS",
        help="Time limit for one step of the source's process. Default: 1800.",
    ),
    click.option(
        "--memory",
        type=click.FloatRange(min=0, min_open=True),
        metavar="GB",
        help="Memory limit of the source's process. Default: no limit.",
    ),
)
TOLERANCE = (
    click.option("--rtol", type=float, metavar="R", help="|candidate - reference| <= A + R |reference|. Default: by type."),
    click.option(
        "--atol", type=float, metavar="A", help="See --rtol. Default: by type, times the scale of each output column."
    ),
)
FILE = (
    click.option("--opset", type=int, metavar="N", help="ONNX opset to write. Default: 18."),
    click.option("--triton-release", metavar="YY.MM", help="Oldest Triton release that must be able to load the result."),
)


axis_options = cloup.option_group(
    "Axes",
    click.option(
        "--dynamic",
        multiple=True,
        metavar="NAME:AXIS[=LABEL],...",
        help="Make an axis dynamic. Axes with the same label have the same length.",
    ),
    click.option("--minimum", "minimums", multiple=True, metavar="AXIS=N", help="Smallest length of a dynamic axis."),
    click.option("--maximum", "maximums", multiple=True, metavar="AXIS=N", help="Largest length of a dynamic axis."),
    ROLE,
)


def sample_options(*more: Option[Any]) -> Option[Any]:
    """Return the group of options on files of samples."""
    value_range = click.option(
        "--value-range",
        "ranges",
        multiple=True,
        metavar="INPUT=LOW:HIGH",
        help="Range of generated values. Default: learned from the samples.",
    )
    return cloup.option_group("Samples", INPUTS, *COLUMNS, value_range, *more)


def model_options(*more: Option[Any]) -> Option[Any]:
    """Return the group of options on how a source is loaded."""
    return cloup.option_group(
        "Loading the model",
        click.option("--weights", type=click.Path(path_type=Path), help="Weights for the model that a factory returns."),
        click.option(
            "--saved-model-signature", "signature", metavar="NAME", help="Signature of a SavedModel or a .tflite file."
        ),
        click.option("--input-name", "input_names", multiple=True, metavar="OLD=NEW", help="Rename an input."),
        click.option("--outputs", metavar="A,B", help="Names of the outputs, in the model's order."),
        *PERMISSIONS,
        *more,
    )


def source_options(function: F) -> F:
    """Add everything that describes a source."""
    for group in (axis_options, model_options(*LIMITS), sample_options()):
        function = group(function)
    return function


def convert_options(function: F) -> F:
    """Add every option of ``portinf convert`` but those on the file that is written."""
    return source_options(cloup.option_group("Comparison", *TOLERANCE)(function))


def _pairs(texts: Sequence[str], option: str, form: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.rpartition("=")
        if not sign or not name or not value:
            raise UsageError(f"{option} {text}: expected {form}")
        pairs[name] = value
    return pairs


def _dynamic(texts: Sequence[str]) -> dict[tuple[str, int], str]:
    found: dict[tuple[str, int], str] = {}
    for part in (part for text in texts for part in text.split(",") if part):
        match = re.fullmatch(r"(?P<name>.+):(?P<axis>\d+)(=(?P<label>[^=:,]+))?", part)
        if match is None:
            raise UsageError(f"--dynamic {part}: expected NAME:AXIS or NAME:AXIS=LABEL, for example x:0=nodes")
        found[match["name"], int(match["axis"])] = match["label"] or ""
    return found


def _roles(texts: Sequence[str]) -> Mapping[str, Role]:
    from portinf.core.signature import Role

    roles: dict[str, Role] = {}
    for name, value in _pairs(texts, "--role", "NAME=KIND[:AXIS[:GROUPS]]").items():
        kind, _, rest = value.partition(":")
        of, _, into = rest.partition(":")
        if kind not in ("value", "index", "segment", "mask", "row_splits"):
            raise UsageError(f"--role {name}={value}: no such kind; expected value, index, segment, mask or row_splits")
        if (kind == "value") == bool(of):
            raise UsageError(f"--role {name}={value}: expected {'no axis' if of else 'an axis, as ' + kind + ':AXIS'}")
        roles[name] = Role(kind=kind, of=of or None, into=into or None)  # type: ignore[arg-type]
    return roles


def _lengths(texts: Sequence[str], option: str) -> dict[str, int]:
    pairs = _pairs(texts, option, "AXIS=N")
    for label, value in pairs.items():
        if not value.isdigit():
            raise UsageError(f"{option} {label}={value}: expected a whole number")
    return {label: int(value) for label, value in pairs.items()}


def _ranges(texts: Sequence[str]) -> dict[str, tuple[float, float]]:
    found: dict[str, tuple[float, float]] = {}
    for name, value in _pairs(texts, "--value-range", "INPUT=LOW:HIGH").items():
        low, _, high = value.partition(":")
        try:
            found[name] = float(low), float(high)
        except ValueError as error:
            raise UsageError(f"--value-range {name}={value}: expected two numbers, as INPUT=LOW:HIGH") from error
        if not -math.inf < found[name][0] <= found[name][1] < math.inf:
            raise UsageError(f"--value-range {name}={value}: expected LOW:HIGH with LOW no larger than HIGH")
    return found


def _lists(texts: Sequence[str], option: str, form: str) -> dict[str, list[str]]:
    found = {name: [item.strip() for item in value.split(",")] for name, value in _pairs(texts, option, form).items()}
    for name, items in found.items():
        if "" in items:
            raise UsageError(f"{option} {name}={','.join(items)}: a name is empty; expected {form}")
    return found


def _layouts(texts: Sequence[str]) -> dict[str, list[str]]:
    from portinf.samples.options import AXES

    found = _lists(texts, "--layout", "INPUT=AXIS,AXIS,...")
    for name, words in found.items():
        unknown = [word for word in words if word not in AXES]
        if unknown or len(set(words)) < len(words):
            raise UsageError(f"--layout {name}={','.join(words)}: expected each of {', '.join(AXES)} once at most")
    return found


def read_stream_options(given: Mapping[str, Any]) -> StreamOptions:
    """Read the options on sample files; options that the command lacks count as not given.

    Raises:
        UsageError: a text is not of the form expected.
    """
    from portinf.samples import StreamOptions

    beside = [text.partition("=") for text in given.get("beside", ())]
    for name, sign, column in beside:
        if not name or (sign and not column):
            raise UsageError(f"--extra-column {name}{sign}{column}: expected NAME or NAME=COL")
    return StreamOptions(
        columns=_lists(given.get("columns", ()), "--input-columns", "INPUT=COL,COL,..."),
        beside={name: column or name for name, _, column in beside},
        layouts=_layouts(given.get("layouts", ())),
        masks=_pairs(given.get("masks", ()), "--mask", "INPUT=COL"),
        batch_rows=given.get("batch_rows"),
        first_row=given.get("first_row", 0),
        max_rows=given.get("max_rows"),
    )


def read_sourcing_options(given: Mapping[str, Any]) -> SourcingOptions:
    """Read the options on a source; options that the command lacks count as not given.

    Raises:
        UsageError: a text is not of the form expected.
    """
    from portinf.conversion.options import SourcingOptions

    outputs = given.get("outputs")
    names = [name.strip() for name in outputs.split(",")] if outputs else []
    if "" in names:
        raise UsageError(f"--outputs {outputs}: a name is empty; expected A,B")
    return SourcingOptions(
        weights=given.get("weights"),
        inputs=given.get("inputs", ()),
        streams=read_stream_options(given),
        dynamic=_dynamic(given.get("dynamic", ())),
        roles=_roles(given.get("roles", ())),
        minimums=_lengths(given.get("minimums", ()), "--minimum"),
        maximums=_lengths(given.get("maximums", ()), "--maximum"),
        ranges=_ranges(given.get("ranges", ())),
        input_names=_pairs(given.get("input_names", ()), "--input-name", "OLD=NEW"),
        outputs=names,
        signature=given.get("signature"),
        allow_pickle=bool(given.get("allow_pickle")),
        allow_code=bool(given.get("allow_code")),
        freeze_state=bool(given.get("freeze_state")),
        timeout=given.get("timeout", 1800.0),
        memory=given.get("memory"),
    )


def read_convert_options(given: Mapping[str, Any]) -> ConvertOptions:
    """Read what `convert_options` parsed.

    Raises:
        UsageError: a text is not of the form expected.
    """
    from portinf.conversion.convert import ConvertOptions
    from portinf.validation import Tolerance

    return ConvertOptions(
        sourcing=read_sourcing_options(given),
        tolerance=Tolerance.of(given.get("rtol"), given.get("atol")),
        opset=given.get("opset"),
        triton_release=given.get("triton_release"),
        force=bool(given.get("force")),
    )
