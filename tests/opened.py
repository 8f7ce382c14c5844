"""Opens what a text names, as the commands do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from portinf.locate.resolve import resolve
from portinf.locate.sides import open_side
from portinf.runners import Runner

__all__ = ["opened"]


@contextmanager
def opened(text: object) -> Iterator[Runner]:
    """Yield the runner of a path, also as ``DIR@WAY``, or of the address of a live model."""
    with ExitStack() as stack:
        runner = open_side(resolve(str(text)), stack).runner
        assert runner is not None
        yield runner
