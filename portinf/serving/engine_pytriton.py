"""The engine that needs nothing installed: the server of the nvidia-pytriton wheel with ONNX Runtime as its backend."""

from __future__ import annotations

from portinf.serving.engines import EngineRequest
from portinf.serving.process import ServerCommand
from portinf.serving.pytriton_command import command_for

__all__ = ["plan"]


def plan(request: EngineRequest) -> ServerCommand:
    """Return the command for a request, making the serving environment first if need be."""
    from portinf.serving.prepare import prepare

    return command_for(prepare(request.serving_env, request.report), request)
