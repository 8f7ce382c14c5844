"""Lists what portinf can do on this machine and what is missing, without importing a framework."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any, Literal

from portinf import __version__

__all__ = ["EXTRAS", "Check", "Diagnosis", "Need", "diagnose"]

Group = Literal["package", "route", "target", "serving"]
TIMEOUT = 20.0  # seconds for an interpreter to say its version
SERVING_PYTHONS = ((3, 10), (3, 11), (3, 12))


@dataclass(frozen=True, kw_only=True)
class Need:
    """A package that a step needs.

    Attributes:
        module: what is imported.
        distributions: names under which it is installed, the one to advise first.
        at_least: oldest version that was tested.
        below: first version that is not supported; empty for none.
    """

    module: str
    distributions: tuple[str, ...]
    at_least: str = ""
    below: str = ""


def _need(name: str, at_least: str = "", below: str = "", *, module: str = "", others: tuple[str, ...] = ()) -> Need:
    return Need(module=module or name, distributions=(name, *others), at_least=at_least, below=below)


# The same bounds as in pyproject.toml, which a test holds this table against.
BASE: tuple[Need, ...] = (
    _need("click", "8.5"),
    _need("cloup", "4", "5"),
    _need("jinja2", "3.1"),
    _need("numpy", "1.26"),
    _need("onnx", "1.17", "1.21"),
    _need("onnx-ir", "0.1.12", module="onnx_ir"),
    _need("onnxruntime", "1.20", others=("onnxruntime-gpu",)),
    _need("platformdirs", "4.0"),
    _need("protobuf", "5", module="google.protobuf"),
    _need("rich", "13"),
    _need("tritonclient", "2.50"),
)
DA4ML = _need("da4ml", "0.6", "0.7")
HLS4ML = _need("hls4ml", "1.3", "1.4")
KERAS = _need("keras", "3.5")
QONNX = _need("qonnx", "1.0")
TENSORFLOW = _need("tensorflow-cpu", "2.18", module="tensorflow", others=("tensorflow", "tensorflow-intel", "tensorflow-macos"))
TF2ONNX = _need("tf2onnx", "1.16.1")
ONNXSCRIPT = _need("onnxscript", "0.5")
SAFETENSORS = _need("safetensors", "0.4.3")
TORCH = _need("torch", "2.13", "2.14")
EXTRAS: dict[str, tuple[Need, ...]] = {
    "": BASE,
    "tensorflow": (KERAS, TENSORFLOW, TF2ONNX),
    "torch": (ONNXSCRIPT, SAFETENSORS, TORCH),
    "pyg": (ONNXSCRIPT, SAFETENSORS, TORCH, _need("torch_geometric", "2.6")),
    "trees": (
        _need("lightgbm", "4"),
        _need("pandas", "2.2"),
        _need("scikit-learn", "1.6", module="sklearn"),
        _need("skl2onnx", "1.18"),
        _need("xgboost-cpu", "2.1", module="xgboost", others=("xgboost",)),
    ),
    "trt-check": (_need("tensorrt-rtx-cu12", "1.7", "1.8", module="tensorrt_rtx"),),
    "fpga": (_need("conifer", "1.11", "1.12"), DA4ML, HLS4ML, QONNX),
    "hgq": (_need("HGQ2", "0.2", "0.3", module="hgq"), DA4ML, HLS4ML, QONNX, KERAS, TENSORFLOW, TF2ONNX),
    "data": (_need("awkward", "2.6"), _need("h5py", "3.10"), _need("pyarrow", "15"), _need("uproot", "5.3")),
}
# route or target -> (extra whose packages it needs, what it does)
ROUTES: dict[str, tuple[str, str]] = {
    "keras": ("tensorflow", ".keras and .h5 to ONNX"),
    "tensorflow": ("tensorflow", "SavedModel, frozen .pb and .tflite to ONNX"),
    "pytorch": ("torch", "modules, TorchScript and .pt2 to ONNX"),
    "pyg": ("pyg", "graph networks of PyTorch Geometric to ONNX"),
    "trees": ("trees", "scikit-learn, XGBoost and LightGBM to ONNX"),
    "onnx": ("", "ONNX files: upgraded or kept, then checked"),
    "data": ("data", "samples in HDF5, Parquet and ROOT"),
}
FOREIGN_TARGETS: dict[str, Need] = {"hls4ml": HLS4ML}


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line: what it is about, whether it works here, and the version, the place or the reason."""

    group: Group
    name: str
    works: bool
    detail: str


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
        checks=(*_packages(), *_routes(), *_targets(), *_serving()),
    )


def _version(need: Need) -> str | None:
    """Return the installed version of the package, None where it is not installed."""
    for name in need.distributions:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def _numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: ``2.13.0+cpu`` -> (2, 13, 0)."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found.group().split(".")) if found else ()


def _wrong(need: Need) -> str:
    """Say why a package does not do; empty where it does."""
    version, name = _version(need), need.distributions[0]
    if version is None:
        return f"{name} is not installed"
    numbers = _numbers(version)
    if need.at_least and numbers < _numbers(need.at_least):
        return f"{name} {version} is too old (at least {need.at_least})"
    if need.below and numbers >= _numbers(need.below):
        return f"{name} {version} is too new (below {need.below})"
    return ""


def _packages() -> Iterator[Check]:
    needs = {need.distributions[0]: need for group in (*EXTRAS.values(), FOREIGN_TARGETS.values()) for need in group}
    for name, need in sorted(needs.items(), key=lambda item: item[0].lower()):
        yield Check(group="package", name=name, works=not _wrong(need), detail=_version(need) or "not installed")


def _routes() -> Iterator[Check]:
    for name, (extra, does) in ROUTES.items():
        reasons = [reason for need in (*EXTRAS[""], *EXTRAS[extra]) if (reason := _wrong(need))]
        yield Check(group="route", name=name, works=not reasons, detail=does if not reasons else _advice(reasons, extra))


def _advice(reasons: list[str], extra: str) -> str:
    target = f"portinf[{extra}]" if extra else "portinf"
    return f"{', '.join(dict.fromkeys(reasons))}; pip install '{target}'"


def _targets() -> Iterator[Check]:
    wrong = next((reason for need in BASE if need.module == "onnxruntime" and (reason := _wrong(need))), "")
    yield Check(group="target", name="onnxruntime", works=not wrong, detail=wrong or "on the CPU")
    yield Check(group="target", name="tensorrt", works=True, detail=_tensorrt())
    for name, need in FOREIGN_TARGETS.items():
        reason = _wrong(need)
        yield Check(group="target", name=name, works=not reason, detail=reason or f"version {_version(need)}")


def _tensorrt() -> str:
    """Say what of the TensorRT target works here: writing the folder always does."""
    trtexec = shutil.which("trtexec")
    wrong = next((reason for need in EXTRAS["trt-check"] if (reason := _wrong(need))), "")
    builds = f"builds here: {trtexec}" if trtexec else "trtexec is not on PATH: build where the GPU is"
    check = f"--check-with rtx: {_advice([wrong], 'trt-check')}" if wrong else "--check-with rtx works"
    return f"writes the folder; {builds}; {check}"


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
