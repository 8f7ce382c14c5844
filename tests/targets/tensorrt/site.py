"""A machine that looks as if it had a GPU and TensorRT: stand-ins for trtexec and nvidia-smi in a folder for PATH."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

STAND_IN = Path(__file__).parent / "stand_ins" / "trtexec.py"
SMI = """#!/bin/sh
if [ -n "$STAND_IN_NO_SMI" ]; then
    echo 'NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver.'
    exit 9
fi
echo "${STAND_IN_GPU:-Stand-In GPU}, 550.54.15, 8.6"
"""


def machine(folder: Path) -> Path:
    """Write the two programs and return the folder to put on PATH."""
    folder.mkdir()
    programs = {
        "trtexec": f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(STAND_IN))} "$@"\n',
        "nvidia-smi": SMI,
    }
    for name, text in programs.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def environment(programs: Path | None, version: str, **more: str) -> dict[str, str]:
    """Return the environment of a run on that machine."""
    path = f"{programs}{os.pathsep}{os.environ['PATH']}" if programs else os.environ["PATH"]
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith("STAND_IN_") and key != "CUDA_VISIBLE_DEVICES"
    }
    return {**kept, "PATH": path, "STAND_IN_VERSION": version, **more}


def run_kit(folder: Path, env: Mapping[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    """Run the script of a written folder, from elsewhere."""
    command = ["bash", str(folder / "build_engine.sh"), *options]
    return subprocess.run(command, env=dict(env), cwd="/", capture_output=True, text=True, timeout=120, check=False)
