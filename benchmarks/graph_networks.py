"""Graph networks on one thread: eager PyTorch, the plain export and what ``portinf optimize`` makes of it, in turns.

Run: ``python benchmarks/graph_networks.py [--rounds N] [NETWORK ...]``. Times are medians of one request in ms, with the spread of
the middle half; the error is that of the optimised file against eager, over the largest element.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

sys.path.insert(0, str(Path(__file__).parent))
import graph_models  # type: ignore[import-not-found]

NETWORKS = ("edge_sum", "edge_mean", "edge_max", "interaction", "gin", "gat", "sage", "pna")
SIZES = ((50, 200), (1000, 6000), (6400, 32000))
WARM = 3


def graph(nodes: int, edges: int) -> dict[str, Any]:
    """Return a random graph."""
    rng = np.random.default_rng(nodes)
    return {"x": rng.normal(size=(nodes, 8)).astype(np.float32), "edge_index": rng.integers(0, nodes, (2, edges))}


def portinf(*arguments: str) -> None:
    """Run the command line; a failure ends the benchmark."""
    subprocess.run([sys.executable, "-m", "portinf", *arguments], check=True, capture_output=True)


def prepared(name: str, folder: Path) -> tuple[Path, Path, Path]:
    """Write weights, the plain export and the optimised file of a network."""
    torch.manual_seed(1)
    weights, plain, fast = folder / f"{name}.pt", folder / f"{name}.onnx", folder / f"{name}.fast.onnx"
    torch.save(getattr(graph_models, name)().state_dict(), weights)
    samples = []
    for number, size in enumerate(((50, 200), (70, 311))):
        np.savez(folder / f"{number}.npz", **graph(*size))
        samples += ["--inputs", str(folder / f"{number}.npz")]
    np.savez(folder / "large.npz", **graph(*SIZES[-1]))
    source = f"{Path(__file__).parent / 'graph_models.py'}:{name}"
    loose = ["--rtol", "1e-3", "--atol", "1e-4"]  # sums over many edges in another order
    portinf("convert", source, "--weights", str(weights), *samples, *loose, "-o", str(plain))
    how = ["--target", "onnxruntime", "--threads", "1", "--inputs", str(folder / "large.npz")]
    portinf("optimize", str(plain), *how, *loose, "-o", str(fast))
    return weights, plain, fast


def session(path: Path) -> Any:
    """Open a file on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def in_turns(runs: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each run, asked in turns."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + WARM):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if number >= WARM:
                times[name].append(time.perf_counter() - start)
    return times


def shown(times: list[float]) -> str:
    """Return median and middle half in ms."""
    low, middle, high = statistics.quantiles(times, n=4)
    return f"{middle * 1e3:8.2f} ({low * 1e3:.2f}-{high * 1e3:.2f})"


def main() -> None:
    """Print one line for each network and size."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{time.strftime('%Y-%m-%d')}, one thread, {given.rounds} rounds, ms: median (middle half)")
    print(
        f"{'network':12}{'nodes/edges':>12}  {'eager':>24}  {'plain export':>24}  {'portinf':>24}  to eager  to plain   error"
    )
    with tempfile.TemporaryDirectory() as name:
        for network in given.networks:
            weights, plain, fast = prepared(network, Path(name))
            model = getattr(graph_models, network)().eval()
            model.load_state_dict(torch.load(weights, weights_only=True))
            sessions = {"plain": session(plain), "fast": session(fast)}
            for size in SIZES:
                inputs = graph(*size)
                tensors = [torch.from_numpy(array) for array in inputs.values()]
                with torch.inference_mode():
                    runs = {"eager": lambda m=model, t=tensors: m(*t)}  # type: ignore[misc]
                    runs |= {key: lambda s=s, i=inputs: s.run(None, i)[0] for key, s in sessions.items()}  # type: ignore[misc]
                    wanted, found = runs["eager"]().numpy(), runs["fast"]()
                    times = in_turns(runs, given.rounds)
                middle = {key: statistics.median(values) for key, values in times.items()}
                error = float(np.abs(found - wanted).max() / np.abs(wanted).max())
                row = "  ".join(f"{shown(times[key]):>24}" for key in ("eager", "plain", "fast"))
                ratios = f"{middle['eager'] / middle['fast']:8.2f}  {middle['plain'] / middle['fast']:8.2f}"
                print(f"{network:12}{f'{size[0]}/{size[1]}':>12}  {row}  {ratios}  {error:.1e}", flush=True)


if __name__ == "__main__":
    main()
