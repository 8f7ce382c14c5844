"""Graph networks on one thread: eager PyTorch, torch.compile, the plain export and what ``portinf optimize`` makes of it, in turns.

Run: ``python benchmarks/graph_networks.py [--rounds N] [--plot FILE.svg] [NETWORK ...]``. Times are medians of one request in ms, with
the spread of the middle half; the error is that of the optimised file against eager, over the largest element. At the largest size
the roofline says how long the optimised graph takes at the least on this core: by its multiplications, and operator by operator.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
import graph_models  # type: ignore[import-not-found]
from graph_roofline import limits, machine, one_thread  # type: ignore[import-not-found]

SUMS = ("edge_sum", "edge_mean", "interaction")  # edge networks with sums or means
NETWORKS = (*SUMS, "edge_max", "gin", "gat", "sage", "pna", "dynamic", "gravnet", "particlenet")
CLOUDS = ("dynamic", "gravnet")  # take points alone and find their neighbours themselves
JETS = {50: (1, 50), 70: (2, 35), 1000: (10, 100), 6400: (64, 100)}  # nodes -> jets and particles of ParticleNet
SIZES = ((50, 200), (1000, 6000), (6400, 32000))
WAYS = ("eager", "compiled", "plain", "portinf")
WARM = 3


@dataclass(frozen=True, kw_only=True)
class Row:
    """One network at one size: seconds of every round by way, the error, and at the largest size the least seconds."""

    network: str
    size: tuple[int, int]
    times: Mapping[str, list[float]]
    error: float
    least: tuple[float, float] | None

    def middle(self, way: str) -> float:
        """Return the median of a way."""
        return statistics.median(self.times[way]) if self.times.get(way) else float("nan")

    def ratio(self, way: str) -> float:
        """Return how many times faster portinf's file is."""
        return self.middle(way) / self.middle("portinf")


def graph(name: str, nodes: int, edges: int) -> dict[str, Any]:
    """Return the inputs of a network: a random graph, a cloud of points or jets without padding."""
    rng = np.random.default_rng(nodes)
    if name in CLOUDS:
        return {"x": rng.normal(size=(nodes, 8)).astype(np.float32)}
    if name == "particlenet":
        jets, particles = JETS[nodes]
        shapes = {"points": (jets, 2, particles), "features": (jets, 8, particles)}
        found = {key: rng.normal(size=shape).astype(np.float32) for key, shape in shapes.items()}
        return {**found, "mask": np.ones((jets, 1, particles), np.float32)}
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
        np.savez(folder / f"{number}.npz", **graph(name, *size))
        samples += ["--inputs", str(folder / f"{number}.npz")]
    np.savez(folder / "large.npz", **graph(name, *SIZES[-1]))
    source = f"{Path(__file__).parent / 'graph_models.py'}:{name}"
    loose = ["--rtol", "1e-3", "--atol", "1e-4"]  # sums over many edges in another order
    portinf("convert", source, "--weights", str(weights), *samples, *loose, "-o", str(plain))
    how = ["--target", "onnxruntime", "--threads", "1", "--inputs", str(folder / "large.npz")]
    portinf("optimize", str(plain), *how, *loose, "-o", str(fast))
    return weights, plain, fast


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


def compiled(model: Any, tensors: list[Any]) -> Callable[[], Any] | None:
    """Return a run of ``torch.compile`` of a model for these sizes, None where it does not work."""
    torch._dynamo.reset()
    made = torch.compile(model, dynamic=False)
    try:
        made(*tensors)
    except Exception as error:  # noqa: BLE001  # whatever its compilers end with: this way is left out
        print(f"torch.compile: {type(error).__name__}: {str(error).splitlines()[0][:100]}", file=sys.stderr)
        return None
    return lambda: made(*tensors)


