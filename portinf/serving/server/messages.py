"""Turns what a server says about a failed load, in its index or its log, into one clear line."""

from __future__ import annotations

import re

from portinf.core.errors import printable
from portinf.serving.client.control import IndexEntry
from portinf.serving.repository import Problem

__all__ = ["CORRECT_CONFIG", "clean", "failed", "index_problems", "last_error", "loaded"]

CORRECT_CONFIG = "correct config.pbtxt"
_CODES = re.compile(
    r"^(?:Invalid argument|Internal|Not found|Unavailable|Unsupported|Already exists|Unknown"
    r"|load failed for model '[^']*': version \d+ is at UNAVAILABLE state"
    r"|failed to load '[^']*' version \d+|failed to load '[^']*', failed to poll from model repository"
    r"|(?:portinf_onnx_session\.)?ConfigurationError|TritonModelException|RuntimeError): ",
)
_TRACE = re.compile(r"\s*At:\s+.*$", re.DOTALL)
_ERROR_LINE = re.compile(r"^E\d{4} [\d:.]+ \d+ [\w.]+:\d+\] \"?(.*?)\"?$", re.DOTALL)
_LOADED = re.compile(r"\] \"?successfully loaded '([^']+)'")
_FULL = re.compile(r"shared memory key '[^']*' to requested size \((\d+) bytes\)|Failed to increase the shared memory|shm-size")
_PROGRESS = ("I", "W", "E", "|", "+", "Error: Failed to initialize NVML")
_ADVICE = (
    (
        re.compile(
            r"configuration expects|configuration specifies|unexpected inference|data-type|number of dimensions|the model expects"
        ),
        CORRECT_CONFIG,
    ),
    (re.compile(r"ONNX Runtime cannot load"), "write the ONNX file again; it is damaged or of an unknown form"),
    (re.compile(r"unable to find '"), "put the file there"),
    (re.compile(r"^SyntaxError: "), "write that file again; it is damaged"),
)


def clean(text: str) -> str:
    """Return a server's message as one line without its error codes and traceback, with advice where there is some."""
    text = printable(" ".join(_TRACE.sub("", text).split()))
    while True:
        match = _CODES.match(text)
        if match is None:
            break
        text = text[match.end() :]
    text = text.rstrip(" ;")
    full = _FULL.search(text)
    if full is not None:
        return f"no room for the {full.group(1) or 'further'} bytes of shared memory that each instance needs: free or enlarge /dev/shm"
    for pattern, advice in _ADVICE:
        if pattern.search(text):
            return f"{text}; {advice}"
    return text


def index_problems(entries: list[IndexEntry], expected: list[str], log: str) -> list[Problem]:
    """Return the models that are not ready though they should be.

    Args:
        entries: the server's repository index.
        expected: the names of all models in the folder.
        log: the server's log, for the models of which the index says nothing.
    """
    ready = {entry.name for entry in entries if entry.state == "READY"}
    reasons = {
        entry.name: entry.reason for entry in entries if entry.state == "UNAVAILABLE" and entry.reason not in ("", "unloaded")
    }
    problems = {name: clean(reason) for name, reason in reasons.items()}
    for name in expected:
        if name not in ready and name not in problems:
            problems[name] = failed(name, log)
    return [Problem(model=name, reason=reason) for name, reason in sorted(problems.items())]


def failed(model: str, log: str) -> str:
    """Return the reason that a log gives for one model, or a sentence saying there is none."""
    for line in reversed(_errors(log)):
        if f"'{model}'" in line:
            return clean(line)
    return "it was not loaded, and the server gives no reason"


def last_error(log: str) -> str:
    """Return the last error in a log as one clean line, or its last line that is no message of progress, or an empty text."""
    errors = _errors(log)
    if errors:
        return clean(errors[-1])
    lines = [line for line in log.splitlines() if line.strip() and not line.startswith(_PROGRESS)]
    return lines[-1].strip() if lines else ""


def loaded(log: str) -> list[str]:
    """Return the names of the models that a log reports as loaded, in order."""
    return _LOADED.findall(log)


def _errors(log: str) -> list[str]:
    found: list[str] = []
    for line in log.splitlines():
        match = _ERROR_LINE.match(line)
        if match and "CudaDriverHelper" not in line:
            found.append(match.group(1))
        elif line.startswith("E cannot start "):
            found.append(line[2:])
    return found
