"""``portinf validate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup

from portinf.cli.options import (
    ROLE,
    STREAM,
    TOLERANCE,
    json_option,
    model_options,
    read_sourcing_options,
    sample_options,
)
from portinf.cli.options.metrics import METRICS, read_physics_options
from portinf.cli.progress import progress_line
from portinf.core.errors import DisagreementError, UsageError

if TYPE_CHECKING:
    from portinf.validation import Report

__all__ = ["command"]


@cloup.command("validate")
@cloup.argument("reference")
@cloup.argument("candidates", metavar="CANDIDATE...", nargs=-1, required=True)
@sample_options(*STREAM)
@cloup.option_group(
    "Comparison",
    *TOLERANCE,
    click.option(
        "--tolerance-from",
        type=click.Choice(["fp64"]),
        help="Take each output's tolerance from the distance between the reference and its float64 result.",
    ),
    click.option(
        "--reference-precision",
        "precision",
        type=click.Choice(["fp32", "fp64"]),
        help="fp64: compare both models with the reference in float64. fp32: refuse a reference in half precision.",
    ),
    click.option("--allow-nan", is_flag=True, help="Accept NaN where both models give NaN."),
    click.option(
        "--set-axis",
        "sets",
        multiple=True,
        metavar="AXIS",
        help="Treat this dynamic axis as unordered; also test permutations.",
    ),
    click.option("--probes/--no-probes", default=True, help="Also test with other batches, padding, orders and threads."),
)
@cloup.option_group(
    "Report",
    click.option("--report", type=click.Path(path_type=Path), metavar="FILE", help="Also write a report: .html, .md or .json."),
    click.option(
        "--save-worst", type=click.Path(path_type=Path), metavar="FILE.npz", help="Write the inputs of the ten worst rows."
    ),
    click.option("--bisect", is_flag=True, help="Find the first node or layer where the models differ."),
    click.option(
        "--reproducer",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Folder for a model of that node only, with its inputs. Default: beside the report, else ./bisect-MODEL.",
    ),
)
@cloup.option_group("Physics metrics", *METRICS)
@cloup.option_group(
    "ONNX Runtime",
    click.option("--threads", type=click.IntRange(min=0), default=0, metavar="N", help="Intra-op threads of each model."),
    click.option("--provider", default="cpu", metavar="NAME", help="Execution provider for the candidates. Default: cpu."),
    click.option(
        "--graph-level",
        type=click.Choice(["none", "basic", "extended", "all"]),
        default="all",
        help="Graph optimization level for the candidates. Default: all.",
    ),
)
@model_options(ROLE)
@json_option
def command(reference: str, candidates: tuple[str, ...], report: Path | None, as_json: bool, **given: Any) -> None:
    """Compare CANDIDATEs with a REFERENCE, output by output.

    Each is a source (see convert), an ONNX file, the folder of a packaged model
    (as REFERENCE its recorded outputs), a goldens.npz, or a live model:
    grpc://HOST:PORT/MODEL[/VERSION] or http://HOST:PORT/MODEL[/VERSION].
    Every candidate is also compared with the one before it. Without --inputs the
    golden outputs of a packaged model are used, else generated inputs. The exit
    code is 5 if any comparison disagrees. Files larger than memory are read in
    parts.

    \b
    Examples:
      portinf validate model.keras model.onnx --inputs events.npz
      portinf validate net.py:build net.onnx grpc://localhost:8001/net \\
          --inputs events.npz --report report.html
      portinf validate tagger.onnx fast.onnx --inputs jets.npz --label is_b \\
          --weight w --max-auc-loss 0.001
      portinf validate facile.onnx fast.onnx --inputs jets.root:Events \\
          --input-columns x=pt,eta,phi
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
    comparison = next(comparison for comparison in report.comparisons if comparison.verdict != "equal")
    found = [check.text for check in comparison.checks if check.name == "bisection" and check.status == "reported"]
    return "; ".join([f"{comparison.candidate} disagrees with {comparison.reference}: {comparison.summary()}", *found])
