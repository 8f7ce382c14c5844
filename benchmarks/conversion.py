"""Measures what ``portinf convert`` costs beside the exporter called directly in a process of its own.

Run: ``python benchmarks/conversion.py [--rounds N] [MODEL ...]``. Each round runs, one after the other and each round beginning
with another one: the exporter (`benchmarks/direct_export.py`), a conversion that is checked at the size of the sample alone,
and ``portinf convert`` as it is. CPU seconds are user and system time of all processes; memory is the largest sum of their
resident memory. Medians are over the rounds. What each stage of a conversion takes is told by `benchmarks/staged_convert.py`, which
runs the second command, and once the third.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# so that `python benchmarks/conversion.py` works from any folder
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.processes import Usage, measured

__all__ = ["MODELS", "Model", "row", "save_sample", "stage_lines"]

HERE = Path(__file__).resolve().parent
FRAMEWORKS = {"torch": "import torch, onnxscript", "tensorflow": "import tensorflow, tf2onnx"}
DIRECT, GIVEN, ALL, STAGED = "exporter alone", "convert, sample's size", "portinf convert", "portinf convert by stages"


@dataclass(frozen=True, kw_only=True)
class Model:
    """One model of `benchmarks/conversion_models.py`.

    Attributes:
        framework: key of ``FRAMEWORKS``.
        inputs: type and shape of the sample's arrays; integers are below the first length of the first input.
        axes: ``NAME:AXIS=LABEL`` of the dynamic axes.
    """

    framework: str
    inputs: dict[str, tuple[str, tuple[int, ...]]]
    axes: tuple[str, ...]


MODELS = {
    "mlp": Model(framework="torch", inputs={"x": ("float32", (6, 16))}, axes=("x:0=row",)),
    "graph": Model(
        framework="torch",
        inputs={"x": ("float32", (200, 3)), "edge_index": ("int64", (2, 500))},
        axes=("x:0=node", "edge_index:1=edge"),
    ),
    "resnet50": Model(framework="torch", inputs={"x": ("float32", (2, 3, 224, 224))}, axes=("x:0=row",)),
    "keras_resnet50": Model(
        framework="tensorflow", inputs={"keras_tensor": ("float32", (2, 224, 224, 3))}, axes=("keras_tensor:0=row",)
    ),
}


def save_sample(model: Model, path: Path) -> None:
    """Write random inputs, the same each time."""
    rng = np.random.default_rng(0)
    rows = next(iter(model.inputs.values()))[1][0]
    arrays = {
        name: rng.integers(0, rows, shape) if dtype == "int64" else rng.uniform(-1, 1, shape).astype(dtype)
        for name, (dtype, shape) in model.inputs.items()
    }
    np.savez(path, **arrays)  # type: ignore[arg-type]


def commands(name: str, folder: Path) -> dict[str, list[str]]:
    """Return the three commands that are compared, by what they are called in the table, and the one that tells the stages."""
    sample, out, axes = str(folder / f"{name}.npz"), str(folder / "out.onnx"), MODELS[name].axes
    direct = [str(HERE / "direct_export.py"), name, sample, out, *(text.partition("=")[0] for text in axes)]
    whole = [
        "-m",
        "portinf",
        "convert",
        f"{HERE / 'conversion_models.py'}:{name}",
        "--inputs",
        sample,
        "--dynamic",
        ",".join(axes),
    ]
    staged = [str(HERE / "staged_convert.py"), name, sample, out]
    return {
        DIRECT: [sys.executable, *direct],
        GIVEN: [sys.executable, *staged, "given", *axes],
        ALL: [sys.executable, *whole, "-o", out],
        STAGED: [sys.executable, *staged, "all", *axes],
    }


def row(name: str, usages: Sequence[Usage], base: Sequence[Usage]) -> str:
    """Return one line of the table: median, smallest and largest CPU seconds, ratio of the medians, megabytes."""
    cpu, peaks = [usage.cpu for usage in usages], [usage.peak for usage in usages]
    ratio = statistics.median(cpu) / statistics.median(usage.cpu for usage in base)
    memory = statistics.median(peaks) / 1e6
    return f"{name:26} {statistics.median(cpu):7.2f} {min(cpu):7.2f} {max(cpu):7.2f} {ratio:7.2f} {memory:7.0f}"


def stage_lines(usages: dict[str, list[Usage]]) -> list[str]:
    """Return the table of the stages: median CPU seconds of each in both conversions."""
    stages = {name: [json.loads(usage.output)["stages"] for usage in usages[name]] for name in (GIVEN, STAGED)}
    order = list(dict.fromkeys(stage for runs in stages.values() for run in runs for stage in run))
    return [
        f"    {stage:24}"
        + "".join(f"{statistics.median(run.get(stage, 0.0) for run in runs):8.2f}" for runs in stages.values())
        for stage in order
    ]


def compare(name: str, rounds: int, folder: Path) -> None:
    """Measure one model and print its table."""
    save_sample(MODELS[name], folder / f"{name}.npz")
    every = commands(name, folder)
    measured([sys.executable, "-c", FRAMEWORKS[MODELS[name].framework]])  # the files of the packages are read once, unmeasured
    usages: dict[str, list[Usage]] = {key: [] for key in every}
    compared = [DIRECT, GIVEN, ALL]
    for number in range(rounds):
        for key in (*compared[number % 3 :], *compared[: number % 3]):
            usages[key].append(measured(every[key]))
    usages[STAGED].append(measured(every[STAGED]))
    print(f"{name:26} {'median':>7} {'least':>7} {'most':>7} {'ratio':>7} {'MB':>7}")
    for key in compared:
        print(row(key, usages[key], usages[DIRECT]))
    before = statistics.median(float(usage.output.split()[-1]) for usage in usages[DIRECT])
    print(f"  of the exporter alone, until the file is written: {before:.2f} (the rest: the interpreter's end)")
    print(f"    {'stages, CPU seconds':24} {'sample':>7} {'all':>7}")
    print("\n".join(stage_lines(usages)), flush=True)


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description="Measure portinf convert beside the exporter called directly.")
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of: {', '.join(MODELS)}; all if not given")
    parser.add_argument("--rounds", type=int, default=3, help="how often each command runs (3)")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.models if name not in MODELS]
    if unknown:
        parser.error(f"no model '{unknown[0]}'; there are: {', '.join(MODELS)}")
    print(
        f"{time.strftime('%Y-%m-%d')}, Python {platform.python_version()}, {os.cpu_count()} cores, {arguments.rounds} rounds, CPU seconds"
    )
    with tempfile.TemporaryDirectory(prefix="portinf-benchmark-") as folder:
        for name in arguments.models or MODELS:
            compare(name, arguments.rounds, Path(folder))


if __name__ == "__main__":
    main()
