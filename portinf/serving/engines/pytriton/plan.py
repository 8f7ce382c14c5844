"""The engine that needs nothing installed: the server of the nvidia-pytriton wheel with ONNX Runtime as its backend."""

from __future__ import annotations

from portinf.serving.engines import EngineRequest
from portinf.serving.engines.pytriton.command import command_for
from portinf.serving.server.process import ServerCommand

__all__ = ["plan"]


def plan(request: EngineRequest) -> ServerCommand:
    """Return the command for a request, creating the serving environment first if need be."""
    from portinf.serving.engines.pytriton.canary import prepare

    return command_for(prepare(request.serving_env, request.report), request)
