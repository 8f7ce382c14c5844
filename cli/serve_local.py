"""The command `portinf serve-local`: a real Triton on a model repository, without a container."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
import cloup

from portinf.core.errors import DisagreementError, UsageError

if TYPE_CHECKING:
    from portinf.serving.server.launcher import ServeOptions

__all__ = ["command"]

_PORTS = {"http": 8000, "grpc": 8001, "metrics": 8002}


@cloup.command("serve-local")
@cloup.argument("repository", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option("--http-port", type=int, help="Port for HTTP; 0 takes a free one.  [default: 8000, with --replay a free one]")
@click.option("--grpc-port", type=int, help="Port for gRPC; 0 takes a free one.  [default: 8001, with --replay a free one]")
@click.option(
    "--metrics-port", type=int, help="Port for metrics; 0 takes a free one.  [default: 8002, with --replay a free one]"
)
@click.option(
    "--replay", is_flag=True, help="Replay the golden outputs of every model over HTTP and gRPC, print a table, and stop."
)
@click.option("--prepare", is_flag=True, help="Only create the serving environment.")
@click.option(
    "--serving-env",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Directory of the serving environment; created if missing.",
)
@click.option("--engine", default="auto", metavar="NAME", help="auto, pytriton, path, docker or apptainer.  [default: auto]")
@click.option("--image", metavar="NAME", help="Container image for docker or apptainer.")
@click.option(
    "--load-timeout", type=float, default=300.0, metavar="SECONDS", help="Time limit for loading the models.  [default: 300]"
)
@click.option(
    "--allow-code",
    is_flag=True,
    help="Also run code that comes with the models: Python models that portinf did not package, libraries.",
)
@click.option("--json", "as_json", is_flag=True, help="Print endpoints and models, or the report of --replay, as JSON.")
def command(
    repository: Path | None,
    http_port: int | None,
    grpc_port: int | None,
    metrics_port: int | None,
    replay: bool,
    prepare: bool,
    serving_env: Path | None,
    engine: str,
    image: str | None,
    load_timeout: float,
    allow_code: bool,
    as_json: bool,
) -> None:
    """Serve the model repository DIR with a local Triton.

    The server runs until Ctrl-C. The folder is served unchanged, as in a stock
    container. Only this machine can reach the server. The first use creates a
    serving environment in the user's cache folder; see --prepare. A Python model
    runs only if portinf packaged it and no file was changed since; --allow-code
    runs any.

    \b
    Example:
      portinf serve-local models
      portinf serve-local models --replay
    """
    from portinf.serving.server.launcher import termination_as_interrupt

    with termination_as_interrupt():
        if prepare:
            _prepare(serving_env, as_json)
            return
        if repository is None:
            raise UsageError("name the model repository to serve: portinf serve-local DIR (or use --prepare)")
        options = _options((http_port, grpc_port, metrics_port), replay, serving_env, engine, image, load_timeout, allow_code)
        if replay:
            _replay(repository, options, as_json)
        else:
            _serve(repository, options, as_json)


def _options(
    ports: tuple[int | None, int | None, int | None],
    replay: bool,
    serving_env: Path | None,
    engine: str,
    image: str | None,
    load_timeout: float,
    allow_code: bool,
) -> ServeOptions:
    from portinf.serving.server.launcher import ServeOptions
    from portinf.serving.server.model_code import CodeRule
    from portinf.serving.server.ports import Ports
    from portinf.triton.manifest import verify

    chosen = {
        name: given if given is not None else 0 if replay else usual
        for given, (name, usual) in zip(ports, _PORTS.items(), strict=True)
    }
    return ServeOptions(
        ports=Ports(**chosen),
        engine=engine,
        image=image,
        serving_env=serving_env,
        load_timeout=load_timeout,
        code=CodeRule(allow=allow_code, verify=verify),
    )


def _prepare(serving_env: Path | None, as_json: bool) -> None:
    from portinf.serving.engines.pytriton.canary import prepare

    made = prepare(serving_env, _report)
    record = {"folder": str(made.folder), "python": made.version}
    click.echo(json.dumps(record, indent=2) if as_json else f"The serving environment is ready: {made.folder}")


def _serve(repository: Path, options: ServeOptions, as_json: bool) -> None:
    from portinf.serving.client.description import description, render
    from portinf.serving.server.launcher import serve

    serving = False
    try:
        with serve(repository, options, _report) as server:
            serving = True
            described = description(server)
            click.echo(json.dumps(described, indent=2) if as_json else render(described))
            _report("serving; Ctrl-C ends it")
            server.wait()
    except KeyboardInterrupt:
        # Ctrl-C is how serving ends; before that it is an interruption.
        if not serving:
            raise
        _report("stopped")


def _replay(repository: Path, options: ServeOptions, as_json: bool) -> None:
    from portinf.commands.serve_check import check_repository, render

    report = check_repository(repository, options, _report)
    click.echo(json.dumps(report.to_json(), indent=2) if as_json else render(report))
    if not report.agrees:
        raise DisagreementError(report.verdict)


def _report(line: str) -> None:
    click.echo(line, err=True)
