"""Runs the recorded requests on a TensorRT engine with trtexec, and writes the record beside the plan.

Written by portinf. `build_engine.sh` calls it; the subcommands are its steps. It needs Python 3.8 and nothing else. Binary inputs
are little-endian, as trtexec reads them; its outputs come as text with six significant digits, which the comparison allows for.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import re
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

__all__ = ["differs", "main", "outputs"]

CODES = {"bool": "?", "int8": "b", "uint8": "B", "int32": "i", "int64": "q", "float16": "e", "float32": "f"}
PRINTED = 5e-6  # relative: half a step of the sixth digit, which is where trtexec ends its numbers
ANSWER = re.compile(r'\{\s*"name"\s*:\s*"(.*)"\s*,\s*"dimensions"\s*:\s*"([^"]*)"\s*,\s*"values"\s*:\s*\[([^\]]*)\]\s*\}')
SHOWN = 8  # differences named


def fail(text: str) -> None:
    """Say why, on stderr."""
    print(f"build_engine: error: {text}", file=sys.stderr)


def numbers(path: str, dtype: str) -> list[Any]:
    """Return the numbers of a binary file."""
    data = Path(path).read_bytes()
    code = CODES[dtype]
    return list(struct.unpack(f"<{len(data) // struct.calcsize(code)}{code}", data))


def narrowed(path: str, out: Path) -> bool:
    """Write an int64 file again as int32, which TensorRT before 10 makes of such an input; False where a number does not fit."""
    values = numbers(path, "int64")
    if any(not -(2**31) <= value < 2**31 for value in values):
        return False
    out.write_bytes(struct.pack(f"<{len(values)}i", *values))
    return True


def outputs(path: Path) -> dict[str, tuple[list[int], list[Any]]]:
    """Read what trtexec --exportOutput wrote: shape and numbers by name. It prints nan and inf, which JSON does not have."""
    found = {}
    for name, shape, values in ANSWER.findall(path.read_text(encoding="utf-8", errors="replace")):
        lengths = [int(number) for number in re.findall(r"\d+", shape)]
        found[name] = (lengths, [number(text) for text in values.replace(",", " ").split()])
    return found


def number(text: str) -> Any:
    """Read one number: whole ones exactly."""
    return int(text) if re.fullmatch(r"-?\d+", text) else float(text)


def absolute(tensor: dict[str, Any], position: int) -> float:
    """Return the absolute part of the tolerance of one element: that of its column."""
    place = 0
    for stride, length in tensor["columns"]:
        place = place * length + position // stride % length
    return float(tensor["atol"][place])


def differs(expected: Sequence[Any], found: Sequence[Any], rtol: float, tensor: dict[str, Any]) -> tuple[float, int]:
    """Return the largest part of the tolerance that is used up, and the place; (0.0, 0) where all are equal."""
    worst, place = 0.0, 0
    for position, (want, got) in enumerate(zip(expected, found)):  # noqa: B905 (Python 3.8)
        if math.isfinite(want) and math.isfinite(got):
            allowed, gap = absolute(tensor, position) + rtol * abs(want), abs(got - want)
            used = 0.0 if gap == 0 else gap / allowed if allowed else math.inf
        else:
            used = 0.0 if want == got or (want != want and got != got) else math.inf
        if used > worst:
            worst, place = used, position
    return worst, place


def call(command: Sequence[str], log: str) -> int:
    """Run a program whose output goes to the log; it ends with us."""
    with Path(log).open("a", encoding="utf-8") as stream:
        stream.write(f"+ {' '.join(command)}\n")
        stream.flush()
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
        try:
            return process.wait()
        finally:
            if process.poll() is None:
                process.kill()


def ask(given: argparse.Namespace, case: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Run trtexec on one recorded request; return its outputs and why there are none."""
    inputs, shapes, work = [], [], Path(given.work)
    for tensor in case["inputs"]:
        path = tensor["file"]
        if tensor["dtype"] == "int64" and given.major < 10:
            path = str(work / Path(path).name)
            if not narrowed(tensor["file"], Path(path)):
                return {}, f"input '{tensor['name']}' has numbers beyond int32, which TensorRT before 10 cannot take"
        inputs.append(f"{tensor['name']}:{path}")
        if tensor["dynamic"]:
            shapes.append(f"{tensor['name']}:{'x'.join(map(str, tensor['shape']))}")
    answer = work / "answer.json"
    command = [given.trtexec, f"--loadEngine={given.plan}", f"--loadInputs={','.join(inputs)}", f"--exportOutput={answer}"]
    command += [f"--shapes={','.join(shapes)}"] if shapes else []
    code = call([*command, "--iterations=1", "--warmUp=0", "--duration=0", "--avgRuns=1", *given.flags], given.log)
    if code or not answer.is_file():
        return {}, f"trtexec exited with code {code} on it"
    found = outputs(answer)
    answer.unlink()
    return found, ""


