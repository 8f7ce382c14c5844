"""Serves a model repository with a real Triton on this machine, for the time of a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from portinf.core.progress import Progress, quiet
from portinf.serving.server.launcher import ServeOptions, Server, serve
from portinf.triton.manifest import verify

__all__ = ["serve_local"]


@contextmanager
def serve_local(repository: str | Path, options: ServeOptions | None = None, progress: Progress = quiet) -> Iterator[Server]:
    """Serve a repository unchanged on the loopback address; leaving the block ends the server.

    Args:
        repository: the model repository; it is only read.
        options: ports, engine and the rest. A Python model runs only if its package is unchanged, or where ``options.code`` allows any.
        progress: called with one line at a time, also from other threads.

    Raises:
        UnreadableError: the folder does not exist.
        ServingError: a port is in use, the repository is empty, a model cannot be loaded, the server does not start.
    """
    options = options or ServeOptions()
    options = replace(options, code=replace(options.code, verify=options.code.verify or verify))
    with serve(Path(repository), options, progress) as server:
        yield server