def measured(name: str, folder: Path, rounds: int, core: tuple[float, float]) -> list[Row]:
    """Measure one network at all sizes."""
    weights, plain, fast = prepared(name, folder)
    model = getattr(graph_models, name)().eval()
    model.load_state_dict(torch.load(weights, weights_only=True))
    sessions = {"plain": one_thread(str(plain)), "portinf": one_thread(str(fast))}
    rows = []
    for size in SIZES:
        inputs = graph(name, *size)
        tensors = [torch.from_numpy(array) for array in inputs.values()]
        with torch.inference_mode():
            runs: dict[str, Callable[[], Any]] = {"eager": lambda t=tensors: model(*t)}  # type: ignore[misc]
            other = compiled(model, tensors)
            runs |= {} if other is None else {"compiled": other}
            runs |= {key: lambda s=s, i=inputs: s.run(None, i)[0] for key, s in sessions.items()}  # type: ignore[misc]
            requested, found = runs["eager"]().numpy(), runs["portinf"]()
            times = in_turns(runs, rounds)
        least = limits(fast, inputs, *core) if size == SIZES[-1] else None
        error = float(np.abs(found - requested).max() / np.abs(requested).max())
        rows.append(Row(network=name, size=size, times=times, error=error, least=least))
    return rows


def shown(times: list[float] | None) -> str:
    """Return median and middle half in ms."""
    if not times:
        return "-"
    low, middle, high = statistics.quantiles(times, n=4)
    return f"{middle * 1e3:.3g} ({low * 1e3:.3g}-{high * 1e3:.3g})"


def line(row: Row) -> str:
    """Return one line of the table."""
    size = f"{row.size[0]}/{row.size[1]}"
    ways = "".join(f"{shown(row.times.get(way)):>21}" for way in WAYS)
    ratios = "".join(f"{row.ratio(way):10.2f}" for way in WAYS[:-1])
    least = "" if row.least is None else f"{row.least[0] * 1e3:8.2f}{row.least[1] * 1e3:8.2f}"
    return f"{row.network:12}{size:>11}{ways}{ratios}{row.error:9.1e}{least}"


def plot(rows: list[Row], path: Path) -> None:
    """Draw the largest size: a group of bars a network, times as shares of eager, and the roofline as a mark."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    rows = [row for row in rows if row.least is not None]
    figure, axes = pyplot.subplots(figsize=(9, 0.62 * len(rows) + 1.6), layout="constrained")
    colors = {"eager": "#9aa3ad", "compiled": "#5b7f95", "plain": "#d9a441", "portinf": "#1f6f54"}
    names = {"eager": "PyTorch eager", "compiled": "torch.compile", "plain": "plain export", "portinf": "portinf optimize"}
    for place, row in enumerate(rows):
        for number, way in enumerate(WAYS):
            label = names[way] if place == 0 else None
            axes.barh(place + 0.2 * (number - 1.5), row.middle(way) * 1e3, height=0.19, color=colors[way], label=label)
        assert row.least is not None
        label = "roofline of the graph that is left" if place == 0 else None
        axes.plot([row.least[1] * 1e3] * 2, [place - 0.45, place + 0.45], color="#b3261e", linewidth=1.8, label=label)
    axes.set_yticks(range(len(rows)), [row.network for row in rows])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel(f"ms for one request, one thread; {SIZES[-1][0]:,} nodes, {SIZES[-1][1]:,} edges (logarithmic)")
    axes.grid(axis="x", which="both", color="#e3e6e8", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=5, frameon=False, fontsize=8)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Print one line for each network and size."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    core = machine()
    print(f"{time.strftime('%Y-%m-%d')}, one thread, {given.rounds} rounds, ms: median (middle half)")
    print(f"this core: {core[0] / 1e9:.0f} GFLOP/s in a large MatMul, {core[1] / 1e9:.0f} GB/s in a large copy")
    print(" " * 107 + f"{'times faster than':^30}{'':9}{'roofline':>16}")
    ways = "".join(f"{way:>21}" for way in WAYS)
    print(
        f"{'network':12}{'size':>11}{ways}" + "".join(f"{way:>10}" for way in WAYS[:-1]) + f"{'error':>9}{'flops':>8}{'all':>8}"
    )
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        for network in given.networks:
            found = measured(network, Path(name), given.rounds, core)
            print("\n".join(map(line, found)), flush=True)
            rows += found
    if given.plot is not None:
        plot(rows, given.plot)


if __name__ == "__main__":
    main()
