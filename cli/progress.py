"""One line of progress on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import click

__all__ = ["progress_line", "tell"]


def tell(notes: Iterable[str], *, as_json: bool) -> None:
    """Print notes on stderr; a warning comes first, and on stdout, where the result is, unless that is JSON."""
    every = list(notes)
    for note in sorted(every, key=lambda note: not note.startswith("warning: ")):
        warning = note.startswith("warning: ")
        click.echo(note if warning else f"note: {note}", err=as_json or not warning)


@contextmanager
def progress_line() -> Iterator[Callable[[str], None]]:
    """Yield a function that shows a step: a spinner on a terminal, a plain line elsewhere, always on stderr."""
    if not sys.stderr.isatty():
        last = ""

        def plain(text: str) -> None:
            nonlocal last
            head = text.rstrip("0123456789/ ")
            if head != last:
                print(f"portinf: {text}", file=sys.stderr, flush=True)
            last = head

        yield plain
        return
    from rich.console import Console

    console = Console(stderr=True)
    with console.status("starting") as status:
        yield lambda text: status.update(text.replace("[", "\\["))
