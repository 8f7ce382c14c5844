"""Work in a separate process: programs of others, and modules of portinf that import whole frameworks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import portinf
from portinf.core.errors import CannotError, MissingPackageError, PortinfError

__all__ = ["answer", "python_command", "run_module", "run_program"]

LONGEST = 300  # characters of another program's message


def python_command(code: str, python: str = sys.executable) -> list[str]:
    """Return the command that runs code which imports this very portinf; the current folder shadows no installed package."""
    return [python, "-c", f"import sys; sys.path.pop(0); sys.path.append({str(Path(portinf.__file__).parents[1])!r}); {code}"]


def run_program(
    command: Sequence[str], *, task: str, seconds: float, folder: Path, environment: Mapping[str, str] | None = None
) -> str:
    """Run a program in a folder and return what it prints.

    Args:
        command: the program and its arguments.
        task: what it is to do, for messages: "compile the C simulation".
        seconds: that it may take.
        folder: in which it runs.
        environment: variables; None for those of this process.

    Raises:
        CannotError: it fails, and the message is its first line about an error; or it takes longer.
    """
    name = Path(command[0]).name
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=seconds
        )
    except subprocess.TimeoutExpired as error:
        raise CannotError(f"{name} did not {task} within {seconds:g} s") from error
    if done.returncode:
        lines = [*done.stderr.splitlines(), *done.stdout.splitlines()] or ["no message"]
        line = next((line for line in lines if "error" in line.lower()), lines[0])
        raise CannotError(f"{name} cannot {task}: {line.strip()[:LONGEST]}")
    return done.stdout


def run_module(
    module: str, *arguments: str, tool: str, task: str, seconds: float, environment: Mapping[str, str] | None = None
) -> str:
    """Run ``main(*arguments)`` of a module of portinf in a separate process and return what it prints.

    Args:
        module: its dotted name.
        arguments: passed on.
        tool: the package that does the work, for messages.
        task: what it is to do, for messages: "write the project".
        seconds: that it may take.
        environment: variables beside those of this process.

    Raises:
        MissingPackageError, CannotError: as ``main`` raises; CannotError also where it fails otherwise or takes longer.
    """
    command = [*python_command(f"from portinf.core.child import answer; from {module} import main; answer(main)"), *arguments]
    given = {**os.environ, **(environment or {})}
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds, env=given)
    except subprocess.TimeoutExpired as error:
        raise CannotError(f"{tool} did not {task} within {seconds:g} s") from error
    if done.returncode == 0:
        return done.stdout
    said = ([line for line in done.stderr.splitlines() if line.strip()] or ["no message"])[-1]
    for kind in (MissingPackageError, CannotError):
        if done.returncode == kind.exit_code:
            raise kind(said)
    raise CannotError(f"{tool} failed: {said[:LONGEST]}")


def answer(main: Callable[..., None]) -> None:
    """Run ``main`` with the arguments of this process, as the child of `run_module`: an error's line goes to stderr."""
    try:
        main(*sys.argv[1:])
    except PortinfError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        raise SystemExit(error.exit_code) from error
