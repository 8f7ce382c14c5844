"""``portinf validate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from portinf.cli.options import json_option, loading_options, permission_options, read_sourcing_options, tolerance_options
from portinf.cli.progress import progress_line
from portinf.errors import DisagreementError, UsageError

if TYPE_CHECKING:
    from portinf.validation import Report

__all__ = ["command"]


@click.command("validate")
@click.argument("reference")
@click.argument("candidates", metavar="CANDIDATE...", nargs=-1, required=True)
@loading_options
@permission_options
@tolerance_options
@click.option("--allow-nan", is_flag=True, help="NaN at the same places on both sides is right.")
@click.option("--bisect", is_flag=True, help="Name the first node or layer at which the sides part.")
@click.option(
    "--reproducer",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where --bisect puts that node alone with its inputs; beside the report, or bisect-MODEL here.",
)
@click.option(
    "--reference-precision",
    "precision",
    type=click.Choice(["fp32", "fp64"]),
    help="fp64: measure both sides against the reference in float64. fp32: refuse a reference in half precision.",
)
@click.option(
    "--tolerance-from",
    type=click.Choice(["fp64"]),
    help="Take each output's tolerance from the reference's own distance from float64.",
)
@click.option("--report", type=click.Path(path_type=Path), metavar="FILE", help="Also write a report: .html, .md or .json.")
@json_option
def command(reference: str, candidates: tuple[str, ...], report: Path | None, as_json: bool, **given: Any) -> None:
    """Compare CANDIDATEs with a REFERENCE, output by output.

    Each side is a source (see convert), an ONNX file, the folder of a packaged
    model (as REFERENCE its recorded outputs), or a live model:
    grpc://HOST:PORT/MODEL[/VERSION] or http://HOST:PORT/MODEL[/VERSION].
    Every candidate is also compared with the one before it. Without --inputs the
    goldens of a packaged side are used, else inputs made from a signature. The
    exit code is 5 if any comparison disagrees.

    \b
    Examples:
      portinf validate model.keras model.onnx --inputs events.npz
      portinf validate net.py:build net.onnx grpc://localhost:8001/net \\
          --inputs events.npz --report report.html
      portinf validate net.onnx optimised.onnx --bisect --reproducer small/
      portinf validate models/facile http://localhost:8000/facile
    """
    from portinf.validation import Tolerance, check_report_path, json_text, text, write_report
    from portinf.workflow.validate import ValidateOptions, validate

    if given["tolerance_from"] and (given["rtol"] is not None or given["atol"] is not None):
        raise UsageError("--tolerance-from gives each output its own tolerance; leave out --rtol and --atol")
    if report is not None:
        check_report_path(report)
    options = ValidateOptions(
        sourcing=read_sourcing_options(given),
        tolerance=Tolerance.of(given["rtol"], given["atol"]),
        allow_nan=given["allow_nan"],
        bisect=given["bisect"] or given["reproducer"] is not None,
        reproducer=given["reproducer"] or (report and report.parent / f"bisect-{report.stem}"),
        precision=given["precision"],
        tolerance_from=given["tolerance_from"],
    )
    with progress_line() as progress:
        found = validate(reference, candidates, options, progress)
    if report is not None:
        write_report(report, found)
    click.echo(json_text(found) if as_json else text(found), nl=False)
    if not found.equal:
        raise DisagreementError(_first(found))


def _first(report: Report) -> str:
    hop = next(hop for hop in report.hops if hop.verdict != "equal")
    found = [check.text for check in hop.checks if check.name == "bisection" and check.status == "reported"]
    return "; ".join([f"{hop.candidate} disagrees with {hop.reference}: {hop.summary()}", *found])
