"""The one tree of errors: each class carries the documented exit code of the command line."""

from __future__ import annotations

import re

__all__ = [
    "CannotError",
    "DisagreementError",
    "MissingPackageError",
    "PermissionNeededError",
    "PortinfError",
    "RunnerError",
    "ServingError",
    "StateError",
    "UnreadableError",
    "UsageError",
    "first_line",
    "printable",
]


class PortinfError(Exception):
    """Base of every error that is meant for the user: one line that says what, where, and what to do next."""

    exit_code = 1
    example = ""  # lines of code that show the way out, below the message


class UsageError(PortinfError):
    """The call itself is wrong: an unknown name, an option that does not fit (exit code 2)."""

    exit_code = 2


class UnreadableError(UsageError):
    """A file is missing, damaged or of no known format (exit code 2)."""


class MissingPackageError(PortinfError):
    """A package that this step needs is not installed (exit code 3)."""

    exit_code = 3


class CannotError(PortinfError):
    """The input is readable, but the operation is not possible with it (exit code 4)."""

    exit_code = 4


class PermissionNeededError(CannotError):
    """Going on would run code from a file; the message names the option that allows it (exit code 4)."""


class StateError(CannotError):
    """A model's later answers depend on earlier requests, and a file cannot (exit code 4).

    Args:
        message: one line.
        example: how to write the state as input and output.
    """

    def __init__(self, message: str, example: str = "") -> None:
        super().__init__(message)
        self.example = example


class DisagreementError(PortinfError):
    """The numbers of two sides differ by more than the tolerance (exit code 5)."""

    exit_code = 5


class ServingError(PortinfError):
    """A server did not start, did not answer, or answered wrongly formed data (exit code 6)."""

    exit_code = 6


class RunnerError(DisagreementError):
    """One side cannot answer a request that its partner was given (exit code 5 if it reaches the user)."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its class where it has none."""
    plain = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", str(error))  # exporters colour their messages
    lines = [line for line in plain.splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].startswith("Exception encountered when calling"):  # Keras' frame around the cause
        lines = lines[1:]
    return lines[0].strip()[:500] if lines else type(error).__name__


def printable(text: str) -> str:
    """Replace what a terminal could obey or a table could break on: names come from files of others."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)
