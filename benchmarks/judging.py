"""Measures what convert, package and optimize cost by the samples that they judge on: CPU seconds of the command, children included.

Run: ``python benchmarks/judging.py [--rounds N] [--rows N]``; convert runs once. The portinf of the current folder is measured, so
another version is compared by running this file from there. The models are those of `benchmarks/conversion.py`; the samples are one
request, and for the multi-layer perceptron a file of many rows as well.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np

# so that `python benchmarks/judging.py` works from any folder
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.conversion import HERE, MODELS, save_sample
from benchmarks.processes import measured

__all__: list[str] = []


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=200_000)
    told = parser.parse_args()
    portinf = [sys.executable, "-m", "portinf"]
    print(f"{'':44}{'median':>8}{'least':>8}{'most':>8}   CPU seconds")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "mlp.npy", np.random.default_rng(0).normal(size=(told.rows, 16)).astype(np.float32))
        for model, samples in (("mlp", "mlp.npz"), ("graph", "graph.npz"), ("mlp", "mlp.npy")):
            save_sample(MODELS[model], folder / f"{model}.npz")
            given, file = ["--inputs", str(folder / samples)], str(folder / f"{model}.onnx")
            given += [] if samples.endswith("z") else ["--input-columns", "x=array"]
            axes = ",".join(MODELS[model].axes)
            source = f"{HERE / 'conversion_models.py'}:{model}"
            commands = {
                "convert": ["convert", source, *given, "--dynamic", axes, "-o", file],
                "package": ["package", file, *given, "--repository", str(folder / "models")],
                "optimize": ["optimize", file, *given, "--target", "onnxruntime", "-o", str(folder / "fast.onnx")],
            }
            for verb, arguments in commands.items():
                rounds = 1 if verb == "convert" else told.rounds
                seconds = [measured([*portinf, *arguments]).cpu for _ in range(rounds)]
                shown = f"{verb} {model}, {'one request' if samples.endswith('z') else f'{told.rows:,} rows'}"
                print(f"{shown:44}{statistics.median(seconds):8.2f}{min(seconds):8.2f}{max(seconds):8.2f}", flush=True)


if __name__ == "__main__":
    main()
