"""Chooses the engine that starts the server, by name or by what this machine has."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from portinf.errors import CannotError, UsageError
from portinf.serving.ports import Ports
from portinf.serving.process import ServerCommand

__all__ = ["ENGINES", "EngineRequest", "Plan", "choose_engine", "plan", "server_arguments"]

# One file per engine; each has ``plan(request) -> ServerCommand``.
ENGINES: dict[str, str] = {
    "pytriton": "portinf.serving.engine_pytriton:plan",
    "path": "portinf.serving.engine_path:plan",
    "docker": "portinf.serving.engine_docker:plan",
    "apptainer": "portinf.serving.engine_apptainer:plan",
}


@dataclass(frozen=True, kw_only=True)
class EngineRequest:
    """What an engine must know to start a server.

    ``repository`` is the folder to serve, ``models`` the names of its models, ``scratch`` a temporary folder of this
    server, ``prefix`` that of its shared-memory regions; ``complete`` says that no configuration needs completion,
    ``config_name`` names an alternative configuration or is empty.
    """

    repository: Path
    models: tuple[str, ...]
    scratch: Path
    ports: Ports
    prefix: str
    complete: bool
    config_name: str
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
    containers = ("docker", "apptainer")
    if name in containers and not image:
        raise UsageError(
            f"the engine {name} needs an image; name one with --image, such as nvcr.io/nvidia/tritonserver:25.01-py3"
        )
    if name != "auto":
        if image and name not in containers:
            raise UsageError(f"the engine {name} takes no image; leave out --image, or choose docker or apptainer")
        return name
    if image:
        for container in containers:
            if shutil.which(container):
                return container
        raise CannotError("an image is named, but neither docker nor apptainer is on PATH: install one, or leave out --image")
    return "path" if shutil.which("tritonserver") else "pytriton"


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
    arguments = [
        f"--model-repository={repository}",
        "--model-control-mode=explicit",
        *(f"--load-model={name}" for name in request.models),
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
    if request.config_name:
        arguments.append(f"--model-config-name={request.config_name}")
    return arguments
