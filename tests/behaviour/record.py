"""Runs the recorded commands and holds exit codes, reports and written files against the record.

python -m tests.behaviour.record            compare with record.json; exit code 1 and a list where something differs
python -m tests.behaviour.record --write    write record.json anew, and print what changed
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import re
import shlex
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from tests.behaviour.commands import COMMANDS
from tests.behaviour.inputs import DAMAGED, write_inputs

__all__ = ["compare", "content", "plain", "record"]

RECORD = Path(__file__).with_name("record.json")
ROOT = Path(__file__).parents[2]
# What differs from run to run or from machine to machine: times, ports, versions of packages, this machine.
MOVING = re.compile(
    r"(seconds|_ms|millis|cpu|time|date|created|host|port|versions?|speed|sha256|hash|bytes|files|http|grpc|metrics|packages|python|machine)$"
)
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)?")
STAMPED = (
    ".json",
    ".html",
    ".md",
    ".svg",
    ".txt",
    ".log",
    ".so",
    ".prj",
    ".yml",
    "build_lib.sh",
    "bridge.cpp",
)  # hold times or paths
TIMED = "timed"  # so begin the names of files whose content was chosen by timing
NUMBER = re.compile(r"(?<![\w.])-?\d+\.?\d*(?:e[-+]?\d+)?(?![\w])")
LARGEST_CHANGE = 1e-3  # relative; numbers below SMALL are rounding errors, which another processor rounds otherwise
SMALL = 1e-4
LONG = 24  # items up to which a list of a report is kept; longer ones are points of plots and the like


def plain(value: Any, folder: str) -> Any:
    """Return a report without what moves: paths of the scratch folder become ``.``, moving keys are left out."""
    if isinstance(value, dict):
        return {key: plain(item, folder) for key, item in value.items() if not MOVING.search(key.lower())}
    if isinstance(value, list):
        return [plain(item, folder) for item in value] if len(value) <= LONG else f"{len(value)} items"
    return MOMENT.sub("TIME", value.replace(folder, ".")) if isinstance(value, str) else value


def content(path: Path) -> str:
    """Return a hash of what a file says: the graph of an ONNX file, the arrays of an npz, the bytes of all else."""
    digest = hashlib.sha256()
    if path.suffix == ".onnx" and path.name != DAMAGED:
        model = onnx.load(str(path))
        del model.metadata_props[:]
        for node in model.graph.node:  # the exporter's notes: where each node comes from
            del node.metadata_props[:]
        digest.update(model.SerializeToString(deterministic=True))
    elif path.suffix == ".npz" and zipfile.is_zipfile(path):
        with np.load(path, allow_pickle=False) as arrays:
            for name in sorted(arrays.files):
                digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
    else:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _written(folder: Path) -> dict[str, str]:
    """Return the hash of each file; of reports and records, which hold times and versions, that it is there."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            moves = path.name.endswith(STAMPED) or path.name.startswith(TIMED)
            found[str(path.relative_to(folder))] = "there" if moves else content(path)
    return found


def _report(text: str, folder: str) -> Any:
    try:
        return plain(json.loads(text), folder)
    except ValueError:
        return None


def record(progress: bool = True) -> Iterator[dict[str, Any]]:
    """Run every command in one scratch folder and yield its record: command, exit code, report, new or changed files."""
    with tempfile.TemporaryDirectory(prefix="portinf-record-") as name:
        folder = Path(name).resolve()
        write_inputs(folder)
        before = _written(folder)
        for number, command in enumerate(COMMANDS):
            if progress:
                print(f"{number + 1}/{len(COMMANDS)} {command}", file=sys.stderr, flush=True)
            done = subprocess.run(
                [sys.executable, "-m", "portinf", *shlex.split(command)],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=600,
                env={**os.environ, "COLUMNS": "80", "PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT)},
                check=False,
            )
            after = _written(folder)
            yield {
                "command": command,
                "exit": done.returncode,
                "report": _report(done.stdout, str(folder)),
                "error": next((line for line in done.stderr.splitlines() if "error:" in line), "").replace(str(folder), "."),
                "files": {path: kind for path, kind in after.items() if before.get(path) != kind},
            }
            before = after


def wheel_files() -> list[str]:
    """Return the names of the files of the wheel that this tree builds."""
    with tempfile.TemporaryDirectory(prefix="portinf-wheel-") as folder:
        command = [sys.executable, "-m", "build", "--wheel", "--outdir", folder, str(ROOT)]
        subprocess.run(command, check=True, capture_output=True, cwd=folder)
        return sorted(zipfile.ZipFile(next(Path(folder).glob("*.whl"))).namelist())


def _same_number(first: float, second: float) -> bool:
    if math.isnan(first) or math.isnan(second):
        return math.isnan(first) and math.isnan(second)
    return max(abs(first), abs(second)) < SMALL or math.isclose(first, second, rel_tol=LARGEST_CHANGE)


def _same_text(first: str, second: str) -> bool:
    """Compare texts word by word; numbers in them as numbers."""
    one, two = (NUMBER.findall(text) for text in (first, second))
    alike = NUMBER.sub("#", first) == NUMBER.sub("#", second)
    return alike and all(_same_number(float(a), float(b)) for a, b in zip(one, two, strict=True))


def compare(first: Any, second: Any, place: str = "") -> Iterator[str]:
    """Yield one line for each difference of two records: where, recorded, found."""
    if isinstance(first, dict) and isinstance(second, dict):
        for key in sorted({*first, *second}):
            yield from compare(first.get(key), second.get(key), f"{place}.{key}" if place else key)
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        for number, (one, two) in enumerate(zip(first, second, strict=True)):
            yield from compare(one, two, f"{place}[{number}]")
    elif isinstance(first, str) and isinstance(second, str):
        if not _same_text(first, second):
            yield f"{place}: {first[:200]!r} -> {second[:200]!r}"
    elif isinstance(first, float | int) and isinstance(second, float | int) and type(first) is not bool:
        if not _same_number(first, second):
            yield f"{place}: {first!r} -> {second!r}"
    elif first != second:
        yield f"{place}: {json.dumps(first)[:200]} -> {json.dumps(second)[:200]}"


def main() -> int:
    """Compare or write; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the record anew")
    write = parser.parse_args().write
    found = {"commands": list(record()), "wheel": wheel_files()}
    known = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {"commands": [], "wheel": []}
    by_command = {entry["command"]: entry for entry in known["commands"]}
    lines = []
    for entry in found["commands"]:
        old = by_command.pop(entry["command"], None)
        differences = ["not recorded"] if old is None else list(compare(old, entry))
        lines += [f"{entry['command']}\n    {line}" for line in differences]
    lines += [f"{command}\n    no longer run" for command in by_command]
    lines += [f"wheel: {name}" for name in sorted({*known["wheel"]} ^ {*found["wheel"]})]
    print("\n".join(lines) or f"{len(found['commands'])} commands as recorded")
    if write:
        RECORD.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        return 0
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
