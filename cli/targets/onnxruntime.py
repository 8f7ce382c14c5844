"""Options of ``portinf optimize --target onnxruntime``; runs a search and prints its result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup

from portinf.cli.options import read_stream_options
from portinf.cli.progress import progress_line

if TYPE_CHECKING:
    from portinf.validation import PhysicsOptions

__all__ = ["onnxruntime_options", "run_search"]

onnxruntime_options = cloup.option_group(
    "ONNX Runtime",
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


def run_search(
    model: Path,
    output: Path,
    inputs: tuple[Path, ...],
    given: Mapping[str, Any],
    physics: PhysicsOptions,
    *,
    as_json: bool,
) -> None:
    """Search, write the file and the report, and print the table."""
    from portinf.targets.onnxruntime.search import PRECISIONS, search
    from portinf.targets.onnxruntime.search_report import FORMATS, search_text, write_search
    from portinf.validation import Tolerance
    from portinf.validation.reports.write import check_report_path

    if given["report"] is not None:
        check_report_path(given["report"], FORMATS)
    with progress_line() as progress:
        result = search(
            model,
            output,
            inputs=inputs,
            streams=read_stream_options(given),
            tolerance=Tolerance.of(given["rtol"], given["atol"]),
            physics=physics,
            threads=given["threads"],
            precisions=[given["precision"]] if given["precision"] else PRECISIONS,
            progress=progress,
        )
    if given["report"] is not None:
        write_search(given["report"], model, result)
    if as_json:
        click.echo(json.dumps(result.to_json(), indent=2))
        return
    for note in result.notes:
        click.echo(f"note: {note}", err=True)
    click.echo(search_text(result), nl=False)
