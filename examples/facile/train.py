"""Trains the FACILE example and writes ``facile.keras`` and two files of events into a folder.

python -m examples.facile.train demo-output/facile
"""

from __future__ import annotations

import argparse
import os
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read by TensorFlow when it is first imported

import keras
import numpy as np

from examples.facile.model import build
from examples.facile.sample import Float32, Sample, generate, sum_of_two_slices

__all__ = ["EVENTS", "mean_pull", "resolution", "train", "write"]

SEED = 2007_10359
TRAINING_CHANNELS = 200_000
TEST_CHANNELS = 30_000
EVENTS = {"events_small.npz": 1200, "events_large.npz": 5000}  # file name: channels in it
BATCH = 1024
EPOCHS = 12
BINS_GEV = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


def train(sample: Sample, epochs: int = EPOCHS) -> Any:
    """Return a trained ``keras.Model``; the same sample gives the same network, up to the order of floating-point sums.

    The loss is the absolute error over the expected resolution, so that all energies count alike.
    """
    keras.utils.set_random_seed(SEED)
    model = build()
    steps = epochs * -(-len(sample.energy) // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(1e-2, steps)
    model.compile(optimizer=keras.optimizers.Adam(rate), loss="mean_absolute_error")
    weight = 1.0 / expected_resolution(sample.energy[:, 0])
    model.fit(sample.inputs, sample.energy, sample_weight=weight, batch_size=BATCH, epochs=epochs, verbose=0)
    return model


def expected_resolution(energy: Float32) -> Float32:
    """Error in GeV that is natural at an energy in GeV (same shape): noise, stochastic and constant term in quadrature."""
    return np.asarray(np.sqrt(0.25**2 + (0.15**2) * energy + (0.03 * energy) ** 2), dtype=np.float32)


def mean_pull(estimate: Float32, truth: Float32) -> float:
    """Mean absolute error of estimates [channel, 1] in units of the expected resolution: smaller is better."""
    return float(np.mean(np.abs(estimate - truth) / expected_resolution(truth)))


def resolution(estimate: Float32, truth: Float32) -> tuple[float, float]:
    """Bias (median) and resolution (half of the central 68 %) of (estimate - truth) / truth."""
    low, median, high = np.percentile((estimate - truth) / truth, [16.0, 50.0, 84.0])
    return float(median), float(high - low) / 2.0


def write(model: Any, folder: Path) -> None:
    """Write the model and the event files; each file appears complete or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    for offset, (name, channels) in enumerate(EVENTS.items(), start=2):
        part = folder / f".part-{name}"
        arrays: dict[str, Any] = {model.inputs[0].name: generate(channels, SEED + offset).inputs}
        np.savez(part, **arrays)
        part.replace(folder / name)
    part = folder / ".part-facile.keras"
    model.save(part)
    part.replace(folder / "facile.keras")


def _print_comparison(model: Any) -> None:
    """Print bias and resolution of network and baseline on channels that the training did not see."""
    test = generate(TEST_CHANNELS, SEED + 1)
    network = model.predict(test.inputs, batch_size=4096, verbose=0)
    baseline = sum_of_two_slices(test.inputs)
    print("true energy      network: bias, resolution    two slices: bias, resolution")
    for low, high in pairwise(BINS_GEV):
        chosen = ((test.energy > low) & (test.energy <= high))[:, 0]
        shown = [resolution(estimate[chosen], test.energy[chosen]) for estimate in (network, baseline)]
        cells = "        ".join(f"{100 * bias:+8.1f} %   {100 * width:6.1f} %" for bias, width in shown)
        print(f"{low:5.1f}-{high:5.1f} GeV  {cells}")
    ours, theirs = mean_pull(network, test.energy), mean_pull(baseline, test.energy)
    print(f"mean error / expected resolution: network {ours:.2f}, two slices {theirs:.2f}")


def main() -> None:
    """Parse the command line, train, write and report."""
    parser = argparse.ArgumentParser(description="Train the FACILE example.")
    parser.add_argument("folder", type=Path, help="where to write facile.keras, events_small.npz and events_large.npz")
    folder: Path = parser.parse_args().folder
    start = time.perf_counter()
    model = train(generate(TRAINING_CHANNELS, SEED))
    seconds = time.perf_counter() - start
    print(f"{model.count_params()} parameters, trained on {TRAINING_CHANNELS} channels in {seconds:.1f} s")
    _print_comparison(model)
    write(model, folder)
    print(f"wrote {folder / 'facile.keras'} and {', '.join(EVENTS)}")


if __name__ == "__main__":
    main()
