"""The engine that starts the stock container with docker; its command line is tested, the container itself is not run here."""

from __future__ import annotations

import os
import shutil

from portinf.core.errors import CannotError, printable
from portinf.serving.engines import EngineRequest, server_arguments
from portinf.serving.server.ports import HOST, Ports
from portinf.serving.server.process import ServerCommand

__all__ = ["plan"]

_INSIDE = Ports(http=8000, grpc=8001, metrics=8002)


def plan(request: EngineRequest) -> ServerCommand:
    """Return the command that runs the image with the repository mounted read-only and the ports on the loopback address.

    Raises:
        CannotError: docker is not on PATH, or does not accept this path.
    """
    program = shutil.which("docker")
    if program is None:
        raise CannotError("docker is not on PATH; install it, or leave out --engine docker")
    repository = request.repository.resolve()
    if ":" in str(repository):
        raise CannotError(
            f"docker takes no path with a colon: {printable(str(repository))}; name the repository by another path"
        )
    name = request.prefix.rstrip("_")
    published = zip(
        (request.ports.http, request.ports.grpc, request.ports.metrics),
        (_INSIDE.http, _INSIDE.grpc, _INSIDE.metrics),
        strict=True,
    )
    publish = [f"--publish={HOST}:{outside}:{inside}" for outside, inside in published]
    command = [program, "run", "--rm", "--init", f"--name={name}", "--shm-size=1g", *publish]
    command.append(f"--volume={repository}:/models:ro")
    server = ["tritonserver", *server_arguments(request, "/models", _INSIDE, "0.0.0.0")]
    return ServerCommand(
        engine="docker",
        command=(*command, str(request.image), *server),
        environment=dict(os.environ),
        after=(program, "rm", "--force", name),
    )
