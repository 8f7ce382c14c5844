"""Loads what appears in a repository while it is served: new versions, new models, changed configurations."""

from __future__ import annotations

import stat
import threading
from collections.abc import Callable
from pathlib import Path

from portinf.core.errors import PermissionNeededError, ServingError, printable
from portinf.serving.client.control import Control
from portinf.serving.repository import ModelFolder, Problem, read_model
from portinf.serving.server.messages import clean

__all__ = ["State", "Watcher", "snapshot"]

_LOAD_SECONDS = 600.0

# What is looked at of one model: the configuration and the files of each version, as (name, size, time, inode); of folders
# the name and inode alone. What Python compiles while it loads a model (__pycache__) is no change of the model.
State = tuple[tuple[str, int, int, int], ...]


def snapshot(folder: Path) -> dict[str, State]:
    """Return the state of every model folder in a repository by name; hidden and temporary folders are left out."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith("."):
            found[path.name] = _state(path)
    return found


class Watcher:
    """Compares the repository with what was ``seen`` when it was first read, and loads the difference.

    ``step`` is called again and again. ``prepare`` is called before a model is loaded, ``forget`` with the name of one that was
    unloaded, ``lock`` is held meanwhile.
    """

    def __init__(
        self,
        folder: Path,
        seen: dict[str, State],
        control: Control,
        report: Callable[[str], None],
        lock: threading.Lock,
        prepare: Callable[[ModelFolder], None],
        forget: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._control = control
        self._report = report
        self._lock = lock
        self._prepare = prepare
        self._forget = forget
        self._loaded = dict(seen)
        self._previous = seen

    def step(self) -> None:
        """Look once; a change is acted upon when it is the same in two looks, so that a slow copy is not read half done."""
        now = snapshot(self._folder)
        for name in sorted(now.keys() | self._loaded.keys()):
            state = now.get(name)
            if state != self._loaded.get(name) and state == self._previous.get(name):
                if state is None:
                    del self._loaded[name]
                    self._unload(name)
                else:
                    self._loaded[name] = state
                    self._load(name)
        self._previous = now

    def _load(self, name: str) -> None:
        model = read_model(self._folder / name)
        if isinstance(model, Problem):
            self._report(f"model {printable(name)}: not loaded: {model.reason}")
            return
        try:
            with self._lock:
                self._prepare(model)
                self._control.load(name, timeout=_LOAD_SECONDS)
                versions = self._control.ready_versions(name)
        except PermissionNeededError as error:
            self._report(
                f"model {printable(name)}: not loaded; the loaded version stays in use: {error}; --allow-code allows it"
            )
            return
        except ServingError as error:
            self._report(
                f"model {printable(name)}: the change was not loaded; the loaded version stays in use: {clean(str(error))}"
            )
            return
        self._report(f"model {printable(name)}: now serving version {', '.join(str(version) for version in versions)}")

    def _unload(self, name: str) -> None:
        try:
            with self._lock:
                self._control.unload(name)
                self._forget(name)
        except ServingError as error:
            self._report(f"model {printable(name)}: its folder is gone, but it could not be unloaded: {error}")
            return
        self._report(f"model {printable(name)}: its folder is gone, it was unloaded")


def _state(path: Path) -> State:
    entries = [path / "config.pbtxt"]
    try:
        for version in sorted(path.iterdir()):
            if version.is_dir() and version.name.isdigit():
                entries += [
                    version,
                    *(entry for entry in sorted(version.rglob("*")) if "__pycache__" not in entry.relative_to(version).parts),
                ]
    except OSError:
        return ()
    found = []
    for entry in entries:
        try:
            status = entry.stat()
        except OSError:
            continue
        size, time = (0, 0) if stat.S_ISDIR(status.st_mode) else (status.st_size, status.st_mtime_ns)
        found.append((str(entry.relative_to(path)), size, time, status.st_ino))
    return tuple(found)
