"""Chooses the three ports of a server and makes sure they are free before anything is started."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from portinf.core.errors import ServingError, UsageError

__all__ = ["HOST", "Ports", "choose_ports"]

HOST = "127.0.0.1"
_OPTIONS = {"http": "--http-port", "grpc": "--grpc-port", "metrics": "--metrics-port"}


@dataclass(frozen=True, kw_only=True)
class Ports:
    """TCP ports on the loopback address; 0 stands for any free port."""

    http: int = 8000
    grpc: int = 8001
    metrics: int = 8002


def choose_ports(requested: Ports) -> Ports:
    """Return three different ports that can be bound now, each 0 replaced by a free one.

    Raises:
        UsageError: a port is out of range, or one port is named twice.
        ServingError: a named port is in use; the message names the option that changes it.
    """
    given = {"http": requested.http, "grpc": requested.grpc, "metrics": requested.metrics}
    _check_numbers(given)
    held: list[socket.socket] = []
    try:
        for kind in sorted(given, key=lambda name: given[name] == 0):
            held.append(_bind(kind, given[kind]))
            given[kind] = held[-1].getsockname()[1]
    finally:
        for taken in held:
            taken.close()
    return Ports(**given)


def _check_numbers(given: dict[str, int]) -> None:
    for kind, port in given.items():
        if not 0 <= port <= 65535:
            raise UsageError(f"{_OPTIONS[kind]} {port}: a port is a number from 1 to 65535, or 0 for any free one")
    named = [port for port in given.values() if port]
    if len(set(named)) < len(named):
        raise UsageError(f"the ports must differ: {', '.join(f'{_OPTIONS[kind]} {port}' for kind, port in given.items())}")


def _bind(kind: str, port: int) -> socket.socket:
    test = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # As the server does: an old connection in TIME_WAIT is no obstacle, a listener is.
    test.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        test.bind((HOST, port))
        test.listen(1)
    except OSError as error:
        test.close()
        reason = error.strerror or str(error)
        option = _OPTIONS[kind]
        raise ServingError(
            f"port {port} for {kind} on {HOST} cannot be used: {reason}; stop what listens there, or choose another with "
            f"{option} N ({option} 0 takes any free port)"
        ) from error
    return test
