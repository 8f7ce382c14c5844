"""Lists what portinf can do on this machine and what is missing, without importing a framework."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from portinf import __version__
from portinf.core.needs import EXTRAS, Check, advice, version_of, wrong
from portinf.targets import targets

__all__ = ["Diagnosis", "diagnose"]

TIMEOUT = 20.0  # seconds for an interpreter to say its version
SERVING_PYTHONS = ((3, 10), (3, 11), (3, 12))
# route -> (extra whose packages it needs, what it does)
ROUTES: dict[str, tuple[str, str]] = {
    "keras": ("tensorflow", ".keras and .h5 to ONNX"),
    "tensorflow": ("tensorflow", "SavedModel, frozen .pb and .tflite to ONNX"),
    "pytorch": ("torch", "modules, TorchScript and .pt2 to ONNX"),
    "pyg": ("pyg", "graph networks of PyTorch Geometric to ONNX"),
    "trees": ("trees", "scikit-learn, XGBoost and LightGBM to ONNX"),
    "onnx": ("", "ONNX files: upgraded or kept, then checked"),
    "data": ("data", "samples in HDF5, Parquet and ROOT"),
}


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """All checks of this machine."""

    portinf: str
    python: str
    system: str
    checks: tuple[Check, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)


def diagnose() -> Diagnosis:
    """Look at what is installed; nothing is imported or changed; other Pythons are only run to print their version."""
    return Diagnosis(
        portinf=__version__,
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}, {platform.libc_ver()[0]} {platform.libc_ver()[1]}".rstrip(", "),
        checks=(*_packages(), *_routes(), *(check for target in targets() for check in target.doctor()), *_serving()),
    )


def _packages() -> Iterator[Check]:
    needs = {need.distributions[0]: need for group in EXTRAS.values() for need in group}
    for name, need in sorted(needs.items(), key=lambda item: item[0].lower()):
        yield Check(group="package", name=name, works=not wrong(need), detail=version_of(need) or "not installed")


def _routes() -> Iterator[Check]:
    for name, (extra, does) in ROUTES.items():
        reasons = [reason for need in (*EXTRAS[""], *EXTRAS[extra]) if (reason := wrong(need))]
        yield Check(group="route", name=name, works=not reasons, detail=does if not reasons else advice(reasons, extra))


def _serving() -> Iterator[Check]:
    found = dict(_pythons())
    requested = ", ".join(f"{a}.{b}" for a, b in SERVING_PYTHONS)
    yield Check(
        group="serving",
        name="python",
        works=bool(found),
        detail=", ".join(f"{version} ({path})" for version, path in found.items())
        or f"none of {requested} found: the serving environment needs one; install it and put it on PATH",
    )
    for program, does in (
        ("tritonserver", "a server of this machine's own"),
        ("docker", "the stock container, if its daemon runs"),
        ("apptainer", "the stock container, without a daemon"),
    ):
        path = shutil.which(program)
        yield Check(group="serving", name=program, works=path is not None, detail=f"{path}: {does}" if path else "not on PATH")


def _pythons() -> Iterator[tuple[str, str]]:
    """Yield (version, path) of the interpreters that a serving environment can be made with."""
    own = sys.version_info[:2]
    if own in SERVING_PYTHONS:
        yield f"{own[0]}.{own[1]}", sys.executable
    for major, minor in SERVING_PYTHONS:
        path = shutil.which(f"python{major}.{minor}")
        if path is not None and (major, minor) != own and _answers(path, f"{major}.{minor}"):
            yield f"{major}.{minor}", path


def _answers(path: str, version: str) -> bool:
    """Ask an interpreter its version: a name on PATH may be a shim that leads nowhere."""
    try:
        result = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return result.returncode == 0 and version in result.stdout + result.stderr
