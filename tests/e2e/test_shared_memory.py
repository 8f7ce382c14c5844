"""The same numbers over the wire and through shared memory, on a real server; nothing is left behind."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from portinf.commands.package import package
from portinf.conversion.convert import ConvertOptions
from portinf.core.errors import ServingError
from portinf.packaging.options import PackageOptions
from portinf.runners.endpoint.runner import EndpointRunner
from tests.runners import fake_grpc
from tests.serving.live import serving, traces
from tests.triton.models import honest, minus_mean

__all__ = ["traces"]


def regions() -> list[Path]:
    """Return what this process keeps in shared memory for its requests; those of servers are seen by ``traces``."""
    return list(Path("/dev/shm").glob(f"portinf_{os.getpid()}_*"))


@pytest.mark.usefixtures("traces")
def test_the_same_numbers_and_nothing_left(tmp_path: Path) -> None:
    for name, write in (("batched", honest), ("whole", minus_mean)):
        options = PackageOptions(repository=tmp_path / "models", name=name)
        package(str(write(tmp_path / f"{name}.onnx")), options, ConvertOptions())
    with serving(tmp_path / "models") as server:
        for name in ("batched", "whole"):
            for scheme, place in (("grpc", server.grpc), ("http", server.http)):
                for rows in (1, 5, 200):  # more than max_batch_size is sent in parts
                    x = np.random.default_rng(rows).normal(size=(rows, 4)).astype(np.float32)
                    with (
                        EndpointRunner(f"{scheme}://{place}/{name}") as wire,
                        EndpointRunner(f"{scheme}+shm://{place}/{name}") as shared,
                    ):
                        (output,) = [spec.name for spec in wire.signature.outputs]
                        np.testing.assert_array_equal(shared.infer({"x": x})[output], wire.infer({"x": x})[output])
    assert not regions()


def test_a_server_that_cannot_reach_it_is_one_clear_line() -> None:
    expected = r"shared memory: .*needs a server on this machine, outside any container"
    with (
        fake_grpc.serve(lambda *_: None) as address,
        EndpointRunner(f"grpc+shm://{address}/m") as runner,
        pytest.raises(ServingError, match=expected),
    ):
        runner.infer({"x": np.ones((3, 2), np.float32)})
    assert not regions()
