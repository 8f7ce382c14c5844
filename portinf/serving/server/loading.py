"""Waits for a starting server, and turns a start that fails into one error that says which model and why."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

from portinf.core.errors import ServingError, printable
from portinf.serving.client.control import Control
from portinf.serving.repository import Problem, refusal
from portinf.serving.server.messages import CORRECT_CONFIG, index_problems, last_error, loaded
from portinf.serving.server.process import ServerProcess
from portinf.serving.server.starter import NOT_STARTED

__all__ = ["await_ready", "ended", "refuse_unready"]

_TICK_SECONDS = 0.1


def await_ready(process: ServerProcess, control: Control, models: int, timeout: float, report: Callable[[str], None]) -> None:
    """Wait until the server answers that it is ready, reporting each model as it is loaded.

    Raises:
        ServingError: the server ended, or is not ready after ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    reported = 0
    while True:
        ready = control.is_ready()
        names = loaded(process.log())
        for name in names[reported:]:
            reported += 1
            report(f"loaded {printable(name)} ({reported} of {models})")
        if ready:
            return
        if process.poll() is not None:
            raise ended(process, "while loading")
        if NOT_STARTED in process.log():  # the server would wait for it forever
            raise ServingError(f"the server cannot load its models{_last_words(process)}; report this as a bug of portinf")
        if time.monotonic() > deadline:
            raise ServingError(
                f"the server is not ready after {timeout:g} s: {reported} of {models} models are loaded"
                f"{_last_words(process)}; give it longer with --load-timeout SECONDS"
            )
        time.sleep(_TICK_SECONDS)


def refuse_unready(
    process: ServerProcess, control: Control, folder: Path, expected: list[str], in_users_words: Callable[[str], str]
) -> None:
    """Make sure that every model of the folder is ready.

    Args:
        process: the server.
        control: its HTTP side.
        folder: the user's repository, for the message.
        expected: the names of its models.
        in_users_words: names the user's paths in place of those that the server was given.

    Raises:
        ServingError: at least one is not; the message names each one and its reason.
    """
    problems = index_problems(control.index(), expected, process.log())
    if problems:
        raise refusal(folder, [_placed(problem, folder, in_users_words) for problem in problems])


def _placed(problem: Problem, folder: Path, in_users_words: Callable[[str], str]) -> Problem:
    config = folder / problem.model / "config.pbtxt"
    return Problem(model=problem.model, reason=in_users_words(problem.reason).replace(CORRECT_CONFIG, f"correct {config}"))


def ended(process: ServerProcess, when: str) -> ServingError:
    """Return the error for a server that has ended by itself."""
    code = process.poll()
    killed = code is not None and code < 0
    how = f"was killed ({signal.Signals(-(code or 0)).name})" if killed else f"exited with code {code}"
    return ServingError(f"the server {how} {when}{_last_words(process)}; start it again")


def _last_words(process: ServerProcess) -> str:
    words = last_error(process.log())
    return f"; last log line: {words}" if words else ""
