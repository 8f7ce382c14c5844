"""Stands in for trtexec: its flags by release, its shape strings, its log and its output file; ONNX Runtime answers.

It shows that the kit's recipe is one that trtexec of a release takes. It shows nothing of TensorRT's engines. What it imitates is
in the public sources that `trtexec_flags.json` names by commit, and beside them in samples/common: sampleInference.cpp (inputs
read by size), sampleUtils.cpp (numbers printed with six digits), sampleReporting.cpp (the JSON), sampleDevice.cpp, logging.h.

Environment: STAND_IN_VERSION (a row of the table), STAND_IN_FAULT (no_gpu, parse, empty, wrong, shape, hang, crash).
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

FAULT = os.environ.get("STAND_IN_FAULT", "")
TABLES = json.loads(Path(__file__).with_name("trtexec_flags.json").read_text(encoding="utf-8"))["tables"]
TABLE = next(table for table in TABLES if table["tensorrt"] == os.environ["STAND_IN_VERSION"])
MAJOR = int(TABLE["tensorrt"].split(".")[0])
MAGIC = b"stand-in plan\n"
VALUED = ("=<file>", "=spec", "=N")


def banner(state: str) -> None:
    """Say what runs, as logging.h does."""
    print(f"&&&& {state} TensorRT.trtexec [TensorRT v{TABLE['banner']}] # {' '.join(sys.argv)}", flush=True)


def end(text: str) -> NoReturn:
    """Say an error and end as trtexec does."""
    print(f"[11/22/2026-00:00:00] [E] {text}")
    banner("FAILED")
    sys.exit(1)


def arguments() -> dict[str, str]:
    """Split at the first '=', and refuse what this release does not know."""
    given = dict(part.partition("=")[::2] for part in sys.argv[1:])
    unknown = [name for name in given if name not in TABLE["flags"] and name != "--help"]
    if unknown:
        help_text()
        end(f"Unknown option: {unknown[0]} {given[unknown[0]]}")
    return given


def help_text() -> None:
    """Print one line a flag, indented as in trtexec's own help."""
    for name in TABLE["flags"]:
        print(f"  {name + ('=spec' if name.endswith('Shapes') or name in ('--loadInputs', '--shapes') else ''):27} (help)")


def pairs(text: str) -> dict[str, str]:
    """Split ``name:value,...`` as sampleOptions.cpp does: at commas, then at the last colon."""
    found = {}
    for part in text.split(",") if text else []:
        name, colon, value = part.rpartition(":")
        if not colon:
            end(f"Invalid spec: {part}")
        found[name] = value
    return found


def shapes(text: str) -> dict[str, list[int]]:
    """Read ``name:1x3``."""
    found = {}
    for name, value in pairs(text).items():
        if not re.fullmatch(r"\d+(x\d+)*", value):
            end(f"Cannot parse shape {value} of {name}")
        found[name] = [int(number) for number in value.split("x")]
    return found


def device() -> None:
    """Name the GPU, or its lack."""
    if FAULT == "no_gpu":
        if MAJOR >= 10:
            print("[I] === Device Information ===\n[I] Cannot find any available devices (GPUs)!")
        else:
            print("Cuda failure: no CUDA-capable device is detected")
        sys.exit(1)
    print("[I] === Device Information ===\n[I] Selected Device: Stand-In GPU\n[I] Compute Capability: 8.6")


def dynamic_inputs(model: Any) -> dict[str, list[int | None]]:
    """Return lengths of the inputs that have a dynamic axis, None where it is."""
    found = {}
    for value in model.graph.input:
        dims = [d.dim_value if d.HasField("dim_value") else None for d in value.type.tensor_type.shape.dim]
        if None in dims:
            found[value.name] = dims
    return found


def check_profile(model: Any, given: dict[str, str]) -> None:
    """Refuse a profile that the builder would refuse."""
    least, usual, most = (shapes(given.get(f"--{which}Shapes", "")) for which in ("min", "opt", "max"))
    dynamic = dynamic_inputs(model)
    if dynamic and not most:
        end("Network has dynamic or shape inputs, but no optimization profile has been defined.")
    for name in most:
        if name not in {value.name for value in model.graph.input}:
            end(f'Cannot find input tensor with name "{name}" in the network inputs!')
    for name, dims in dynamic.items():
        if name not in least or name not in usual or name not in most:
            end(f"Dynamic input {name} has no shapes")
        for place, fixed in enumerate(dims):
            low, middle, high = least[name][place], usual[name][place], most[name][place]
            if not low <= middle <= high or len({len(least[name]), len(usual[name]), len(most[name]), len(dims)}) > 1:
                end(f"Invalid profile of {name}")
            if fixed is not None and {low, middle, high} != {fixed}:
                end(f"Static dimension mismatch of {name}")


