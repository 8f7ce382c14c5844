"""Trains the three networks and writes each as PyTorch weights and as a Keras model, with rows for calibration and tests.

python -m examples.fpga.train fpga-output [NETWORK ...]
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read by TensorFlow when it is first imported

import numpy as np
import torch
from torch import nn

from examples.fpga import data, networks

__all__ = ["NETWORKS", "Network", "train", "write"]

ROWS, TEST, EPOCHS, BATCH = 40_000, 20_000, 8, 512
CALIBRATION = 4_000  # rows on which formats are chosen


@dataclass(frozen=True, kw_only=True)
class Network:
    """One of the three.

    Attributes:
        build: makes the untrained module.
        sample: makes rows from their number and a seed.
        signal: class whose ROC curve is drawn; empty for the energy.
    """

    build: Callable[[], nn.Module]
    sample: Callable[[int, int], data.Sample]
    signal: int | None


NETWORKS = {
    "jet": Network(build=networks.jet, sample=data.jets, signal=2),
    "facile": Network(build=networks.facile, sample=data.channels, signal=None),
    "image": Network(build=networks.image, sample=data.images, signal=2),
}


def train(name: str, rows: int = ROWS, epochs: int = EPOCHS) -> nn.Module:
    """Return a trained module in evaluation mode."""
    torch.manual_seed(2010)
    network = NETWORKS[name]
    sample = network.sample(rows, 1)
    inputs, truth = torch.from_numpy(sample.inputs), torch.from_numpy(sample.truth)
    module = network.build().train()
    if network.signal is None:
        with torch.no_grad():
            module.layers[-1].bias.fill_(2.0)  # its activation must not be stuck at zero
    steps = epochs * (rows // BATCH)
    optimiser = torch.optim.Adam(module.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, total_steps=steps)
    for _ in range(epochs):
        order = torch.randperm(rows)
        for number in range(rows // BATCH):
            chosen = order[number * BATCH : (number + 1) * BATCH]
            loss = _loss(module(inputs[chosen]), truth[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return module.eval()


def _loss(found: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    if truth.is_floating_point():
        wide = torch.sqrt(0.25**2 + 0.15**2 * truth + (0.03 * truth) ** 2)
        return ((found[:, 0] - truth).abs() / wide).mean()
    return nn.functional.nll_loss(torch.log(found + 1e-9), truth)


def write(name: str, module: nn.Module, folder: Path) -> None:
    """Write weights, the Keras model, and rows: for calibration and for tests, in both layouts of images."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(module.state_dict(), folder / f"{name}.pt")
    networks.in_keras(module).save(folder / f"{name}.keras")
    network = NETWORKS[name]
    for part, rows, seed in (("calibration", CALIBRATION, 2), ("test", TEST, 3)):
        sample = network.sample(rows, seed)
        beside = _truth(sample, network) if part == "test" else {}
        np.savez(folder / f"{name}-{part}.npz", x=sample.inputs, **beside)
        if sample.inputs.ndim == 4:
            last = np.ascontiguousarray(np.moveaxis(sample.inputs, 1, -1))
            np.savez(folder / f"{name}-{part}-last.npz", x=last, **beside)


def _truth(sample: data.Sample, network: Network) -> dict[str, Any]:
    return {"energy": sample.truth} if network.signal is None else {"signal": (sample.truth == network.signal).astype(np.int64)}


def main() -> None:
    """Parse the command line, train, write, and say how good the networks are."""
    parser = argparse.ArgumentParser(description="Train the networks for the FPGA example.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS))
    given = parser.parse_args()
    folder: Path = given.folder
    for name in given.networks:
        network = NETWORKS[name]
        module = train(name)
        test = network.sample(TEST, 3)
        with torch.no_grad():
            found = module(torch.from_numpy(test.inputs)).numpy()
        if network.signal is None:
            pull = (found[:, 0] - test.truth) / test.truth
            low, middle, high = np.percentile(pull[test.truth > 5], [16, 50, 84])
            print(f"{name}: above 5 GeV bias {100 * middle:+.1f} %, resolution {50 * (high - low):.1f} %")
        else:
            print(f"{name}: {100 * (found.argmax(1) == test.truth).mean():.1f} % right")
        write(name, module, folder)


if __name__ == "__main__":
    main()
