"""Chooses the engine that starts the server, by name or by what this machine has."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from portinf.core.errors import CannotError, UsageError
from portinf.serving.server.ports import Ports
from portinf.serving.server.process import ServerCommand

__all__ = ["CONTAINERS", "ENGINES", "OWN", "EngineRequest", "Plan", "choose_engine", "plan", "server_arguments"]

# One file per engine; each has ``plan(request) -> ServerCommand``.
ENGINES: dict[str, str] = {
    "pytriton": "portinf.serving.engines.pytriton.plan:plan",
    "path": "portinf.serving.engines.path:plan",
    "docker": "portinf.serving.engines.docker:plan",
    "apptainer": "portinf.serving.engines.apptainer:plan",
}
OWN = "pytriton"  # with a backend of portinf's own
CONTAINERS = ("docker", "apptainer")


@dataclass(frozen=True, kw_only=True)
class EngineRequest:
    """What an engine must know to start a server.

    ``repository`` is the folder to serve, ``models`` the names of its models, ``scratch`` a temporary folder of this
    server, ``prefix`` that of its shared-memory regions; ``complete`` says that no configuration needs completion.
    """

    repository: Path
    models: tuple[str, ...]
    scratch: Path
    ports: Ports
    prefix: str
    complete: bool
    image: str | None
    serving_env: Path | None
    report: Callable[[str], None]


Plan = Callable[[EngineRequest], ServerCommand]


def choose_engine(name: str, image: str | None) -> str:
    """Return the name of an engine; ``auto`` takes a container where an image is named, else a server on PATH, else pytriton.

    Raises:
        UsageError: the name is unknown, or an image is missing or does not fit.
        CannotError: an image is named, and neither docker nor apptainer is there.
    """
    if name != "auto" and name not in ENGINES:
        raise UsageError(f"no engine is called '{name}'; there are auto, {', '.join(ENGINES)}")
    if name in CONTAINERS and not image:
        raise UsageError(
            f"the engine {name} needs an image; name one with --image, such as nvcr.io/nvidia/tritonserver:25.01-py3"
        )
    if name != "auto":
        if image and name not in CONTAINERS:
            raise UsageError(f"the engine {name} takes no image; leave out --image, or choose docker or apptainer")
        return name
    if image:
        for container in CONTAINERS:
            if shutil.which(container):
                return container
        raise CannotError("an image is named, but neither docker nor apptainer is on PATH: install one, or leave out --image")
    return "path" if shutil.which("tritonserver") else OWN


def plan(engine: str, request: EngineRequest) -> ServerCommand:
    """Return the command of an engine for a request."""
    module, _, attribute = ENGINES[engine].partition(":")
    made: Plan = getattr(importlib.import_module(module), attribute)
    return made(request)


def server_arguments(request: EngineRequest, repository: str, ports: Ports, host: str) -> list[str]:
    """Return the arguments of ``tritonserver`` that all engines share; the paths and ports are those that the server sees.

    Models are always controlled explicitly, all of them loaded at the start: under poll mode a model cannot be loaded
    again when its process has died. They are named, so that a hidden folder of an unfinished copy is not taken for one. A
    bad model must not end the server: the reasons are then in the repository index.
    """
    # A model called * would stand for all of them: then all of them are asked for.
    names = ("*",) if "*" in request.models else request.models
    arguments = [
        f"--model-repository={repository}",
        "--model-control-mode=explicit",
        *(f"--load-model={name}" for name in names),
        "--exit-on-error=false",
        "--strict-readiness=false",
        f"--http-address={host}",
        f"--http-port={ports.http}",
        f"--grpc-address={host}",
        f"--grpc-port={ports.grpc}",
        f"--metrics-address={host}",
        f"--metrics-port={ports.metrics}",
    ]
    if request.complete:
        arguments.append("--disable-auto-complete-config")
    return arguments
