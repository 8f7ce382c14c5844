"""Small C++ programs over hls4ml's ap_types headers, compiled once and called through ctypes."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

from portinf.fixedpoint.formats import Format


def ap_types() -> Path:
    """Return the folder of the headers, or skip with what is missing."""
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    spec = find_spec("hls4ml")
    if spec is None or spec.origin is None:
        pytest.skip("hls4ml is not installed: it brings the ap_types headers")
    return Path(spec.origin).parent / "templates" / "vivado" / "ap_types"


def library(folder: Path, text: str) -> ctypes.CDLL:
    """Compile a C++ text into a library."""
    source, out = folder / "code.cpp", folder / "code.so"
    source.write_text(text)
    command = ["g++", "-O0", "-fPIC", "-shared", "-std=c++14", "-w", f"-I{ap_types()}", str(source), "-o", str(out)]
    subprocess.run(command, check=True, timeout=280)
    return ctypes.CDLL(str(out))


def casts(pairs: Sequence[tuple[Format, Format]]) -> str:
    """Return functions ``cast_K(raw)`` from the first format of each pair to the second, and ``real_K(x)`` into the second."""
    lines = ['#include "ap_fixed.h"', 'extern "C" {']
    for number, (one, two) in enumerate(pairs):
        lines += [
            f"long long cast_{number}(long long raw) {{ {one} x; x.range() = ap_int<64>(raw); {two} y = x;"
            f" return {_whole('y', two)}; }}",
            f"long long real_{number}(double value) {{ {two} y = value; return {_whole('y', two)}; }}",
        ]
    return "\n".join([*lines, "}"])


def _whole(name: str, format: Format) -> str:
    kind = f"ap_{'' if format.signed else 'u'}int<{format.width}>"
    return f"(long long)({kind}({name}.range()).to_int64())"
