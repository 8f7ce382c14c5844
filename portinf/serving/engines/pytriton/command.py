"""The command that starts the server of the nvidia-pytriton wheel, with ONNX Runtime as its backend."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

from portinf.core.errors import CannotError
from portinf.serving.engines import EngineRequest, server_arguments
from portinf.serving.engines.pytriton.environment import ServingEnvironment
from portinf.serving.server.ports import HOST
from portinf.serving.server.process import ServerCommand

__all__ = ["command_for", "preflight"]

_BACKEND = Path(__file__).parents[2] / "backends" / "onnxruntime"


_STARTER = Path(__file__).parents[2] / "server" / "starter.py"


_STUB = "triton_python_backend_stub"


_HIDDEN = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "LD_PRELOAD")


def command_for(environment: ServingEnvironment, request: EngineRequest) -> ServerCommand:
    """Return the command that starts the server of a serving environment; all that it sees of it lies in the scratch folder.

    Raises:
        CannotError: the wheel has no stub for this Python, or the stub cannot be linked or run.
    """
    backends = _backends(_home(environment), environment.version, request.scratch / "backends")
    environment = _linked(environment, request.scratch)
    home = _home(environment)
    settings = _environment(environment)
    preflight(backends / "python" / _STUB, settings)
    settings["PATH"] = str(_starter(environment, request, backends, settings["PATH"]))
    arguments = server_arguments(request, str(request.repository), request.ports, HOST)
    arguments += [
        f"--backend-directory={backends}",
        f"--cache-directory={home / 'caches'}",
        f"--backend-config=python,shm-region-prefix-name={request.prefix}",
        "--exit-timeout-secs=10",
        "--allow-gpu-metrics=false",
    ]
    return ServerCommand(
        engine="pytriton", command=(str(home / "bin" / "tritonserver"), *arguments), environment=settings, stubs=True
    )


def preflight(stub: Path, environment: dict[str, str]) -> None:
    """Make sure that every library of the stub is found: a stub that cannot be linked hangs the load without a word.

    Raises:
        CannotError: a library is missing; the message names it.
    """
    try:
        done = subprocess.run(["ldd", str(stub)], capture_output=True, text=True, timeout=30, env=environment, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotError(
            f"cannot run ldd on {stub}: {error}; the local server needs a Linux with glibc 2.35 or later"
        ) from error
    missing = [line.strip() for line in (done.stdout + done.stderr).splitlines() if "not found" in line]
    if missing or done.returncode:
        reason = missing[0] if missing else (done.stderr.strip() or f"ldd ended with {done.returncode}")
        raise CannotError(
            f"the server's Python stub cannot be linked: {reason}; install that library (libpython comes with a Python "
            "built with --enable-shared, glibc must be 2.35 or later), or name another server with --engine"
        )


def _home(environment: ServingEnvironment) -> Path:
    return environment.packages / "pytriton" / "tritonserver"


def _linked(environment: ServingEnvironment, scratch: Path) -> ServingEnvironment:
    """Return the environment by links without a colon, a dollar or the like, which its search paths do not take."""
    folder, library = scratch / "environment", environment.library_folder
    folder.symlink_to(environment.folder, target_is_directory=True)
    if library is not None:
        (scratch / "library").symlink_to(library, target_is_directory=True)
        library = scratch / "library"
    return replace(environment, folder=folder, library_folder=library)


def _backends(home: Path, version: str, folder: Path) -> Path:
    stub = home / "python_backend_stubs" / version / _STUB
    if not stub.exists():
        raise CannotError(f"the server has no stub for Python {version}: {stub} is missing; remove the serving environment")
    # Copies, not links: the server refuses a library that lies outside its backend folder.
    python = folder / "python"
    python.mkdir(parents=True)
    for path in (stub, *sorted((home / "backends" / "python").iterdir())):
        if path.is_file():
            shutil.copy(path, python / path.name)
    (python / _STUB).chmod(0o755)
    if not os.access(python / _STUB, os.X_OK):
        raise CannotError(
            f"nothing can be run in {folder}, whose file system forbids it (noexec): set TMPDIR to another folder"
        )
    shutil.copytree(_BACKEND, folder / "onnxruntime", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def _environment(environment: ServingEnvironment) -> dict[str, str]:
    settings = {name: value for name, value in os.environ.items() if name not in _HIDDEN}
    folders = [environment.packages / "nvidia_pytriton.libs"]
    if environment.library_folder is not None:
        folders.insert(0, environment.library_folder)
    settings["LD_LIBRARY_PATH"] = os.pathsep.join(str(folder) for folder in folders)
    # The stub takes its packages from the first python3 on PATH.
    settings["PATH"] = os.pathsep.join([str(environment.folder / "bin"), settings.get("PATH", os.defpath)])
    settings["PYTHONDONTWRITEBYTECODE"] = "1"
    # ONNX Runtime runs on the CPU here: the core must not place models on a GPU by itself.
    settings["CUDA_VISIBLE_DEVICES"] = ""
    return settings


def _starter(environment: ServingEnvironment, request: EngineRequest, backends: Path, path: str) -> Path:
    """Make the folder that is the server's whole PATH: what is called ``bash`` there starts a stub, and is no shell."""
    folder = request.scratch / "programs"
    folder.mkdir()
    (folder / "python").symlink_to(environment.python.resolve())
    (folder / "bash").write_text(f"#!{folder}/python -IS\n{_STARTER.read_text(encoding='utf-8')}", encoding="utf-8")
    (folder / "bash").chmod(0o755)
    known = {"repository": request.repository, "backends": backends, "prefix": request.prefix, "path": path}
    settings = {**{name: str(value) for name, value in known.items()}, "bash": shutil.which("bash", path=path) or "/bin/bash"}
    (folder / "starter.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder
