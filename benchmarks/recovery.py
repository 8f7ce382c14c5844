"""Measures how long a served model is away when the process behind it is killed with -9 while requests flow.

Run: ``python benchmarks/recovery.py DIR MODEL`` on a model repository. Each round kills one process of the model and counts
the seconds from the kill to the first right answer after it; the server itself goes on.
"""

from __future__ import annotations

import os
import platform
import signal
import statistics
import sys
import time
from pathlib import Path

from portinf.core.batch import Batch, load_goldens
from portinf.core.errors import PortinfError
from portinf.runners.endpoint.runner import EndpointRunner
from portinf.samples.generate import generate
from portinf.serving.reload.stub_supervisor import read_stubs
from portinf.serving.server.launcher import ServeOptions, serve
from portinf.serving.server.ports import Ports

ROUNDS = 7


def kill_one(server: int, model: str) -> None:
    """Kill one instance process of the model."""
    for pid, stub in sorted(read_stubs(server).items()):
        if stub.model == model:
            os.kill(pid, signal.SIGKILL)
            return
    raise SystemExit(f"no process of model {model} found")


def away(uri: str, batch: Batch, server: int, model: str) -> float:
    """Return the seconds from the kill until requests, sent without a pause, are answered for a whole second."""
    kill_one(server, model)
    start = time.perf_counter()
    since: float | None = None
    failed = 0.0
    while since is None or time.perf_counter() - since < 1.0:
        try:
            with EndpointRunner(uri) as runner:
                runner.infer(batch.inputs)
            since = since or time.perf_counter()
        except PortinfError:
            since, failed = None, time.perf_counter() - start
    return failed


def main() -> None:
    """Print the seconds of each round and their median."""
    repository, model = Path(sys.argv[1]), sys.argv[2]
    with serve(repository, ServeOptions(ports=Ports(http=0, grpc=0, metrics=0)), lambda line: None) as server:
        uri = f"http://{server.http}/{model}"
        goldens = sorted((repository / model).glob("*/goldens.npz"))
        with EndpointRunner(uri) as runner:
            batch = load_goldens(goldens[-1])[0] if goldens else generate(runner.signature)
        seconds = [away(uri, batch, server.pid, model) for _ in range(ROUNDS)]
        alive = server.pid
    print(f"{time.strftime('%Y-%m-%d')}, Python {platform.python_version()}, {os.cpu_count()} cores, server {alive} went on")
    print("seconds until the last failed request:", " ".join(f"{value:.2f}" for value in seconds))
    print(f"median {statistics.median(seconds):.2f}, largest {max(seconds):.2f}")


if __name__ == "__main__":
    main()
