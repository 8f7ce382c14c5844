"""ResNet-50 in int8 by ``portinf optimize --precision int8`` beside float32, on one and on two threads, in turns.

Run: ``python benchmarks/quantised.py [--rounds N] [--atol A] [--keep FOLDER]``. Times are medians of one image in ms, with the spread
of the middle half. There are no trained weights here: the convolutions are random; the statistics of the normalisations and
the last layer are made from generated images of 20 kinds. What is said of best classes holds for this network alone. ``--keep``
also writes fp16 and symmetric int8 files of the network and of a perceptron for TensorRT.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

sys.path.insert(0, str(Path(__file__).parent))
import conversion_models  # type: ignore[import-not-found]

from portinf.core.batch import Batch, save_npz
from portinf.mixed_precision.lower import LowerRequest, lower
from portinf.validation import Tolerance

KINDS = 20
CALIBRATION, TEST = 48, 200
WARM = 3


def images(count: int, seed: int) -> tuple[Any, Any]:
    """Return images [count, 3, 224, 224] and their kinds: a smooth pattern per kind under smooth noise."""
    fixed, rng = torch.Generator().manual_seed(0), torch.Generator().manual_seed(seed)
    patterns = torch.randn(KINDS, 3, 8, 8, generator=fixed)
    kinds = torch.randint(0, KINDS, (count,), generator=rng)
    small = patterns[kinds] + torch.randn(count, 3, 8, 8, generator=rng)
    fine = 0.5 * torch.randn(count, 3, 56, 56, generator=rng)
    return sum(torch.nn.functional.interpolate(x, size=224, mode="bilinear") for x in (small, fine)), kinds


def fitted() -> Any:
    """Return ResNet-50 with statistics of generated images, branches weaker than what they are added to, and a last layer.

    The last layer is a ridge regression of the kind on the features before it.
    """
    torch.manual_seed(0)
    model = conversion_models.resnet50()
    for block in model.modules():
        if hasattr(block, "shortcut"):
            block.path[-1][-1].weight.data.fill_(0.25)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the mean over all batches
    with torch.no_grad():
        model.train()
        for seed in range(4):
            model(images(16, seed)[0])
        model.eval()
        x, kinds = images(320, 10)
        features = torch.cat([model.layers[:-1](part) for part in x.split(32)])
        centred = features - features.mean(0)
        requested = torch.nn.functional.one_hot(kinds, KINDS).float()
        ridge = centred @ centred.T + centred.square().sum(1).mean() * torch.eye(len(x))
        weight = 10 * (centred.T @ torch.linalg.solve(ridge, requested - requested.mean(0))).T
        last = model.layers[-1]
        last.weight.mul_(0.1)
        last.bias.fill_(-5)
        last.weight[:KINDS] = weight
        last.bias[:KINDS] = -weight @ features.mean(0)
    return model


def portinf(*arguments: str) -> str:
    """Run the command line and return what it says; a failure ends the benchmark."""
    done = subprocess.run([sys.executable, "-m", "portinf", *arguments], check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def prepared(folder: Path, atol: float) -> tuple[Path, Path]:
    """Write the plain export and the int8 file."""
    plain, small = folder / "resnet50.onnx", folder / "resnet50.int8.onnx"
    torch.save(fitted().state_dict(), folder / "resnet50.pt")
    save_npz(folder / "one.npz", {"x": images(1, 20)[0].numpy()})
    save_npz(folder / "two.npz", {"x": images(2, 21)[0].numpy()})
    np.save(folder / "images.npy", images(CALIBRATION, 22)[0].numpy())
    source = f"{Path(__file__).parent / 'conversion_models.py'}:resnet50"
    samples = [word for name in ("one", "two") for word in ("--inputs", str(folder / f"{name}.npz"))]
    portinf("convert", source, "--weights", str(folder / "resnet50.pt"), *samples, "--atol", "1e-3", "-o", str(plain))
    start = time.perf_counter()
    how = ["--precision", "int8", "--inputs", str(folder / "images.npy"), "--rtol", "0", "--atol", str(atol), "--threads", "1"]
    print(portinf("optimize", str(plain), "--target", "onnxruntime", *how, "-o", str(small)), end="")
    print(f"portinf optimize took {time.perf_counter() - start:.0f} s")
    return plain, small


def session(path: Path, threads: int) -> Any:
    """Open a file."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def in_turns(plain: Path, small: Path, threads: int, rounds: int) -> None:
    """Print the times of one image, asked in turns."""
    sessions = [session(plain, threads), session(small, threads)]
    x = {sessions[0].get_inputs()[0].name: images(1, 30)[0].numpy()}
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + WARM):
        for one, found in zip(sessions, times, strict=True):
            start = time.perf_counter()
            one.run(None, x)
            if number >= WARM:
                found.append((time.perf_counter() - start) * 1e3)
    ratios = [a / b for a, b in zip(*times, strict=True)]
    print(f"{threads} thread{'s' * (threads > 1):<2} {shown(times[0])} {shown(times[1])}   {shown(ratios)}")


