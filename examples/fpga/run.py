"""Trains three networks of the trigger, brings each from Keras, PyTorch and ONNX to fixed point, serves the emulation, and compares.

python examples/fpga/run.py [FOLDER] [NETWORK ...]

Per network one HTML report holds the float model against the exact emulation, the C simulation and the served emulation, with errors by
layer and the ROC curve or the resolution of each. FACILE is also shown to be refused in ap_fixed<16,6>. Everything is written to FOLDER
(fpga-output); the exit code is 0 only if all agree. Needs the extras torch, tensorflow and fpga, and g++.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# so that `python examples/fpga/run.py` works like `python -m examples.fpga.run`
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from examples.commands import portinf, python, say, served

__all__ = ["main"]

ROOT = Path(__file__).resolve().parents[2]
SOURCE = """import sys
from pathlib import Path

import torch

sys.path.insert(0, {root!r})

from examples.fpga import networks


def build():
    \"\"\"Return the trained network.\"\"\"
    module = networks.{name}()
    module.load_state_dict(torch.load(Path(__file__).parent / "{name}.pt", weights_only=True))
    return module.eval()
"""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is asked of one network.

    Attributes:
        tolerance: options of ``optimize``.
        physics: options of ``validate``.
        image: channels come first in PyTorch and last in Keras.
    """

    tolerance: tuple[str, ...]
    physics: tuple[str, ...]
    image: bool = False


CASES = {
    "jet": Case(tolerance=("--rtol", "0.01", "--atol", "0.01"), physics=("--label", "signal", "--score", "{output}:2")),
    "facile": Case(
        tolerance=("--rtol", "0.05", "--atol", "0.2"), physics=("--truth", "energy", "--bin-by", "energy", "--relative")
    ),
    "image": Case(
        tolerance=("--rtol", "0.02", "--atol", "0.02"), physics=("--label", "signal", "--score", "{output}:2"), image=True
    ),
}


def prepared(name: str, folder: Path) -> dict[str, tuple[str, Path, Path]]:
    """Convert the PyTorch network, and return by framework the source and its rows for calibration and for tests."""
    (folder / f"{name}_torch.py").write_text(SOURCE.format(root=str(ROOT), name=name))
    torch = f"{folder / f'{name}_torch.py'}:build"
    rows = [folder / f"{name}-{part}.npz" for part in ("calibration", "test")]
    last = [folder / f"{name}-{part}-last.npz" for part in ("calibration", "test")] if CASES[name].image else rows
    portinf("convert", torch, "--inputs", str(rows[0]), "--dynamic", "x:0=rows", "-o", str(folder / f"{name}.onnx"))
    return {
        "ONNX": (str(folder / f"{name}.onnx"), rows[0], rows[1]),
        "PyTorch": (torch, rows[0], rows[1]),
        "Keras": (str(folder / f"{name}.keras"), last[0], last[1]),
    }


def validated(*arguments: str) -> dict[str, Any]:
    """Run ``portinf validate`` and return its JSON report."""
    found: dict[str, Any] = json.loads(portinf("validate", *arguments, "--json"))
    return found


def figures(comparison: dict[str, Any]) -> str:
    """Return the largest error, changes of the best class, and the change of AUC or resolution, as the report says them."""
    parts = [f"largest error {max(output['max_abs'] for output in comparison['outputs']):.2g}"]
    for check in comparison["checks"]:
        if check["name"] in ("best class", "AUC", "median bias", "resolution (68 %)"):
            parts.append(f"{check['name']}: {check['text']}")
    return "; ".join(parts)


def one(name: str, folder: Path, models: Path) -> None:
    """Bring one network to fixed point from every framework, and package the one from ONNX beside its float model."""
    case = CASES[name]
    for framework, (source, calibration, test) in prepared(name, folder).items():
        out = folder / f"{name}-{framework.lower()}"
        portinf("optimize", source, "--target", "hls4ml", "--inputs", str(calibration), *case.tolerance, "-o", str(out))
        output = json.loads((out / "portinf-fpga.json").read_text())["signature"]["outputs"][0]["name"]
        physics = [option.format(output=output) for option in case.physics]
        report = validated(source, str(out), f"{out}@csim", "--inputs", str(test), *physics)
        comparison = report["hops"][0]
        print(f"{name:7} {framework:8} {report['verdict']}: {figures(comparison)}")
    for source, model in ((folder / f"{name}.onnx", name), (folder / f"{name}-onnx", f"{name}_fpga")):
        more = ["--inputs", str(folder / f"{name}-calibration.npz")]
        portinf("package", str(source), "--repository", str(models), "--name", model, *more)


def compared(name: str, folder: Path, grpc: str) -> bool:
    """Write the one report of a network: float, emulation, C simulation, and both served models."""
    output = json.loads((folder / f"{name}-onnx" / "portinf-fpga.json").read_text())["signature"]["outputs"][0]["name"]
    physics = [option.format(output=output) for option in CASES[name].physics]
    made = folder / f"{name}-onnx"
    sides = [str(folder / f"{name}.onnx"), f"grpc://{grpc}/{name}", str(made), f"{made}@csim", f"grpc://{grpc}/{name}_fpga"]
    page = folder / f"{name}.html"
    report = validated(*sides, "--inputs", str(folder / f"{name}-test.npz"), *physics, "--report", str(page))
    for comparison in report["hops"]:
        print(
            f"{name:7} {comparison['candidate']} against {comparison['reference']}: {comparison['verdict']}, {comparison['summary']}"
        )
    print(f"{name:7} report: {page}")
    return bool(report["verdict"] == "equal")


def refused(folder: Path) -> bool:
    """Show that FACILE's constants do not fit into ap_fixed<16,6>."""
    given = ["optimize", str(folder / "facile.onnx"), "--target", "hls4ml", "--precision", "ap_fixed<16,6>"]
    command = [
        sys.executable,
        "-m",
        "portinf",
        *given,
        "--inputs",
        str(folder / "facile-calibration.npz"),
        "-o",
        str(folder / "no"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    print(f"facile  in ap_fixed<16,6>: exit {done.returncode}: {done.stderr.splitlines()[-1]}")
    return done.returncode == 5 and not (folder / "no").exists()


def main() -> int:
    """Run everything."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "fpga-output")
    names = sys.argv[2:] or list(CASES)
    models = folder / "models"
    if not all((folder / f"{name}.pt").exists() for name in names):
        say("training")
        print(python(["-m", "examples.fpga.train", str(folder), *names]), end="")
    for name in names:
        one(name, folder, models)
    right = [refused(folder)] if "facile" in names else []
    with served(models, folder / "server.log") as ready:
        right += [compared(name, folder, ready["grpc"].removeprefix("grpc://")) for name in names]
    return 0 if all(right) else 1


if __name__ == "__main__":
    sys.exit(main())
