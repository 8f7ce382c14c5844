"""Measures the start-up of the command line: CPU seconds of each help text beside ``python -c "import click"``.

Run: ``make bench``. Each round runs every command once; medians and ratios are over the rounds.
"""

from __future__ import annotations

import platform
import resource
import statistics
import subprocess
import sys
import time

ROUNDS = 15
COMMANDS = ["convert", "optimize", "validate", "package", "serve-local", "inspect", "sample", "doctor"]


def cpu_seconds(arguments: list[str]) -> float:
    """Return user and system CPU seconds of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print one row per command."""
    rows = {
        "python -c 'import click'": ["-c", "import click"],
        "portinf --help": ["-m", "portinf", "--help"],
        **{f"portinf {name} --help": ["-m", "portinf", name, "--help"] for name in COMMANDS},
    }
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(ROUNDS):
        for name, arguments in rows.items():
            seconds[name].append(cpu_seconds(arguments))
    base = statistics.median(seconds["python -c 'import click'"])
    print(f"{time.strftime('%Y-%m-%d')}, Python {platform.python_version()}, {ROUNDS} rounds, CPU seconds")
    print(f"{'command':32} {'median':>8} {'max':>8} {'ratio':>7}")
    for name, values in seconds.items():
        print(f"{name:32} {statistics.median(values):8.3f} {max(values):8.3f} {statistics.median(values) / base:7.2f}")


if __name__ == "__main__":
    main()
