"""Tries whether TensorRT-RTX on this CPU parses and builds a file: a proxy for TensorRT, never TensorRT itself.

The build runs in a child process, because a network that is collected before its parser takes the process along.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from portinf.core.child import python_command
from portinf.core.errors import CannotError, MissingPackageError
from portinf.core.optional import available, require
from portinf.targets.tensorrt.profiles import Profile

__all__ = ["BLIND", "EXTRA", "ProxyReport", "ask_proxy", "main"]

EXTRA = "trt-check"
MODULE = "tensorrt_rtx"
SECONDS = 1800.0  # of one build
LABEL = "TensorRT-RTX on this CPU, a proxy"
# what TensorRT builds from its plugin library, which the proxy does not ship: a failure there says nothing
BLIND = ("NonZero", "ScatterElements with a reduction")
_LACKING = {"NonZero", "ScatterElements"}  # their names in the graph


@dataclass(frozen=True, kw_only=True)
class ProxyReport:
    """What the proxy said.

    Attributes:
        verdict: ``builds``, ``refuses``, or ``cannot say`` where the graph holds what the proxy lacks.
        version: of TensorRT-RTX.
        reason: its message; empty where it builds.
        seconds: wall time of parsing and building.
        size: bytes of the engine, which runs on no TensorRT; 0 where there is none.
    """

    verdict: Literal["builds", "refuses", "cannot say"]
    version: str
    reason: str = ""
    seconds: float = 0.0
    size: int = 0

    def text(self) -> str:
        """Return one line."""
        head = f"{LABEL} ({self.version})"
        if self.verdict == "builds":
            return f"{head}: parses and builds it in {self.seconds:.1f} s; nothing was run"
        return f"{head}: {self.verdict}: {self.reason}"

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {**asdict(self), "proxy": True}


def ask_proxy(
    model: Path, profile: Profile, blind: bool, *, python: str = sys.executable, seconds: float = SECONDS
) -> ProxyReport:
    """Parse and build a file ahead of time.

    Args:
        model: the ONNX file; its types are its precision.
        profile: shapes of the dynamic inputs.
        blind: the graph holds one of `BLIND`, so that a failure says nothing.
        python: interpreter of the child.
        seconds: after which the child is ended.

    Raises:
        MissingPackageError: the extra is not installed.
        CannotError: the child died or took too long; that says nothing of the model.
    """
    if python == sys.executable and not available(MODULE):
        raise MissingPackageError(
            f"--check-with rtx: the package 'tensorrt-rtx-cu12' is not installed; pip install 'portinf[{EXTRA}]'"
        )
    shapes = {which: profile.shapes(which) for which in ("min", "opt", "max")}
    try:
        done = subprocess.run(
            python_command("from portinf.targets.tensorrt.rtx_check import main; main()", python),
            input=json.dumps({"model": str(model), "shapes": shapes}),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CannotError(f"{LABEL}: no answer within {seconds:g} s; remove --check-with rtx") from error
    line = next((line for line in reversed(done.stdout.splitlines()) if line.startswith("{")), "")
    if not line:
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise CannotError(
            f"{LABEL}: its process died ({how}: {last[:200]}), which says nothing about the model; remove --check-with rtx"
        )
    return _report(json.loads(line), blind)


def _report(answer: Mapping[str, Any], blind: bool) -> ProxyReport:
    if "missing" in answer:
        raise MissingPackageError(f"--check-with rtx: {answer['missing']}; pip install 'portinf[{EXTRA}]'")
    if not answer["reason"]:
        return ProxyReport(verdict="builds", version=answer["version"], seconds=answer["seconds"], size=answer["size"])
    failing = set(answer["operators"])
    lacking = blind and bool(failing) and failing <= _LACKING
    return ProxyReport(
        verdict="cannot say" if lacking else "refuses",
        version=answer["version"],
        reason=answer["reason"],
        seconds=answer["seconds"],
    )


def main() -> None:
    """Answer one request from stdin with one line of JSON: the child's side."""
    asked = json.loads(sys.stdin.read())
    try:
        answer = _built(asked["model"], asked["shapes"])
    except MissingPackageError as error:
        answer = {"missing": str(error)}
    print(json.dumps(answer), flush=True)


def _built(model: str, shapes: Mapping[str, Mapping[str, list[int]]]) -> dict[str, Any]:
    trt = require(MODULE, EXTRA)
    said: list[str] = []

    base: Any = trt.ILogger

    class Logger(base):  # type: ignore[misc]
        def __init__(self) -> None:
            base.__init__(self)

        def log(self, severity: Any, text: str) -> None:
            if severity <= base.ERROR:
                said.append(text)

    started = time.monotonic()
    logger = Logger()
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    size, operators = 0, []
    if parser.parse_from_file(model):
        plan = builder.build_serialized_network(network, _config(builder, shapes))
        size = 0 if plan is None else int(plan.nbytes)
        reason = "" if size else "building: " + ("; ".join(said) or "no message")
    else:
        problems = [parser.get_error(number) for number in range(parser.num_errors)]
        operators = [one.node_operator() or one.func().removeprefix("import") for one in problems]
        messages = [f"parsing {name} '{one.node_name()}': {one.desc()}" for name, one in zip(operators, problems, strict=True)]
        reason = "; ".join(messages or said) or "not parsed"
        del problems
    seconds = time.monotonic() - started
    del parser, network  # in this order: see the head of this file
    return {"version": trt.__version__, "reason": reason[:600], "operators": operators, "size": size, "seconds": seconds}


def _config(builder: Any, shapes: Mapping[str, Mapping[str, list[int]]]) -> Any:
    config = builder.create_builder_config()
    if shapes["min"]:
        profile = builder.create_optimization_profile()
        for name in shapes["min"]:
            profile.set_shape(name, *(tuple(shapes[which][name]) for which in ("min", "opt", "max")))
        config.add_optimization_profile(profile)
    return config
