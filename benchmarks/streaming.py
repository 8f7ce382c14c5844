"""Measures a validation of a large file against a plain loop that reads it and runs both sides once, and the memory of both.

Run: ``python benchmarks/streaming.py [ROWS] [ROUNDS] [FOLDER]``. Two ONNX files of FACILE's network (15 inputs, 2053 parameters,
random weights) are compared on ROWS rows (10,000,000) from Parquet, HDF5 and .npy: one as exported, one rewritten by ``portinf
optimize``, its bias 1e-6 larger, so that every answer differs a little. The loop uses the same libraries, the same number of rows
at a time and one thread; it compares nothing. Both run in processes of their own on one core, in turns; their time is that of the
whole command, start-up and generated cases included. Memory is the largest sum of resident bytes (shared pages counted in
proportion, PSS) of a command and all its children, looked at every 50 ms.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

FEATURES = 15
PART = 65_536
NAMES = [f"f{k}" for k in range(FEATURES)]
FILES = {"Parquet": "rows.parquet", "HDF5": "rows.h5", "memory-mapped .npy": "rows.npy"}


def write_models(folder: Path) -> tuple[Path, Path]:
    """Write FACILE's network as a framework would export it, and its rewritten twin."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    nodes, weights, last, size = [], [], "x", FEATURES

    def constant(name: str, value: Any) -> str:
        weights.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name

    def normalised(number: int, name: str, width: int) -> str:
        numbers = (
            rng.uniform(0.5, 1.5, width),
            rng.normal(0, 0.1, width),
            rng.normal(0, 0.1, width),
            rng.uniform(0.5, 2, width),
        )
        names = [constant(f"n{number}_{k}", value) for k, value in enumerate(numbers)]
        nodes.append(helper.make_node("BatchNormalization", [name, *names], [f"norm_{number}"]))
        return f"norm_{number}"

    last = normalised(0, last, size)
    for number, width in enumerate((36, 24, 12), start=1):
        matrix = constant(f"w{number}", rng.normal(0, size**-0.5, (size, width)))
        nodes.append(helper.make_node("MatMul", [last, matrix], [f"dense_{number}"]))
        nodes.append(helper.make_node("Relu", [normalised(number, f"dense_{number}", width)], [f"relu_{number}"]))
        last, size = f"relu_{number}", width
    nodes.append(helper.make_node("MatMul", [last, constant("w4", rng.normal(0, size**-0.5, (size, 1)))], ["raw"]))
    nodes.append(helper.make_node("Add", ["raw", constant("b4", [0.1])], ["energy"]))
    value = helper.make_tensor_value_info
    inputs = [value("x", TensorProto.FLOAT, ["batch", FEATURES])]
    graph = helper.make_graph(nodes, "facile", inputs, [value("energy", TensorProto.FLOAT, ["batch", 1])], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    plain, near, fast = folder / "facile.onnx", folder / "near.onnx", folder / "fast.onnx"
    onnx.save(model, plain)
    bias = next(weight for weight in model.graph.initializer if weight.name == "b4")
    bias.CopyFrom(numpy_helper.from_array(np.array([0.1 + 1e-6], np.float32), "b4"))
    onnx.save(model, near)
    command = [sys.executable, "-m", "portinf", "optimize", str(near), "--target", "onnxruntime", "-o", str(fast)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return plain, fast


def write_rows(folder: Path, rows: int) -> None:
    """Write the same rows three times: 15 float columns in Parquet, one matrix in HDF5 and .npy."""
    import h5py
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(1)
    schema = pa.schema([(name, pa.float32()) for name in NAMES])
    array = np.lib.format.open_memmap(folder / FILES["memory-mapped .npy"], "w+", np.float32, (rows, FEATURES))
    with pq.ParquetWriter(folder / FILES["Parquet"], schema) as table, h5py.File(folder / FILES["HDF5"], "w") as file:
        dataset = file.create_dataset("x", (rows, FEATURES), np.float32, chunks=(16_384, FEATURES))
        for first in range(0, rows, 1 << 20):
            part = rng.normal(size=(min(1 << 20, rows - first), FEATURES)).astype(np.float32)
            array[first : first + len(part)] = part
            dataset[first : first + len(part)] = part
            table.write_table(pa.table([part[:, k] for k in range(FEATURES)], schema=schema))
    array.flush()


def read_parts(path: Path) -> Iterator[Any]:
    """Read a file as a careful person would write it."""
    if path.suffix == ".npy":
        array = np.load(path, mmap_mode="r")
        yield from (array[first : first + PART] for first in range(0, len(array), PART))
    elif path.suffix == ".h5":
        import h5py

        with h5py.File(path) as file:
            yield from (file["x"][first : first + PART] for first in range(0, len(file["x"]), PART))
    else:
        import pyarrow.parquet as pq

        for batch in pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False).iter_batches(PART, use_threads=False):
            yield np.stack([column.to_numpy() for column in batch.columns], axis=1)


def loop(plain: str, fast: str, path: str) -> None:
    """Read all rows and run both sides, and nothing else."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = [ort.InferenceSession(name, options, providers=["CPUExecutionProvider"]) for name in (plain, fast)]
    for part in read_parts(Path(path)):
        for session in sessions:
            session.run(None, {"x": part})


def pss(pid: int) -> int:
    """Return resident bytes of a process and of all that it started."""
    total = 0
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        total = next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (OSError, StopIteration):
        return total
    return total + sum(pss(int(child)) for child in children)


def measured(command: list[str]) -> tuple[float, float, int]:
    """Run a command on one core; return wall seconds, CPU seconds and the largest sum of resident bytes."""
    before, start, peak = os.times(), time.perf_counter(), 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, preexec_fn=lambda: os.sched_setaffinity(0, {0}))
    while process.poll() is None:
        peak = max(peak, pss(process.pid))
        time.sleep(0.05)
    seconds, after = time.perf_counter() - start, os.times()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, cpu, peak


def main() -> None:
    """Print one row per format."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with tempfile.TemporaryDirectory(prefix="portinf-streaming-", dir=sys.argv[3] if len(sys.argv) > 3 else None) as name:
        folder = Path(name)
        plain, fast = write_models(folder)
        write_rows(folder, rows)
        print(
            f"{time.strftime('%Y-%m-%d')}, Python {platform.python_version()}, {rows:,} rows, {rounds} rounds in turns, one core"
        )
        print(f"{'file':20} {'loop s':>8} {'validate s':>11} {'ratio':>6} {'CPU ratio':>10} {'loop GB':>8} {'validate GB':>12}")
        for title, file in FILES.items():
            path = folder / file
            ours = [sys.executable, "-m", "portinf", "validate", str(plain), str(fast), "--inputs", str(path), "--threads", "1"]
            ours += ["--input-columns", f"x={','.join(NAMES)}"] if path.suffix == ".parquet" else []
            theirs = [sys.executable, __file__, "loop", str(plain), str(fast), str(path)]
            pairs = [(measured(theirs), measured(ours)) for _ in range(rounds)]
            walls = [statistics.median(pair[k][0] for pair in pairs) for k in (0, 1)]
            ratio, cpu = (statistics.median(b[k] / a[k] for a, b in pairs) for k in (0, 1))
            peaks = [max(pair[k][2] for pair in pairs) / 1e9 for k in (0, 1)]
            print(f"{title:20} {walls[0]:8.1f} {walls[1]:11.1f} {ratio:6.2f} {cpu:10.2f} {peaks[0]:8.2f} {peaks[1]:12.2f}")


if __name__ == "__main__":
    loop(*sys.argv[2:]) if sys.argv[1:2] == ["loop"] else main()
