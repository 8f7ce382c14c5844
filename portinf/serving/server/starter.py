"""Starts the process of a model instance in place of a shell: Triton's Python backend calls it as ``bash -c COMMAND``.

The backend writes that command without quotes, from paths, the model's name and texts of its configuration, so a shell would split
them, expand them and run what is in them. This program is called ``bash`` in a folder that is the server's whole PATH. It takes the
command by its known form and runs the stub with these arguments; no part of it is ever interpreted.

It is run by a bare interpreter (standard library only). ``starter.json`` beside it says ``repository``, ``backends``, ``prefix`` (of
shared-memory regions), ``path`` (for the stub) and ``bash`` (the real one).
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

__all__ = ["NOT_STARTED", "arguments", "main"]

NOT_STARTED = "E cannot start the process of a model instance"  # in the server's log

# The one thing that needs a shell: the script of a Python environment of the user's own. It gets its path as a parameter.
_ACTIVATE = 'source "$1/bin/activate" && export LD_LIBRARY_PATH="$1/lib:$LD_LIBRARY_PATH" && shift && exec "$@"'


def arguments(command: str, settings: dict[str, str]) -> list[str]:
    """Split a command of the Python backend (stub_launcher.cc, ``Launch``) into a program and its arguments.

    The path of the model's file becomes one below the folder that its name links to; the name itself is added as a last word.

    Raises:
        ValueError: the command has another form.
    """
    python = re.escape(f"{settings['backends']}/python")
    found = re.fullmatch(
        r"(?: exec |source (?P<env>.+)/bin/activate && exec env LD_LIBRARY_PATH=(?P=env)/lib:\$LD_LIBRARY_PATH )"
        rf"(?P<stub>\S+) {re.escape(settings['repository'])}/(?P<model>[^/]+)/(?P<version>\d+)/(?P<file>.+?) "
        rf"(?P<region>{re.escape(settings['prefix'])}\S*) (?P<numbers>\d+ \d+ \d+) (?P<python>{python}) (?P<handle>\d+) "
        rf"(?P<instance>.*) (?P<runtime>DEFAULT|{re.escape(settings['backends'])}/\w+)",
        command,
        re.DOTALL,
    )
    if found is None:
        raise ValueError(f"the command has another form: {command!r}")
    part = found.groupdict()
    folder = Path(settings["repository"], part["model"])
    folder = folder.readlink() if folder.is_symlink() else folder
    # A Python-based backend opens the model's file by itself; the stub needs the folder alone.
    file = part["file"] if part["runtime"] == "DEFAULT" else "model"
    model = f"{folder}/{part['version']}/{file}"
    words = [part["stub"], model, part["region"], *part["numbers"].split(), part["python"], part["handle"]]
    words += [part["instance"], part["runtime"], part["model"]]
    return words if part["env"] is None else [settings["bash"], "-c", _ACTIVATE, "bash", part["env"], *words]


def main() -> None:
    """Become the stub that the command line describes; does not return."""
    settings = json.loads(Path(__file__).with_name("starter.json").read_text(encoding="utf-8"))
    try:
        words = arguments(sys.argv[2], settings)
        os.execve(words[0], words, {**os.environ, "PATH": settings["path"]})
    except (OSError, ValueError, IndexError) as error:
        sys.exit(f"{NOT_STARTED}: {error}")


if __name__ == "__main__":
    main()
