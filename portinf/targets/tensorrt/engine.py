"""What became of the engine of a folder that ``portinf optimize --target tensorrt`` wrote, and the kit run here."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from portinf.core.errors import CannotError, DisagreementError, MissingPackageError, PortinfError
from portinf.core.files import sha256
from portinf.core.progress import Progress
from portinf.targets.tensorrt.kit_folder import ENGINE, KIT, PLAN

__all__ = ["MANIFEST", "build_here", "engine_of", "engine_text", "is_site"]

MANIFEST = "tensorrt.json"
NOT_BUILT = f"not built: run {KIT[0]} in the container that will serve it, on its GPU"
# exit codes of build_engine.sh -> errors of portinf
_ERRORS: dict[int, type[PortinfError]] = {3: MissingPackageError, 5: DisagreementError}


def is_site(folder: Path) -> bool:
    """Say whether a folder is one that ``optimize --target tensorrt`` wrote."""
    return (folder / MANIFEST).is_file() and (folder / KIT[0]).is_file()


def engine_of(version: Path) -> str | None:
    """Say what became of the engine of one version's folder; None where it is not about an engine."""
    plan = version / PLAN
    try:
        record = json.loads((version / ENGINE).read_text(encoding="utf-8"))
        if record["state"] != "built" or not plan.is_file():
            return NOT_BUILT
        if record["plan_sha256"] != sha256(plan):
            return f"{PLAN} is not the one that {ENGINE} describes: build it again"
        answers = len(record["checked"])
        return (
            f"built with TensorRT {record['tensorrt']} on {record['gpu']} (compute capability {record['compute_capability']}, "
            f"driver {record['driver']}), {answers} recorded answers agree"
        )
    except FileNotFoundError:
        return f"{PLAN} without {ENGINE}: not built by portinf's kit" if plan.is_file() else None
    except (OSError, ValueError, KeyError, TypeError):
        return f"{ENGINE} is damaged: build the engine again"


def engine_text(folder: Path) -> str:
    """Say what became of the engine of a whole folder."""
    versions = [path.parent for path in sorted(folder.glob(f"repository/*/1/{ENGINE}"))]
    return (engine_of(versions[0]) if versions else None) or NOT_BUILT


def build_here(folder: Path, progress: Progress) -> None:
    """Run the folder's own kit with the trtexec and the GPU of this machine.

    Raises:
        MissingPackageError: trtexec or python3 is missing.
        DisagreementError: the engine's answers differ from the recorded ones; there is no plan.
        CannotError: no GPU, another version of TensorRT, or the build failed; the message says which.
    """
    bash = shutil.which("bash")
    if bash is None:
        raise MissingPackageError("--build: the kit needs bash, and there is none on PATH")
    progress("building the engine; this may take long")
    done = subprocess.run([bash, str(folder / KIT[0])], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    lines = [line.removeprefix("build_engine: error: ") for line in done.stderr.splitlines() if "error:" in line]
    why = "; ".join(lines) or f"it exited with code {done.returncode}"
    raise _ERRORS.get(done.returncode, CannotError)(f"{folder / KIT[0]}: {why}; the folder is there, its engine is not built")
