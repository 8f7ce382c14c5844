"""The engine that starts the stock container with apptainer; its command line is tested, the container itself is not run here."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from portinf.core.errors import CannotError, printable
from portinf.serving.engines import EngineRequest, server_arguments
from portinf.serving.server.ports import HOST
from portinf.serving.server.process import ServerCommand

__all__ = ["plan"]


def plan(request: EngineRequest) -> ServerCommand:
    """Return the command that runs the image, a file or a name in a registry, with the repository bound read-only.

    Raises:
        CannotError: apptainer is not on PATH, or does not accept this path.
    """
    program = shutil.which("apptainer")
    if program is None:
        raise CannotError("apptainer is not on PATH; install it, or leave out --engine apptainer")
    repository = request.repository.resolve()
    if set(":,") & set(str(repository)):
        raise CannotError(
            f"apptainer takes no path with a colon or a comma: {printable(str(repository))}; name the repository by another path"
        )
    image = str(request.image)
    if "://" not in image and not Path(image).exists():
        image = f"docker://{image}"
    command = [program, "exec", "--cleanenv", f"--bind={repository}:/models:ro", image]
    server = ["tritonserver", *server_arguments(request, "/models", request.ports, HOST)]
    return ServerCommand(engine="apptainer", command=(*command, *server), environment=dict(os.environ))
