"""Finds the root cause in a torch exporter's failure: one line, with the line of the user's file and the usual rewriting."""

from __future__ import annotations

import linecache
import re
import sysconfig
import traceback
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

import portinf.core.errors
from portinf.core.errors import CannotError, first_line

__all__ = ["is_library", "reason_of", "refuse_guesses", "user_line"]

OWN = (Path(__file__).resolve().parents[1], Path(portinf.core.errors.__file__).resolve().parents[1])
STANDARD = Path(sysconfig.get_paths()["stdlib"])
LIBRARIES = ("torch", "torch_geometric", "tensorflow", "keras", "tf_keras", "numpy", "onnx", "onnxscript", "portinf")
PLACE = re.compile(r'File "([^"]+)", line (\d+), in ')
BRANCH = "write it with torch.where (both sides computed) or torch.cond"
REWRITINGS = (
    (re.compile(r"^\s*(if|elif)\b|\bif\b.*\belse\b"), f"a Python 'if' on a tensor's value cannot be exported: {BRANCH}"),
    (
        re.compile(r"^\s*(for|while)\b"),
        "a Python loop over a tensor's value cannot be exported: compute on the whole tensor, with a mask, "
        "or write it with torch.while_loop",
    ),
    (re.compile(r"^\s*assert\b"), "an assertion on a tensor's value cannot be exported: remove it, or write torch._check"),
    (
        re.compile(r"\.item\(\)|\bint\(|\bfloat\(|\bbool\(|\.tolist\(|\.numpy\("),
        "a Python number made from a tensor's value cannot be exported where Python decides by it: keep it a tensor, "
        "or promise its range with torch._check",
    ),
)
GUARDS = ("GuardOnDataDependentSymNode", "UserError", "DataDependentOutputException", "UncapturedHigherOrderOpError")


def _chain(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    seen: set[int] = set()
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


@cache
def is_library(file: str) -> bool:
    """Whether a file is Python's, a framework's or portinf's own, and not the user's."""
    path = Path(file)
    if file.startswith("<") or any(own in path.resolve().parents for own in OWN):
        return True
    parts = path.parts
    if "site-packages" not in parts and STANDARD in path.parents:
        return True
    return "site-packages" in parts and parts[parts.index("site-packages") + 1] in LIBRARIES


def _frames(error: BaseException) -> Iterator[tuple[str, int]]:
    """Yield file and line of the innermost calls first: the traceback's, those of the graph's node, those of the text."""
    tracebacks = [(frame.f_code.co_filename, number) for frame, number in traceback.walk_tb(error.__traceback__)]
    yield from reversed(tracebacks)
    for frame, _ in traceback.walk_tb(error.__traceback__):
        stack = getattr(frame.f_locals.get("node"), "meta", {}).get("stack_trace") if "node" in frame.f_locals else None
        yield from reversed([(file, int(line)) for file, line in PLACE.findall(stack or "")])
    yield from reversed([(file, int(line)) for file, line in PLACE.findall(str(error))])


def _place(frames: Iterable[tuple[str, int]]) -> tuple[str, int] | None:
    """Return the first of the frames that is a line of the user's own code."""
    return next(((file, line) for file, line in frames if not is_library(file) and Path(file).is_file()), None)


def user_line(frames: Iterable[tuple[str, int]]) -> str:
    """Show the first line of the user's own code among frames, given as file and line, innermost first; empty for none."""
    place = _place(frames)
    return "" if place is None else _shown(*place)


def _shown(file: str, line: int) -> str:
    return f"{Path(file).name}, line {line}: `{linecache.getline(file, line).strip()[:120]}`"


def reason_of(error: BaseException) -> str:
    """Return the root cause of an exporter's failure as one line."""
    errors = list(_chain(error))
    root = errors[-1]
    text = f"{type(root).__name__}: {_clean(first_line(root))}"
    place = _place(frame for error in reversed(errors) for frame in _frames(error))
    if place is None:
        return text
    advice = _advice(linecache.getline(*place).strip(), errors)
    return f"{_shown(*place)}: {advice or text}"


def _advice(code: str, errors: Sequence[BaseException]) -> str | None:
    kinds = {type(error).__name__ for error in errors}
    texts = " ".join(str(error) for error in errors)
    if "GuardOnDataDependentSymNode" not in kinds and "data-dependent" not in texts:
        return None
    return next((advice for pattern, advice in REWRITINGS if pattern.search(code)), None)


def _clean(line: str) -> str:
    line = re.sub(r"\x1b\[[0-9;]*m", "", line)
    found = re.search(r"No ONNX function found for <OpOverload\(op='([\w.]+)'", line)
    return f"no ONNX operator for {found.group(1)}" if found else line


def refuse_guesses(caught: Sequence[warnings.WarningMessage]) -> None:
    """Refuse a trace in which Python code outside of torch itself read a tensor's value: the value is baked in.

    Raises:
        CannotError: with the line of the user's file.
    """
    for warning in caught:
        if warning.category.__name__ != "TracerWarning" or _is_torch(warning.filename):
            continue
        code = linecache.getline(warning.filename, warning.lineno).strip()
        what = str(warning.message).split(" might ")[0].split(" are registered")[0]
        advice = next((text for pattern, text in REWRITINGS if pattern.search(code)), "keep it a tensor")
        raise CannotError(
            f"{_shown(warning.filename, warning.lineno)}: the trace would keep one input's value ({what}): {advice}"
        )


def _is_torch(file: str) -> bool:
    import torch

    return Path(torch.__file__).parent in Path(file).parents
