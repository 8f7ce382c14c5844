"""Keeps freed memory for the next arrays: for work that makes arrays of the same sizes again and again."""

from __future__ import annotations

import ctypes

__all__ = ["keep_freed_memory"]

# Numbers of glibc's malloc.h; elsewhere nothing is done.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
KEPT, LARGEST = 256 << 20, 64 << 20


def keep_freed_memory() -> None:
    """Let glibc keep blocks of up to 64 MB.

    By itself it asks the system for each block above 128 kB, and gives it back: the pages of every array are faulted in anew, a tenth of
    the time of a comparison of millions of rows.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    mallopt(MMAP_THRESHOLD, LARGEST)
    mallopt(TRIM_THRESHOLD, KEPT)
