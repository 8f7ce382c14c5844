"""Finds a Python that the serving environment can be made with, and where its shared library is."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from portinf.core.errors import CannotError

__all__ = ["VERSIONS", "Interpreter", "check_platform", "describe", "find_interpreter"]

VERSIONS = ("3.12", "3.11", "3.10")
_MACHINES = ("x86_64", "aarch64")
_GLIBC = (2, 35)
_PROBE = """
import json, sys, sysconfig
get = sysconfig.get_config_var
print(json.dumps({"version": "%d.%d" % sys.version_info[:2], "full": sys.version.split()[0], "base": sys.base_prefix,
                  "folder": get("LIBDIR") or "", "multiarch": get("MULTIARCH") or "", "library": get("INSTSONAME") or ""}))
"""


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """A Python: its program, its version as ``3.11`` and ``3.11.7``, and the folder of its libpython or None if not found."""

    program: Path
    version: str
    full_version: str
    library_folder: Path | None


def check_platform() -> None:
    """Make sure that the server's binary can run on this machine, before anything is downloaded.

    Raises:
        CannotError: another system, processor, or an older C library.
    """
    library, version = platform.libc_ver()
    found = f"{platform.system()} on {platform.machine()} with {library or 'an unknown C library'} {version}".rstrip()
    new = library == "glibc" and tuple(int(part) for part in version.split(".")[:2]) >= _GLIBC
    if platform.system() != "Linux" or platform.machine() not in _MACHINES or not new:
        requested = f"Linux on {' or '.join(_MACHINES)} with glibc {'.'.join(str(part) for part in _GLIBC)} or later"
        raise CannotError(
            f"the local server needs {requested}, found {found}; name a container with --image, or put a tritonserver on PATH"
        )


def find_interpreter() -> Interpreter:
    """Return the running Python if its version fits, else the first fitting one on PATH.

    Raises:
        CannotError: no Python of a version in ``VERSIONS`` was found.
    """
    for program in _candidates():
        found = describe(program)
        if found is not None and found.version in VERSIONS:
            return found
    running = ".".join(str(part) for part in sys.version_info[:2])
    raise CannotError(
        f"the local server needs Python {', '.join(sorted(VERSIONS))}; portinf runs on {running} and none of "
        f"{', '.join(f'python{version}' for version in VERSIONS)} on PATH works: install one of them"
    )


def describe(program: Path) -> Interpreter | None:
    """Return what a Python says of itself, or None if it cannot be run."""
    try:
        answer = subprocess.run([program, "-I", "-c", _PROBE], capture_output=True, text=True, timeout=30, check=True)
        record = json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return Interpreter(
        program=program, version=record["version"], full_version=record["full"], library_folder=_library_folder(record)
    )


def _candidates() -> Iterator[Path]:
    yield Path(sys.executable)
    for version in VERSIONS:
        program = shutil.which(f"python{version}")
        if program:
            yield Path(program)


def _library_folder(record: dict[str, str]) -> Path | None:
    folders = [Path(record["folder"]), Path(record["folder"]) / record["multiarch"], Path(record["base"]) / "lib"]
    # A Python built without a shared library names a static one (.a) here; some ship the shared one beside it anyway.
    names = [record["library"], f"libpython{record['version']}.so.1.0"]
    for folder in folders:
        if any(".so" in name and (folder / name).exists() for name in names):
            return folder
    return None
