"""A network with every kind of layer, built by hls4ml and compiled once a session."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from portinf.core.signature import Signature
from portinf.fixedpoint.network import Network, load, save
from portinf.targets.fpga.runners.csim import CSimRunner
from portinf.targets.fpga.tools.compile import LIBRARY, build
from portinf.targets.fpga.tools.hls4ml import ProjectOptions, write_project
from tests.fixedpoint.networks import everything


@dataclass(frozen=True)
class Built:
    """A network, its project and the folder of compiled libraries."""

    network: Network
    project: Path
    cache: Path
    fresh: bool

    def simulation(self) -> CSimRunner:
        """Return the runner of the C simulation."""
        return CSimRunner(self.project / LIBRARY, self.network, Signature(inputs=(), outputs=()), "csim")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    pytest.importorskip("hls4ml", reason="hls4ml is not installed")
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    folder = tmp_path_factory.mktemp("everything")
    save(everything(), folder / "network")
    write_project(folder / "network", folder / "project", ProjectOptions())
    fresh = build(folder / "project", folder / "cache")
    return Built(network=load(folder / "network"), project=folder / "project", cache=folder / "cache", fresh=fresh)
