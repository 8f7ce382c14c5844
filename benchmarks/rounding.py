"""Measures how far models of the tests are from float64: the source, the ONNX file, and the bound that the tolerance allows.

Run: ``python benchmarks/rounding.py``. One row per model: the output's largest element, the largest distance of the source
and of the converted file from the source in float64 (in units of that element), and the largest share of the default
tolerance that the difference of the two uses up. Behind them perceptrons of several depths in each float type, where two orders
of summation stand for two programs. Names of models as arguments measure those alone.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from portinf.conversion.convert import ConvertOptions, convert  # noqa: E402
from portinf.conversion.open_source import open_source  # noqa: E402
from portinf.conversion.options import SourcingOptions  # noqa: E402
from portinf.core.batch import save_npz  # noqa: E402
from portinf.core.versions import installed  # noqa: E402
from portinf.runners.onnx import OnnxRuntimeRunner  # noqa: E402
from portinf.validation import Tolerance  # noqa: E402
from portinf.validation.scale import Scale, Sizes, scale_of  # noqa: E402
from tests.matrix import graph_cells, pytorch_cells, tensorflow_cells  # noqa: E402
from tests.matrix.cell import MODELS  # noqa: E402

CELLS = {cell.name: cell for cell in (*pytorch_cells.CELLS, *graph_cells.CELLS, *tensorflow_cells.CELLS)}
NAMES = (
    "CNN left in training mode",
    "residual block",
    "LSTM, dynamic length",
    "GRU, dynamic length",
    "TransformerEncoder, padding mask",
    "EdgeConv",
    "GIN",
    "GAT, self loops",
    "MetaLayer, interaction network",
    "Keras functional, residual CNN with batch normalisation",
    "Keras functional, transformer",
    "Keras functional, GRU of dynamic length",
)
DEPTHS = (4, 16, 64)
WIDTH = 64


def share(reference: Any, candidate: Any, scale: Scale, dtype: str = "") -> float:
    """Return the largest difference over its bound, by the default tolerance of the reference's type, or of another."""
    bound = Tolerance().for_output("", dtype or str(reference.dtype), (), scale)
    r, c = reference.astype(np.float64), candidate.astype(np.float64)
    return float(np.max(np.abs(c - r) / (bound.absolute(r.shape) + bound.rtol * np.abs(r)), initial=0.0))


def distance(array: Any, exact: Any) -> float:
    """Return the largest distance in units of the exact values' largest element."""
    return float(
        np.max(np.abs(array.astype(np.float64) - exact), initial=0.0) / max(np.max(np.abs(exact), initial=0.0), 1e-300)
    )


def row(name: str, kind: str, size: float, ours: float, theirs: float, used: float) -> None:
    """Print one row."""
    print(f"{name:56} {kind:9} {size:9.2g} {ours:9.2g} {theirs:9.2g} {used:9.2g}", flush=True)


def converted(name: str, folder: Path) -> None:
    """Measure one model of the conversion tables at all sizes of its sweep."""
    cell = CELLS[name]
    source = str(MODELS / str(cell.source))
    paths: list[Path] = []
    for number, event in enumerate(cell.inputs(np.random.default_rng(20)) if cell.inputs else []):
        paths.append(folder / f"{number}.npz")
        save_npz(paths[-1], {key: np.asarray(array) for key, array in event.items()})
    sourcing = SourcingOptions(inputs=paths)
    convert(source, folder / "model.onnx", ConvertOptions(sourcing=sourcing))
    figures: list[tuple[float, float, float, float]] = []
    with open_source(source, sourcing) as opened, OnnxRuntimeRunner(folder / "model.onnx") as runner:
        sizes = Sizes(opened.runner)
        for batch in opened.given or opened.cases:
            sizes.add(opened.runner.infer(batch.inputs))
        scales = sizes.scales()
        for batch in opened.cases:
            if any(array.size == 0 for array in batch.inputs.values()):
                continue
            exact, own = opened.runner.infer_double(batch.inputs), opened.runner.infer(batch.inputs)
            found = runner.infer(batch.inputs)
            for key, truth in exact.items():
                if truth.dtype.kind == "f" and truth.size and np.isfinite(truth).all():
                    size = float(np.max(np.abs(truth)))
                    used = share(own[key], found[key], scales[key])
                    figures.append((size, distance(own[key], truth), distance(found[key], truth), used))
    row(name, "float32", *(max(column) for column in zip(*figures, strict=True)))


def deep(dtype: str, depth: int) -> None:
    """Measure a perceptron of ``depth`` layers in one type: two orders of summation stand for two programs."""
    import torch

    kind = getattr(torch, dtype)
    generator = torch.Generator().manual_seed(5)
    weights = [torch.randn(WIDTH, WIDTH, generator=generator, dtype=torch.float64) * (2 / WIDTH) ** 0.5 for _ in range(depth)]
    weights = [weight.to(kind) for weight in weights]
    x = torch.randn(256, WIDTH, generator=generator, dtype=torch.float64).to(kind)
    exact, own, found = x.double(), x, x
    order = torch.randperm(WIDTH, generator=generator)
    for weight in weights:
        exact = torch.relu(exact @ weight.double())
        own = torch.relu(own @ weight)
        found = torch.relu(found[:, order] @ weight[order])
    truth = exact.numpy()
    arrays = [tensor.double().numpy() for tensor in (own, found)]
    used = share(*arrays, scale_of([arrays[0]], (1,)), dtype)
    row(f"perceptron, {depth} layers of {WIDTH}", dtype, float(np.max(truth)), *(distance(a, truth) for a in arrays), used)


def main(names: Sequence[str] = NAMES) -> None:
    """Print the table."""
    print(f"{time.strftime('%Y-%m-%d')}, {', '.join(f'{name} {v}' for name, v in installed().items())}")
    print(f"{'model':56} {'type':9} {'largest':>9} {'source':>9} {'ONNX':>9} {'share':>9}")
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            converted(name, Path(folder))
    for dtype in ("float64", "float32", "float16", "bfloat16"):
        for depth in DEPTHS:
            deep(dtype, depth)


if __name__ == "__main__":
    main(sys.argv[1:] or NAMES)