def build(given: dict[str, str]) -> None:
    """Write a plan."""
    import onnx

    if FAULT == "parse":
        end("ModelImporter.cpp:1048: ERROR: no importer for something")
    if FAULT == "hang":
        print("[I] building", flush=True)
        Path(given["--saveEngine"]).write_bytes(MAGIC)  # half of it
        time.sleep(600)
    if FAULT == "crash":
        os.abort()
    model = onnx.load(given["--onnx"])
    check_profile(model, given)
    record = {
        "model": str(Path(given["--onnx"]).resolve()),
        "max": given.get("--maxShapes", ""),
        "min": given.get("--minShapes", ""),
    }
    Path(given["--saveEngine"]).write_bytes(b"" if FAULT == "empty" else MAGIC + json.dumps(record).encode())
    if "--timingCacheFile" in given:
        Path(given["--timingCacheFile"]).write_bytes(b"timings")
    print("[I] Engine built in 0.01 sec.")


def read_input(path: str, kind: str, shape: list[int]) -> Any:
    """Read a file as the binding's type: before 10 an int64 input is an int32 one; a longer file was read in part then."""
    import numpy as np

    stored = np.dtype("int32" if kind == "int64" and MAJOR < 10 else kind)
    data = Path(path).read_bytes()
    size = int(np.prod(shape)) * stored.itemsize
    if len(data) < size or (MAJOR >= 10 and len(data) not in (size, 2 * size)):
        end(f"Unexpected file size for input file: {path}. Note: Expected: {size} bytes but only read: {len(data)} bytes")
    return np.frombuffer(data[:size], stored).reshape(shape).astype(kind)


def infer(given: dict[str, str]) -> None:
    """Answer one request through ONNX Runtime and write the outputs in trtexec's own way."""
    import numpy as np
    import onnxruntime

    plan = Path(given["--loadEngine"]).read_bytes()
    if not plan.startswith(MAGIC):
        end("Error deserializing engine")
    record = json.loads(plan[len(MAGIC) :])
    session = onnxruntime.InferenceSession(record["model"], providers=["CPUExecutionProvider"])
    asked, files = shapes(given.get("--shapes", "")), pairs(given.get("--loadInputs", ""))
    low, high = shapes(record["min"]), shapes(record["max"])
    feed = {}
    for value in session.get_inputs():
        shape = asked.get(value.name, value.shape)
        if not all(isinstance(n, int) for n in shape):
            end(f"input {value.name} has no shape")
        if value.name in high and not all(
            a <= n <= b for a, n, b in zip(low[value.name], shape, high[value.name], strict=True)
        ):
            end(f"Static dimension mismatch while setting input shape: {value.name}")
        kind = {"tensor(float)": "float32", "tensor(int64)": "int64", "tensor(bool)": "bool", "tensor(float16)": "float16"}[
            value.type
        ]
        feed[value.name] = read_input(files[value.name], kind, shape)
    if MAJOR >= 11 and "--includeDataTransfers" not in given:
        feed = {name: np.zeros_like(array) for name, array in feed.items()}  # what is not transferred is not seen
    answers = dict(zip([value.name for value in session.get_outputs()], session.run(None, feed), strict=True))
    if FAULT == "wrong":
        answers = {name: array + 1 for name, array in answers.items()}
    if FAULT == "shape":
        answers = {name: array[..., None].repeat(2, -1) for name, array in answers.items()}
    if "--exportOutput" in given:
        write_json(Path(given["--exportOutput"]), answers)


def printed(value: Any) -> str:
    """Print a number as a C++ stream does by default."""
    return str(int(value)) if getattr(value, "dtype", None) is not None and value.dtype.kind in "iub" else f"{float(value):g}"


def write_json(path: Path, answers: dict[str, Any]) -> None:
    """Write the form of exportJSONOutput in sampleReporting.cpp, line breaks and all."""
    text, sep = "[\n", "  "
    for name, array in answers.items():
        dimensions = "x".join(map(str, array.shape))
        values = ", ".join(map(printed, array.ravel()))
        text += f'{sep}{{ "name" : "{name}"\n'
        sep = ", "
        text += f'  {sep}"dimensions" : "{dimensions}"\n  {sep}"values" : [ {values} ]\n  }}\n'
    path.write_text(text + "]\n", encoding="utf-8")


def main() -> None:
    """Run as trtexec would."""
    banner("RUNNING")
    given = arguments()
    if "--help" in given or not given:
        help_text()
        return
    print(f"[I] TensorRT version: {TABLE['tensorrt']}")
    device()
    if "--onnx" in given:
        build(given)
    if "--loadEngine" in given:
        infer(given)
    banner("PASSED")


if __name__ == "__main__":
    main()