def judge(case: dict[str, Any], found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return one record per output of a request."""
    for tensor in case["outputs"]:
        floats = tensor["dtype"].startswith("float")
        rtol = tensor["rtol"] + (PRINTED if floats else 0.0)
        record = {"case": case["name"], "output": tensor["name"], "rtol": rtol, "atol": max(tensor["atol"]), "equal": False}
        expected = numbers(tensor["file"], tensor["dtype"])
        if tensor["name"] not in found:
            yield {**record, "why": f"it is not among the engine's outputs: {', '.join(sorted(found))}"}
            continue
        shape, values = found[tensor["name"]]
        if len(values) != len(expected) or [n for n in shape if n != 1] != [n for n in tensor["shape"] if n != 1]:
            yield {**record, "why": f"shape {shape} with {len(values)} numbers, expected {tensor['shape']}"}
            continue
        used, place = differs(expected, values, rtol, tensor)
        why = ""
        if used > 1:
            why = f"element {place} is {values[place]}, recorded {expected[place]}: {used:.3g} times the tolerance"
        yield {**record, "equal": used <= 1, "used": min(used, sys.float_info.max), "why": why}


def check(given: argparse.Namespace) -> int:
    """Run every recorded request; 0 where all answers agree, 5 where one does not, 6 where the engine cannot be run."""
    records: list[dict[str, Any]] = []
    for case in json.loads(Path("goldens/goldens.json").read_text(encoding="utf-8")):
        found, why = ask(given, case)
        if why:
            fail(f"request '{case['name']}': {why}")
            return 6
        records += judge(case, found)
    Path(given.report).write_text(json.dumps(records), encoding="utf-8")
    wrong = [record for record in records if not record["equal"]]
    for record in wrong[:SHOWN]:
        fail(f"request '{record['case']}', output '{record['output']}': {record['why']}")
    if not records:
        fail("no recorded request to run")
    return 5 if wrong or not records else 0


def sha256(path: Path) -> str:
    """Return the hash of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def write(path: Path, record: dict[str, Any]) -> None:
    """Write JSON in one rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)


def current(given: argparse.Namespace) -> int:
    """Return 0 where the plan in its place is the one that this key describes."""
    place = Path(given.place)
    try:
        record = json.loads((place / "engine.json").read_text(encoding="utf-8"))
        known = record["state"] == "built" and record["key"] == given.key
        return 0 if known and record["plan_sha256"] == sha256(place / "model.plan") else 1
    except (OSError, ValueError, KeyError):
        return 1


def not_built(given: argparse.Namespace) -> int:
    """Empty the place before anything else: what is there was made of something else."""
    place = Path(given.place)
    place.mkdir(parents=True, exist_ok=True)
    write(place / "engine.json", {"schema": 1, "state": "not built"})
    if (place / "model.plan").exists():
        (place / "model.plan").unlink()
    return 0


def seen(log: str, label: str) -> str:
    """Return what trtexec printed about the device it ran on, else an empty text."""
    found = re.search(re.escape(label) + r": (.*)", log)
    return found.group(1).strip() if found else ""


def publish(given: argparse.Namespace) -> int:
    """Write the record, then move the plan into its place: a plan without its record is never taken for built."""
    name, driver, capability = (part.strip() for part in given.gpu.rsplit(",", 2))
    log = Path(given.log).read_text(encoding="utf-8", errors="replace")
    plan, place = Path(given.work) / "model.plan", Path(given.place)
    ran = seen(log, "Selected Device") or name
    if ran != name:
        print(f"build_engine: note: nvidia-smi names {name}, trtexec ran on {ran}", file=sys.stderr)
    record = {
        "schema": 1,
        "state": "built",
        "key": given.key,
        "plan_sha256": sha256(plan),
        "model_sha256": sha256(Path("model.onnx")),
        "tensorrt": given.tensorrt,
        "trtexec": given.trtexec,
        "gpu": ran,
        "compute_capability": seen(log, "Compute Capability") or capability,
        "driver": driver,
        "precision": given.precision,
        "flags": given.flags,
        "checked": json.loads((Path(given.work) / "report.json").read_text(encoding="utf-8")),
        "built": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    with plan.open("rb") as stream:
        os.fsync(stream.fileno())
    write(place / "engine.json", record)
    plan.replace(place / "model.plan")
    return 0


STEPS = {"check": check, "current": current, "not-built": not_built, "publish": publish}


def main() -> int:
    """Run one step and return its exit code; flags for trtexec follow a ``--``."""
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=sorted(STEPS))
    for name in ("trtexec", "plan", "work", "log", "report", "place", "key", "tensorrt", "gpu", "precision"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--major", type=int)
    given = parser.parse_args(words[:cut])
    given.flags = words[cut + 1 :]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    return STEPS[given.step](given)


if __name__ == "__main__":
    sys.exit(main())
