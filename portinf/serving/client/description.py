"""Describes a server that is ready: its addresses, and for each model its tensors and a client to paste."""

from __future__ import annotations

from typing import Any

from portinf.core.errors import printable
from portinf.serving.client.control import in_a_url
from portinf.serving.client.snippet import ServedTensor, snippet, tensors
from portinf.serving.server.launcher import Server

__all__ = ["description", "render"]


def description(server: Server) -> dict[str, Any]:
    """Return addresses, process id and models of a server as plain values for JSON."""
    return {
        "http": server.http,
        "grpc": server.grpc,
        "metrics": server.metrics,
        "engine": server.engine,
        "pid": server.pid,
        "models": [_model(server, name) for name in server.models],
    }


def render(described: dict[str, Any]) -> str:
    """Return a description as text for people."""
    lines = [
        "Serving:",
        f"  HTTP     {described['http']}",
        f"  gRPC     {described['grpc']}",
        f"  metrics  {described['metrics']}",
    ]
    for model in described["models"]:
        versions = ", ".join(str(version) for version in model["versions"])
        lines += [
            "",
            f"# Model {printable(model['name'])}, version {versions}: a client to paste",
            *model["client"].splitlines(),
        ]
    return "\n".join(lines)


def _model(server: Server, name: str) -> dict[str, Any]:
    config = server.control.config(name)
    return {
        "name": name,
        "versions": server.control.ready_versions(name),
        "max_batch_size": int(config.get("max_batch_size", 0)),
        "inputs": [_tensor(tensor) for tensor in tensors(config, "input")],
        "outputs": [_tensor(tensor) for tensor in tensors(config, "output")],
        "client": snippet(config, server.http) if in_a_url(name) else snippet(config, server.grpc, "grpc"),
    }


def _tensor(tensor: ServedTensor) -> dict[str, Any]:
    described = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
    return {**described, "maximums": dict(tensor.maximums)} if tensor.maximums else described
