"""CPU time and memory of a process with all processes that it starts, as Linux counts them (``/proc``)."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Usage", "family", "family_cpu", "family_resident", "measured"]

INTERVAL = 0.1  # seconds between two looks at the memory
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What one process and all that it started used.

    Attributes:
        cpu: user and system CPU seconds.
        peak: largest sum of resident bytes over the processes, or of the largest of them alone where no look caught it.
        output: what it wrote to stdout.
    """

    cpu: float
    peak: int
    output: str


def _fields(pid: int) -> list[str]:
    """Return the fields of ``/proc/PID/stat`` after the name, the state first; none where the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def family(pid: int) -> dict[int, list[str]]:
    """Return the fields of a process and of its descendants by process id."""
    every = {int(path.name): _fields(int(path.name)) for path in Path("/proc").iterdir() if path.name.isdigit()}
    found: dict[int, list[str]] = {}
    waiting = [pid]
    while waiting:
        parent = waiting.pop()
        if every.get(parent):
            found[parent] = every[parent]
            waiting += [child for child, fields in every.items() if fields and int(fields[1]) == parent]
    return found


def family_cpu(pid: int) -> float:
    """Return user and system CPU seconds of a process, of its descendants and of those that they waited for."""
    return sum(int(ticks) for fields in family(pid).values() for ticks in fields[11:15]) / TICKS


def family_resident(pid: int) -> int:
    """Return the sum of the resident bytes of a process and its descendants; what they share counts for each."""
    return sum(int(fields[21]) * PAGE for fields in family(pid).values())


def measured(arguments: Sequence[str]) -> Usage:
    """Run a command to its end and return what it used.

    Raises:
        RuntimeError: it failed; the message ends with the end of what it wrote to stderr.
    """
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(arguments, stdout=output, stderr=errors)
        ended, looks = threading.Event(), [0]

        def look() -> None:
            while not ended.wait(INTERVAL):
                looks.append(family_resident(process.pid))

        thread = threading.Thread(target=look)
        thread.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        finally:
            ended.set()
            thread.join()
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            raise RuntimeError(f"{' '.join(arguments)}: exit code {process.returncode}: {errors.read()[-2000:]}")
        return Usage(cpu=usage.ru_utime + usage.ru_stime, peak=max(*looks, usage.ru_maxrss * 1024), output=output.read())
