"""Calls a step again and again in a thread of its own until the block that started it is left."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from portinf.core.errors import PortinfError

__all__ = ["repeating"]


@contextmanager
def repeating(name: str, step: Callable[[], None], seconds: float, report: Callable[[str], None]) -> Iterator[None]:
    """Call ``step`` every ``seconds``; when it fails twice in a row that is reported, once, and the next call is made anyway."""
    over = threading.Event()

    def loop() -> None:
        failures = 0
        while not over.wait(seconds):
            try:
                step()
                failures = 0
            except (PortinfError, OSError) as error:
                # A single failure also happens when the server ends; the code that waits for the server reports that.
                failures += 1
                if failures == 2 and not over.is_set():
                    report(f"{name}: {error}")

    thread = threading.Thread(target=loop, name=f"portinf {name}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
