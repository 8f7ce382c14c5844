"""Makes the serving environment once: a virtual environment of its own with the server and ONNX Runtime at exact versions."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from portinf.core.errors import CannotError, UsageError
from portinf.serving.engines.pytriton.interpreter import Interpreter, check_platform, describe, find_interpreter

__all__ = ["REQUIREMENTS", "ServingEnvironment", "default_folder", "environment", "is_complete"]

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
_MARKER = "portinf-serving.json"
_UNFINISHED = "portinf-serving.unfinished"
_TIMEOUT_SECONDS = 1800
_PROBE = "import numpy, onnxruntime; print(numpy.__version__, onnxruntime.__version__)"

Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class ServingEnvironment:
    """A complete serving environment: its folder, its Python, and the folder of that Python's shared library if known."""

    folder: Path
    python: Path
    version: str
    library_folder: Path | None

    @property
    def packages(self) -> Path:
        """The site-packages folder."""
        return self.folder / "lib" / f"python{self.version}" / "site-packages"


def default_folder(interpreter: Interpreter) -> Path:
    """Return the environment's place in the user's cache folder; its name changes with the requirements and the Python."""
    from platformdirs import user_cache_dir

    text = f"{_fingerprint()} python {interpreter.full_version} {interpreter.program.resolve()}"
    return Path(user_cache_dir("portinf")) / f"serving-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def is_complete(folder: Path) -> bool:
    """Say whether an environment was finished: its marker file, written last, is there and names the present requirements."""
    try:
        marker = json.loads((folder / _MARKER).read_text())
    except (OSError, ValueError):
        return False
    return bool(marker.get("fingerprint") == _fingerprint()) and (folder / "bin" / "python").exists()


def environment(folder: Path | None, report: Report, canary: Callable[[ServingEnvironment], None]) -> ServingEnvironment:
    """Return the serving environment, making it first if it is not complete.

    Args:
        folder: its folder, created if missing; None for the user's cache folder.
        report: called with one line of progress at a time.
        canary: tries a freshly made environment, and raises if it does not answer rightly.

    Raises:
        CannotError: there is no fitting Python, or an installation step failed.
        UsageError: the folder holds something else.
    """
    check_platform()
    place = (folder or default_folder(find_interpreter())).absolute()
    try:
        if not is_complete(place):
            with _lock(place, report):
                if not is_complete(place):
                    _make(place, find_interpreter(), report, canary)
    except OSError as error:
        raise CannotError(
            f"cannot create the serving environment {place}: {error}; name a folder that can be written with --serving-env PATH"
        ) from error
    return _open(place)


def _open(folder: Path) -> ServingEnvironment:
    python = folder / "bin" / "python"
    found = describe(python)
    if found is None:
        raise CannotError(
            f"the Python of the serving environment {folder} does not run; remove that folder; it will be created again"
        )
    return ServingEnvironment(folder=folder, python=python, version=found.version, library_folder=found.library_folder)


def _fingerprint() -> str:
    return hashlib.sha256("\n".join(_pins()).encode()).hexdigest()


@contextmanager
def _lock(folder: Path, report: Report) -> Iterator[None]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    # An environment holds absolute paths and cannot be renamed into place: it is built there, by one process at a time.
    with folder.with_name(folder.name + ".lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            report(f"waiting for another process that creates the serving environment {folder}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _make(folder: Path, interpreter: Interpreter, report: Report, canary: Callable[[ServingEnvironment], None]) -> None:
    _clear(folder, report)
    report(f"creating the serving environment {folder} with Python {interpreter.full_version} (once, about 300 MB)")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _UNFINISHED).touch()
    _step([str(interpreter.program), "-m", "venv", str(folder)], "create a virtual environment")
    report(f"installing {', '.join(_pins())}")
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-deps"]
    _step([*pip, "--only-binary", ":all:", "-r", str(REQUIREMENTS)], "install the packages of the serving environment")
    made = _open(folder)
    _check_versions(made)
    report("trying the serving environment with a canary request")
    canary(made)
    _write_marker(folder, interpreter)
    (folder / _UNFINISHED).unlink()
    report(f"the serving environment is ready: {folder}")


def _clear(folder: Path, report: Report) -> None:
    if not folder.exists():
        return
    if (folder / _MARKER).exists():
        raise UsageError(f"{folder} is a serving environment of other versions: remove it, or name another folder")
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / _UNFINISHED).exists()):
        raise UsageError(f"{folder} is not a serving environment and is not empty: name a new or an empty folder")
    if any(folder.iterdir()):
        report(f"removing an unfinished serving environment {folder}")
        shutil.rmtree(folder)


def _step(command: list[str], purpose: str) -> None:
    hidden = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_REQUIRE_VIRTUALENV", "PIP_TARGET", "PIP_PREFIX", "PIP_USER"}
    settings = {name: value for name, value in os.environ.items() if name not in hidden}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, env=settings, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotError(f"cannot {purpose}: {error}; try again with: portinf serve-local --prepare") from error
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if "rror" in line] or done.stderr.splitlines()
        reason = lines[-1].strip() if lines else f"exit code {done.returncode}"
        raise CannotError(f"cannot {purpose}: {reason}; fix that and run: portinf serve-local --prepare")


def _pins() -> list[str]:
    lines = (line.strip() for line in REQUIREMENTS.read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _check_versions(made: ServingEnvironment) -> None:
    done = subprocess.run([made.python, "-I", "-c", _PROBE], capture_output=True, text=True, timeout=120, check=False)
    pins = dict(line.split("==") for line in _pins())
    expected = [pins["numpy"], pins["onnxruntime"]]
    if done.returncode or done.stdout.split() != expected:
        found = done.stdout.strip() or (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise CannotError(
            f"the serving environment {made.folder} has numpy and onnxruntime {found}, expected {' '.join(expected)}: "
            "remove that folder and try again with: portinf serve-local --prepare"
        )


def _write_marker(folder: Path, interpreter: Interpreter) -> None:
    record = {"fingerprint": _fingerprint(), "python": interpreter.full_version, "requirements": _pins()}
    temporary = folder / f".{_MARKER}.tmp"
    temporary.write_text(json.dumps(record, indent=2) + "\n")
    temporary.replace(folder / _MARKER)
