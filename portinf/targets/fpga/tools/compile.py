"""An hls4ml project -> its C simulation, compiled by g++ and kept by the hash of what went into it."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from portinf.core.child import run_program
from portinf.core.errors import MissingPackageError
from portinf.targets.fpga.tools.hls4ml import PROJECT

__all__ = ["LIBRARY", "build", "compiled", "compiler"]

LIBRARY = f"firmware/{PROJECT}.so"
SECONDS = 1800.0
# The library looks for its weights in "weights", seen from where it runs: portinf.targets.fpga.runners.csim runs it in "firmware".
FLAGS = ("-O3", "-fPIC", "-std=c++17", "-fno-gnu-unique", "-w", "-shared", "-Ifirmware/ap_types")


def compiler() -> str:
    """Return the path of g++ with its version.

    Raises:
        MissingPackageError: there is none.
    """
    path = shutil.which("g++")
    if path is None:
        raise MissingPackageError(
            "g++ is not on PATH: the C simulation is compiled with it; install it (Debian: apt install g++), or leave the C "
            "simulation out with --no-csim"
        )
    return path


def build(project: Path, cache: Path) -> bool:
    """Compile a project's C simulation to `LIBRARY` inside it.

    Args:
        project: folder that `portinf.targets.fpga.tools.hls4ml.write_project` wrote.
        cache: folder of libraries by hash; made where it is missing. A library appears there whole or not at all.

    Returns:
        Whether it was compiled now; False where it was in the cache.

    Raises:
        MissingPackageError: no compiler.
        CannotError: it fails; the message holds the compiler's first error.
    """
    command = [compiler(), *FLAGS, f"firmware/{PROJECT}.cpp", f"{PROJECT}_bridge.cpp"]
    sources = [project / f"{PROJECT}_bridge.cpp", *sorted((project / "firmware").rglob("*"))]
    return compiled(command, project, sources, project / LIBRARY, cache)


def compiled(command: Sequence[str], folder: Path, sources: Sequence[Path], library: Path, cache: Path) -> bool:
    """Compile a library, or take the one that the same command made of the same sources before.

    Args:
        command: the compiler with all but where to write.
        folder: in which it runs.
        sources: inside the folder; files that are no C++ do not count.
        library: where to put it.
        cache: as of `build`.

    Returns:
        Whether it was compiled now.

    Raises:
        CannotError: as of `build`.
    """
    kept = cache / f"{_key(folder, command, sources)}.so"
    fresh = not kept.is_file()
    if fresh:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".building-", dir=cache) as name:
            made = Path(name) / "library.so"
            run_program([*command, "-o", str(made.resolve())], task="compile the C simulation", seconds=SECONDS, folder=folder)
            made.replace(kept)
    shutil.copyfile(kept, library)
    return fresh


def _key(folder: Path, command: Sequence[str], sources: Sequence[Path]) -> str:
    """Return the hash of the sources, the command and the compiler's version."""
    version = subprocess.run([command[0], "--version"], capture_output=True, check=False, timeout=60).stdout
    digest = hashlib.sha256(repr((tuple(command), version)).encode())
    for path in sources:
        if path.is_file() and path.suffix in (".cpp", ".h"):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(folder)} {len(content)}\n".encode() + content)
    return digest.hexdigest()
