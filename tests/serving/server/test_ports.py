"""Ports are checked before anything is started."""

from __future__ import annotations

import socket

import pytest

from portinf.core.errors import ServingError, UsageError
from portinf.serving.server.ports import Ports, choose_ports


def test_zero_gives_three_different_free_ports() -> None:
    chosen = choose_ports(Ports(http=0, grpc=0, metrics=0))
    assert len({chosen.http, chosen.grpc, chosen.metrics}) == 3
    assert choose_ports(chosen) == chosen


@pytest.mark.parametrize("kind", ["http", "grpc", "metrics"])
def test_a_port_in_use_names_its_option(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServingError, match=f"port {port} for {kind} .*--{kind}-port N"):
            choose_ports(Ports(**{"http": 0, "grpc": 0, "metrics": 0, kind: port}))


def test_one_port_twice_and_no_port_at_all() -> None:
    with pytest.raises(UsageError, match="must differ: --http-port 9000, --grpc-port 9000"):
        choose_ports(Ports(http=9000, grpc=9000, metrics=0))
    with pytest.raises(UsageError, match="--grpc-port 70000"):
        choose_ports(Ports(http=0, grpc=70000, metrics=0))
