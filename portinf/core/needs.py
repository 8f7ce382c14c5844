"""The packages that portinf's parts need, what of them is installed, and one line of ``portinf doctor`` about it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

__all__ = ["BASE", "EXTRAS", "HLS4ML", "Check", "Need", "advice", "version_of", "wrong"]

Group = Literal["package", "route", "target", "serving"]


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


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line: what it is about, whether it works here, and the version, the place or the reason."""

    group: Group
    name: str
    works: bool
    detail: str


def version_of(need: Need) -> str | None:
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


def wrong(need: Need) -> str:
    """Say why a package does not do; empty where it does."""
    version, name = version_of(need), need.distributions[0]
    if version is None:
        return f"{name} is not installed"
    numbers = _numbers(version)
    if need.at_least and numbers < _numbers(need.at_least):
        return f"{name} {version} is too old (at least {need.at_least})"
    if need.below and numbers >= _numbers(need.below):
        return f"{name} {version} is too new (below {need.below})"
    return ""


def advice(reasons: list[str], extra: str) -> str:
    """Return the reasons, and what to install."""
    target = f"portinf[{extra}]" if extra else "portinf"
    return f"{', '.join(dict.fromkeys(reasons))}; pip install '{target}'"
