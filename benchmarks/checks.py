"""Measures what the checks beside single elements cost, in shares of an ONNX Runtime run of a small network.

Run: ``python benchmarks/checks.py``. Parts of 65,536 rows, one thread, the best of nine passes over six parts of each.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from portinf.core.batch import Arrays, Batch
from portinf.validation import PhysicsOptions, Tolerance, make_checks
from portinf.validation.check import Check

ROWS, PARTS, PASSES = 65_536, 6, 9
LAYERS = ([15, 36, 11, 3, 1], [16, 64, 32, 32, 1], [16, 64, 32, 32, 5])


def network(layers: Sequence[int]) -> bytes:
    """Return dense layers with ReLU between them and a sigmoid at the end, as an ONNX file."""
    rng, nodes, weights, name = np.random.default_rng(0), [], [], "x"
    for k, (n, m) in enumerate(pairwise(layers)):
        last = k == len(layers) - 2
        weights.append(numpy_helper.from_array(rng.normal(0, n**-0.5, (n, m)).astype(np.float32), f"w{k}"))
        nodes.append(helper.make_node("MatMul", [name, f"w{k}"], [f"h{k}"]))
        name = "y" if last else f"a{k}"
        nodes.append(helper.make_node("Sigmoid" if last else "Relu", [f"h{k}"], [name]))
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", w]) for n, w in (("x", layers[0]), ("y", layers[-1]))]
    graph = helper.make_graph(nodes, "network", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8).SerializeToString()


def best(work: Callable[[], object]) -> float:
    """Return milliseconds per part, the best of all passes."""
    times = []
    for _ in range(PASSES):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times) / PARTS


def measure(layers: Sequence[int]) -> None:
    """Print the run of one network, and what each check costs on its answers."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    rng = np.random.default_rng(1)
    session = ort.InferenceSession(network(layers), options, providers=["CPUExecutionProvider"])
    parts = []
    for k in range(PARTS):
        x = rng.normal(size=(ROWS, layers[0])).astype(np.float32)
        y = session.run(None, {"x": x})[0]
        batch = Batch(name="f", stream="f", first_row=k * ROWS, inputs={"x": x})
        parts.append(({"y": y}, {"y": (y * (1 + rng.normal(0, 1e-7, y.shape))).astype(np.float32)}, batch))
    run = best(lambda: [session.run(None, dict(part[2].inputs)) for part in parts])
    print(f"{layers}: {run:.2f} ms per part")
    costs = [(check, cost_of(check, parts)) for check in make_checks(PhysicsOptions(), Tolerance(), batched=True)]
    for name, cost in [*((type(check).__name__, cost) for check, cost in costs), ("all", sum(cost for _, cost in costs))]:
        print(f"  {name:10} {cost:6.3f} ms  {cost / run:6.1%}")


def cost_of(check: Check, parts: Sequence[tuple[Arrays, Arrays, Batch]]) -> float:
    """Return milliseconds per part of one check."""
    return best(lambda: [check.update(*part) for part in parts])


if __name__ == "__main__":
    for each in LAYERS:
        measure(each)
