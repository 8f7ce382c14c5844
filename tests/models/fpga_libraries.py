"""Small compiled libraries in place of hls4ml's: they multiply each number of a row by a weight and add them up."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

from portinf.targets.fpga.folder import read_record, write_record

__all__ = ["LIBRARY", "put_library"]

LIBRARY = "project/firmware/portinf_model.so"
SOURCE = r"""
#include <cstdio>
#include <cstdlib>
static double weight() {
    static double found = -1;
    if (found < 0) {
        %s
    }
    return found;
}
extern "C" void portinf_model_double(double *in, double *out) {
    double sum = 0;
    for (int k = 0; k < %d; k++) sum += in[k];
    if (sum > 1e6) { fprintf(stderr, "out of range\n"); exit(7); }
    for (int k = 0; k < %d; k++) out[k] = sum * weight() * (k + 1);
    printf("noise on standard output\n");
}
"""
READ = r"""
        FILE *file = fopen("%s", "r");
        if (!file || fscanf(file, "%%lf", &found) != 1) { fprintf(stderr, "no weights\n"); exit(1); }
"""


def put_library(folder: Path, *, weights: str | None, given: int, made: int) -> None:
    """Compile a library into the folder of a network, and let it answer in place of the emulator.

    Args:
        folder: of the network.
        weights: the file that it reads, seen from where it runs; None for a number in the code.
        given, made: numbers in a row of the input and the output.
    """
    path = folder / LIBRARY
    (path.parent / "weights").mkdir(parents=True, exist_ok=True)
    (path.parent / "weights" / "w.txt").write_text("0.5")
    code = path.with_suffix(".cc")
    code.write_text(SOURCE % ("found = 0.5;" if weights is None else READ % weights, given, made))
    subprocess.run(["g++", "-shared", "-fPIC", "-o", str(path), str(code)], check=True, timeout=120)
    write_record(folder, replace(read_record(folder), emulated=False, library=LIBRARY))
