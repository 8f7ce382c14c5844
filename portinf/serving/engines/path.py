"""The engine that takes a ``tritonserver`` found on PATH, with the backends it was built with."""

from __future__ import annotations

import os
import shutil

from portinf.core.errors import CannotError
from portinf.serving.engines import EngineRequest, server_arguments
from portinf.serving.server.ports import HOST
from portinf.serving.server.process import ServerCommand

__all__ = ["plan"]


def plan(request: EngineRequest) -> ServerCommand:
    """Return the command that starts the installed server.

    Raises:
        CannotError: there is none on PATH.
    """
    program = shutil.which("tritonserver")
    if program is None:
        raise CannotError("there is no tritonserver on PATH; add its folder to PATH, or leave out --engine path")
    arguments = server_arguments(request, str(request.repository), request.ports, HOST)
    arguments.append(f"--backend-config=python,shm-region-prefix-name={request.prefix}")
    return ServerCommand(engine="path", command=(program, *arguments), environment=dict(os.environ))
