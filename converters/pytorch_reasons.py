"""Finds the root cause in a torch exporter's failure: one line, with the line of the user's file and the usual rewriting."""

from __future__ import annotations

import linecache
import re
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import portinf.errors
from portinf.errors import CannotError, first_line

__all__ = ["reason_of", "refuse_guesses"]

OWN = (Path(__file__).resolve().parent, Path(portinf.errors.__file__).resolve().parent)
LIBRARIES = ("torch", "torch_geometric", "onnx", "onnxscript", "portinf")
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


def _is_library(file: str) -> bool:
    path = Path(file)
    if file.startswith("<") or any(own in path.resolve().parents for own in OWN):
        return True
    parts = path.parts
    return "site-packages" in parts and parts[parts.index("site-packages") + 1] in LIBRARIES


def _frames(error: BaseException) -> Iterator[tuple[str, int]]:
    """Yield file and line of the innermost calls first: the traceback's, those of the graph's node, those of the text."""
    tracebacks = [(frame.f_code.co_filename, number) for frame, number in traceback.walk_tb(error.__traceback__)]
    yield from reversed(tracebacks)
    for frame, _ in traceback.walk_tb(error.__traceback__):
        stack = getattr(frame.f_locals.get("node"), "meta", {}).get("stack_trace") if "node" in frame.f_locals else None
        yield from reversed([(file, int(line)) for file, line in PLACE.findall(stack or "")])
    yield from reversed([(file, int(line)) for file, line in PLACE.findall(str(error))])


def _place(errors: Sequence[BaseException]) -> tuple[str, int] | None:
    """Return the innermost line of the user's own code that led to the failure."""
    for error in reversed(errors):
        for file, line in _frames(error):
            if not _is_library(file) and Path(file).is_file():
                return file, line
    return None


def reason_of(error: BaseException) -> str:
    """Return the root cause of an exporter's failure as one line."""
    errors = list(_chain(error))
    root = errors[-1]
    text = f"{type(root).__name__}: {_clean(first_line(root))}"
    place = _place(errors)
    if place is None:
        return text
    code = linecache.getline(*place).strip()
    where = f"{Path(place[0]).name}, line {place[1]}: `{code[:120]}`"
    advice = _advice(code, errors)
    return f"{where}: {advice}" if advice else f"{where}: {text}"


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
            f"{Path(warning.filename).name}, line {warning.lineno}: `{code[:120]}`: the trace would keep one input's value "
            f"({what}): {advice}"
        )


def _is_torch(file: str) -> bool:
    import torch

    return Path(torch.__file__).parent in Path(file).parents
