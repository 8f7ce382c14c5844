"""The largest error of every rewriting over random graphs: empty, isolated nodes, duplicate edges, self loops.

Run: ``python benchmarks/rewriting_errors.py [GRAPHS]``. Errors are over the largest element of the layer's answer; beside them the
distance of the layer as it was from float64, which is what rounding does to it anyway.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.graph_roofline import one_thread
from portinf.rewrites import RULES, rewrite
from portinf.runners.onnx_float64 import OnnxDouble
from tests.rewrites.graph_layers import BODIES, graph, layer


def graphs(count: int) -> list[dict[str, Any]]:
    """Return random graphs of up to 40 nodes and 200 edges, the first ones empty."""
    rng = np.random.default_rng(1)
    sizes = [(1, 0), (5, 0), (1, 7)] + [(int(rng.integers(1, 40)), int(rng.integers(0, 200))) for _ in range(count - 3)]
    return [graph(nodes, edges, seed) for seed, (nodes, edges) in enumerate(sizes)]


def gap(found: Any, expected: Any) -> float:
    """Return the largest difference over the largest element."""
    largest = float(np.abs(expected).max(initial=0))
    return float(np.abs(found - expected).max(initial=0)) / largest if largest else float(np.abs(found).max(initial=0))


def main() -> None:
    """Print one line for each rewriting, and one for all of them in a row."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    samples = graphs(count)
    rows: dict[str, list[float]] = {}
    places: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        for body in BODIES:
            source = layer(body, Path(folder) / "plain.onnx")
            with OnnxDouble(source) as truth:
                exact = [truth.infer_double(sample)["y"] for sample in samples]
            session = one_thread(str(source))
            plain = [session.run(None, sample)[0] for sample in samples]
            own = max(map(gap, plain, exact))
            last = source
            for number, rule in enumerate(RULES):
                single, chained = Path(folder) / f"{number}.onnx", Path(folder) / f"chain{number}.onnx"
                if rewrite(rule, last, chained):
                    last = chained
                if rewrite(rule, source, single):
                    note(rows, places, rule.name, one_thread(str(single)), samples, plain, own)
            if last is not source:
                note(rows, places, "all in a row", one_thread(str(last)), samples, plain, own)
    print(f"{time.strftime('%Y-%m-%d')}, {count} graphs a layer, {len(BODIES)} layers")
    print(f"{'rewriting':60}{'layers':>7}{'largest error':>15}{'plain to fp64':>15}")
    for name, (error, own) in rows.items():
        print(f"{name:60}{places[name]:7}{error:15.1e}{own:15.1e}")


def note(
    rows: dict[str, list[float]],
    places: dict[str, int],
    name: str,
    session: Any,
    samples: list[Any],
    plain: list[Any],
    own: float,
) -> None:
    """Add one layer to a row."""
    error = max(gap(session.run(None, sample)[0], expected) for sample, expected in zip(samples, plain, strict=True))
    before = rows.get(name, [0.0, 0.0])
    rows[name] = [max(before[0], error), max(before[1], own)]
    places[name] = places.get(name, 0) + 1


if __name__ == "__main__":
    main()
