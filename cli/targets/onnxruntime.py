"""The options of a search in ``portinf optimize``, and how its result is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from portinf.cli.options import read_stream_options
from portinf.cli.progress import progress_line
from portinf.core.errors import UsageError

if TYPE_CHECKING:
    from portinf.validation import PhysicsOptions

__all__ = ["check_search", "run_search", "search_options"]

F = TypeVar("F", bound=Callable[..., Any])


def search_options(function: F) -> F:
    """Add --search and --report."""
    report = click.option(
        "--report", type=click.Path(path_type=Path), metavar="FILE.html", help="Also write what --search found, with a plot."
    )
    search = click.option(
        "--search", is_flag=True, help="Time rewritings, precisions, levels and threads on --inputs; take the best."
    )
    return search(report(function))


def check_search(given: Mapping[str, Any], target: str) -> None:
    """Refuse what does not fit a search, before anything is computed.

    Raises:
        UsageError: --report without --search, or a target that is not searched.
    """
    if not given["search"]:
        if given["report"] is not None:
            raise UsageError("--report: it is the report of --search; for one of a comparison use portinf validate --report")
        return
    if target != "onnxruntime":
        raise UsageError(f"--search: only for --target onnxruntime, not for {target}")


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
