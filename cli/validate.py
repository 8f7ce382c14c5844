"""``portinf validate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from portinf.cli.options import (
    json_option,
    loading_options,
    permission_options,
    read_sourcing_options,
    role_option,
    stream_options,
    tolerance_options,
)
from portinf.cli.options.metrics import metrics_options, read_physics_options
from portinf.cli.progress import progress_line
from portinf.core.errors import DisagreementError, UsageError

if TYPE_CHECKING:
    from portinf.validation import Report

__all__ = ["command"]


@click.command("validate")
@click.argument("reference")
@click.argument("candidates", metavar="CANDIDATE...", nargs=-1, required=True)
@loading_options
@stream_options
@role_option
@permission_options
@tolerance_options
@click.option("--threads", type=click.IntRange(min=0), default=0, metavar="N", help="Threads of ONNX Runtime for each side.")
@click.option("--allow-nan", is_flag=True, help="NaN at the same places on both sides is right.")
@click.option(
    "--set-axis", "sets", multiple=True, metavar="AXIS", help="The order along this dynamic axis has no meaning: try others."
)
@click.option("--probes/--no-probes", default=True, help="Also ask with other neighbours, paddings, orders and threads.")
@click.option("--provider", default="cpu", metavar="NAME", help="Execution provider of the candidates' ONNX files (cpu).")
@click.option(
    "--graph-level",
    type=click.Choice(["none", "basic", "extended", "all"]),
    default="all",
    help="How far ONNX Runtime may rewrite the candidates' graphs (all).",
)
@metrics_options
@click.option(
    "--save-worst", type=click.Path(path_type=Path), metavar="FILE.npz", help="Write the inputs of the ten worst rows."
)
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
    model (as REFERENCE its recorded outputs), a goldens.npz, or a live model:
    grpc://HOST:PORT/MODEL[/VERSION] or http://HOST:PORT/MODEL[/VERSION].
    Every candidate is also compared with the one before it. Without --inputs the
    goldens of a packaged side are used, else inputs made from a signature. The
    exit code is 5 if any comparison disagrees. Files larger than memory are read
    in parts.

    \b
    Examples:
      portinf validate model.keras model.onnx --inputs events.npz
      portinf validate net.py:build net.onnx grpc://localhost:8001/net \\
          --inputs events.npz --report report.html
      portinf validate tagger.onnx fast.onnx --inputs jets.npz --label is_b \\
          --weight w --max-auc-loss 0.001
      portinf validate facile.onnx fast.onnx --inputs jets.root:Events \\
          --columns x=pt,eta,phi
      portinf validate net.onnx optimised.onnx --bisect --reproducer small/
      portinf validate models/facile http://localhost:8000/facile
    """
    from portinf.commands.validate import ValidateOptions, validate
    from portinf.locate.sides import OnnxOptions
    from portinf.validation import Tolerance, check_report_path, json_text, text, write_report

    if given["tolerance_from"] and (given["rtol"] is not None or given["atol"] is not None):
        raise UsageError("--tolerance-from gives each output its own tolerance; leave out --rtol and --atol")
    if report is not None:
        check_report_path(report)
    options = ValidateOptions(
        sourcing=read_sourcing_options(given),
        tolerance=Tolerance.of(given["rtol"], given["atol"]),
        allow_nan=given["allow_nan"],
        sets=given["sets"],
        probes=given["probes"],
        onnx=OnnxOptions(provider=given["provider"], level=given["graph_level"], threads=given["threads"]),
        physics=read_physics_options(given),
        save_worst=given["save_worst"],
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
