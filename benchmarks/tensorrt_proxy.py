"""Whether TensorRT-RTX, a proxy, parses and builds an MLP and ResNet-50 in three precisions, on this CPU; nothing is run.

Run: ``python benchmarks/tensorrt_proxy.py`` (needs the extras torch and trt-check). Weights are random: this is about the form of the
files, not about their accuracy, so the tolerance is as wide as the outputs.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from portinf.core.batch import save_npz

HERE = Path(__file__).parent
LINE = "{:<10} {:<5} {:>7} {:>8} {:>9} {:>7}  {}"


def portinf(*arguments: object) -> str:
    """Run the command line and return what it says; a failure ends the benchmark."""
    done = subprocess.run([sys.executable, "-m", "portinf", *map(str, arguments)], check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def asked(model: Path, samples: list[Path], precision: str, out: Path) -> dict[str, Any]:
    """Write the folder and return its report."""
    words = ["--target", "tensorrt", "--triton-release", "24.08", "--check-with", "rtx", "--json"]
    words += ["--precision", precision, "--rtol", "1", "--atol", "1"] if precision != "fp32" else []
    words += [word for path in samples for word in ("--inputs", str(path))]
    report: dict[str, Any] = json.loads(portinf("optimize", model, *words, "-o", out))
    return report


def main() -> int:
    """Print the table."""
    rng = np.random.default_rng(1)
    print(
        f"portinf {metadata.version('portinf')}, onnx {onnx.__version__}, tensorrt-rtx-cu12 {metadata.version('tensorrt-rtx-cu12')}"
    )
    print(LINE.format("model", "", "lowered", "file MB", "engine MB", "s", "the proxy"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shapes = {"mlp": [(64, 16), (256, 16)], "resnet50": [(1, 3, 224, 224), (2, 3, 224, 224)]}
        for model, sizes in shapes.items():
            samples = [folder / f"{model}-{size[0]}.npz" for size in sizes]
            for path, size in zip(samples, sizes, strict=True):
                save_npz(path, {"x": rng.normal(size=size).astype(np.float32)})
            given = [word for path in samples for word in ("--inputs", path)]
            portinf(
                "convert", f"{HERE / 'conversion_models.py'}:{model}", *given, "--atol", "1e-3", "-o", folder / f"{model}.onnx"
            )
            for precision in ("fp32", "fp16", "int8"):
                out = folder / f"{model}-{precision}"
                report = asked(folder / f"{model}.onnx", samples, precision, out)
                proxy, lowered = report["proxy"], report["lowered"]
                file = sum(path.stat().st_size for path in out.glob("model*")) / 1e6
                count = lowered["lowered"] if lowered else 0
                row = (
                    model,
                    precision,
                    count,
                    f"{file:.2f}",
                    f"{proxy['size'] / 1e6:.2f}",
                    f"{proxy['seconds']:.1f}",
                    proxy["verdict"],
                )
                print(LINE.format(*row), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