def shown(values: list[float]) -> str:
    """Return median and middle half."""
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:7.2f} ({low:6.2f} to {high:6.2f})"


def agreement(plain: Path, small: Path) -> None:
    """Print how often both files name the same class, and the right one, on images that were not calibrated on."""
    x, kinds = images(TEST, 40)
    one, two = (
        np.concatenate([s.run(None, {s.get_inputs()[0].name: part.numpy()})[0] for part in x.split(20)])
        for s in (session(plain, 2), session(small, 2))
    )
    first, second = one.argmax(1), two.argmax(1)
    right = [f"{(found == kinds.numpy()).mean():.1%}" for found in (first, second)]
    print(
        f"{TEST} other images: the same best class in {(first == second).mean():.1%}; right {right[0]} (float32), {right[1]} (int8)"
    )
    rms = float(np.sqrt(((two - one) ** 2).mean()))
    print(f"largest error {np.abs(two - one).max():.2f}, rms {rms:.3f}, of outputs up to {np.abs(one).max():.2f}")


def for_tensorrt(plain: Path, folder: Path, atol: float) -> None:
    """Write fp16 and symmetric int8 files of the network and of a perceptron, for a check with TensorRT's builder."""
    mlp = folder / "mlp.onnx"
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(256, 16)).astype(np.float32)
    save_npz(folder / "rows.npz", {"x": rows})
    save_npz(folder / "more.npz", {"x": rows[:7]})
    samples = ["--inputs", str(folder / "rows.npz"), "--inputs", str(folder / "more.npz")]
    portinf("convert", f"{Path(__file__).parent / 'conversion_models.py'}:mlp", *samples, "-o", str(mlp))
    x = images(16, 22)[0].numpy()
    for path, batches, bounds in (
        (mlp, [Batch(name="rows", inputs={"x": rows})], {"fp16": 0.002, "int8": 0.05}),
        (plain, [Batch(name=str(k), inputs={"x": x[k : k + 4]}) for k in range(0, 16, 4)], {"fp16": 0.05, "int8": atol}),
    ):
        for precision, bound in bounds.items():
            out = folder / f"{path.stem}.{precision}.tensorrt.onnx"
            request = LowerRequest(
                precision=precision,  # type: ignore[arg-type]
                flavour="tensorrt",
                batches=batches,
                tolerance=Tolerance.of(0.0, bound),
            )
            made = lower(path, out, request)
            print(f"{out}: {made.lowered} nodes, {len(made.islands)} islands, {made.comparison.summary()}")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--atol", type=float, default=4.0)
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    print(
        f"{time.strftime('%Y-%m-%d')}, ONNX Runtime {onnxruntime.__version__}, {given.rounds} rounds, ms, median (middle half)"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = given.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        plain, small = prepared(folder, given.atol)
        print(f"{'':10} {'float32':>26} {'int8':>26}   {'times faster':>24}")
        for threads in (1, 2):
            in_turns(plain, small, threads, given.rounds)
        agreement(plain, small)
        if given.keep:
            for_tensorrt(plain, folder, given.atol)


if __name__ == "__main__":
    main()
