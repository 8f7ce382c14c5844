"""Makes the folder that a server is given in place of the user's: links below names of ours, and configurations as they were judged.

Every server outside a container gets one; the user's folder is only read. Triton's Python backend hands paths to a shell, and its stubs
read ASCII paths alone, so a model whose name is not plain lies in a folder with a number, to which its name links.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from portinf.core.errors import PermissionNeededError, ServingError, printable
from portinf.serving.repository import ModelFolder, served_versions
from portinf.serving.server.model_code import PROGRAM, CodeRule, own_code, program_names, why_not
from portinf.serving.server.shell_texts import for_a_shell
from portinf.triton.config import message_text, read_message
from portinf.triton.manifest import CONFIG

__all__ = ["FILES", "Given", "Mirror", "Original"]

FILES = "files"  # in the folder of a version of an ONNX model: the user's own; Triton looks for programs beside it
_BACKENDS = ("onnxruntime", "python", "ensemble")  # of portinf's own server; an ensemble is run by its core
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_VERSION = re.compile(r"[0-9]+")
# ``ModelInstanceGroup.Kind`` in Triton's model_config.proto.
_GPU = 1
_CPU = 2


class Mirror:
    """The folder of one server: ``repository``, with a folder or a link for each model.

    A model that is data shows its files alone, nothing that Triton would run; code that may run without permission is copied,
    so that what was verified is what runs; with permission a model's folder is as the user's.

    Args:
        scratch: of the server.
        own: the server is portinf's own: its ONNX backend finds the files in `FILES`, no shell starts its stubs, it uses no GPU.
        rule: which code may run.
        report: called with what is done differently from the configuration.
    """

    def __init__(self, scratch: Path, *, own: bool, rule: CodeRule, report: Callable[[str], None]) -> None:
        self.repository = scratch / "repository"
        self._numbered = scratch / "models"
        self._own = own
        self._rule = rule
        self._report = report
        self._sources: dict[str, Path] = {}
        self._numbers = count()
        self._on_cpu: set[str] = set()
        for folder in (self.repository, self._numbered):
            folder.mkdir()

    def add(self, model: ModelFolder) -> None:
        """Show one model to the server, or bring what it sees of it up to date.

        Raises:
            PermissionNeededError: it brings code that may not run; what the server saw before stays.
            ServingError: this server cannot run it, or it changed meanwhile.
        """
        code = _permitted(model, self._rule)
        unfit = _foreign(model) if self._own else for_a_shell(model)
        if unfit:
            raise ServingError(unfit)
        if PROGRAM in code and not _PLAIN.fullmatch(model.name):
            raise ServingError(
                f"its {PROGRAM} is started by a shell, by its path: give the model a name of ASCII letters and digits"
            )
        place = self._place(model.name)
        self._sources[model.name] = model.path
        source = model.path.absolute()
        others = [entry for entry in source.iterdir() if not _VERSION.fullmatch(entry.name)]
        links = {entry.name: entry for entry in others if entry.name != CONFIG and not entry.name.startswith(".")}
        versions = {str(version): source / str(version) for version in model.versions}
        if (code and self._rule.allow) or (not code and not self._own):
            _tidy(place, keep={**links, **versions})
            _link(place, {**links, **versions})
        elif code:
            copied = self._copied(place, model)
            _tidy(place, keep={name: None for name in versions})
            for version, folder in copied.items():
                _replace(place / version, folder)
        else:
            for name in program_names(model):  # one that came this very moment
                links.pop(name, None)
            _tidy(place, keep={**links, **dict.fromkeys(versions)})
            _link(place, links)
            for version, folder in versions.items():
                (place / version).mkdir(exist_ok=True)
                if model.backend != "ensemble":
                    _tidy(place / version, keep={FILES: folder})
                    _link(place / version, {FILES: folder})
        self._write_config(place, model)

    def remove(self, name: str) -> None:
        """Take a model away."""
        place = self.repository / name
        if place.is_symlink():
            shutil.rmtree(place.readlink(), ignore_errors=True)
            place.unlink()
        else:
            shutil.rmtree(place, ignore_errors=True)
        self._sources.pop(name, None)

    def in_users_words(self, text: str) -> str:
        """Return a message of the server with the user's paths in place of those in here."""
        for name, source in self._sources.items():
            for place in {self.repository / name, self._folder(name)}:
                path = rf"{re.escape(str(place))}(?!\w)(/\d+)?(/{FILES}(?!\w))?"
                text = re.sub(path, str(source).replace("\\", r"\\") + r"\1", text)
        return text

    def _folder(self, name: str) -> Path:
        place = self.repository / name
        return place.readlink() if place.is_symlink() else place

    def _place(self, name: str) -> Path:
        place = self.repository / name
        if _PLAIN.fullmatch(name):
            place.mkdir(exist_ok=True)
        elif not place.is_symlink():
            folder = self._numbered / f"m{next(self._numbers)}"
            folder.mkdir()
            place.symlink_to(folder, target_is_directory=True)
        return self._folder(name)

    def _copied(self, place: Path, model: ModelFolder) -> dict[str, Path]:
        """Copy the served versions beside the models and verify the copies."""
        stage = self._numbered.with_name("copies") / place.name
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir(parents=True)
        try:
            shutil.copyfile(model.path / CONFIG, stage / CONFIG)
            for version in served_versions(model):
                # Compiled code is in no manifest: it stays behind.
                shutil.copytree(model.path / str(version), stage / str(version), ignore=shutil.ignore_patterns("__pycache__"))
            copy = ModelFolder(
                name=model.name,
                path=stage,
                versions=model.versions,
                backend=model.backend,
                complete=model.complete,
                config=read_message(stage / CONFIG),
            )
        except OSError as error:
            raise ServingError(f"it cannot be read: {error}") from error
        if copy.config != model.config or why_not(copy, own_code(copy), self._rule):
            raise ServingError("it changed while it was read; try again")
        return {str(version): stage / str(version) for version in served_versions(model)}

    def _write_config(self, place: Path, model: ModelFolder) -> None:
        text = message_text(self._config(model))
        path = place / CONFIG
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            temporary = self._numbered.with_name("new.pbtxt")
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)

    def _config(self, model: ModelFolder) -> Any:
        from tritonclient.grpc import model_config_pb2

        config = model_config_pb2.ModelConfig()
        if model.config is not None:
            config.CopyFrom(model.config)
        if not config.platform and not config.backend:
            config.backend = model.backend  # the server would look for the file that this folder does not show
        if not self._own:
            return config
        gpu = [group for group in config.instance_group if group.kind == _GPU]
        for group in gpu:
            group.kind = _CPU
            del group.gpus[:]
        if gpu and model.name not in self._on_cpu:
            self._on_cpu.add(model.name)
            self._report(f"no GPU is used here: {printable(model.name)} will run on the CPU (your files stay as they are)")
        if model.backend == "onnxruntime":
            # Of the C++ backend and of the Python backend: this one is neither, to its users.
            config.runtime = ""
            config.parameters.pop("EXECUTION_ENV_PATH", None)
        return config


class Original:
    """The user's folder itself, for a server in a container, which sees it under another path and read-only.

    Args:
        folder: of the user.
        rule: which code may run.
    """

    def __init__(self, folder: Path, rule: CodeRule) -> None:
        self.repository = folder.absolute()
        self._rule = rule

    def add(self, model: ModelFolder) -> None:
        """Look at one model; see `Mirror.add` for what is raised."""
        code = _permitted(model, self._rule)
        unfit = for_a_shell(model)
        if unfit:
            raise ServingError(unfit)
        compiled = [path for path in model.path.rglob("__pycache__") if code and not self._rule.allow]
        if compiled:
            raise ServingError(f"{compiled[0]} holds compiled code that is not in the manifest: remove it")

    def remove(self, name: str) -> None:
        """Do nothing: it is gone."""

    def in_users_words(self, text: str) -> str:
        """Return a message of the server as it is."""
        return text


Given = Mirror | Original


def _permitted(model: ModelFolder, rule: CodeRule) -> tuple[str, ...]:
    """Return what a model brings of its own code, all of which may run; see `Mirror.add` for what is raised."""
    code = own_code(model)
    reason = why_not(model, code, rule) if code and not rule.allow else ""
    if reason:
        raise PermissionNeededError(reason)
    return code


def _foreign(model: ModelFolder) -> str:
    if model.backend in _BACKENDS:
        return ""
    return (
        f"its backend '{printable(model.backend)}' is not part of this local server, which has {', '.join(_BACKENDS)}; "
        "serve it from a stock container: --engine docker --image IMAGE"
    )


def _tidy(place: Path, keep: dict[str, Path | None]) -> None:
    """Remove all but what is to be kept: links with the right target, and for None, real folders."""
    for entry in place.iterdir():
        linked = entry.is_symlink()
        requested = keep.get(entry.name)
        right = entry.readlink() == requested if linked else requested is None
        if entry.name == CONFIG or (entry.name in keep and right):
            continue
        if linked:
            entry.unlink()
        else:
            shutil.rmtree(entry)


def _link(place: Path, targets: dict[str, Path]) -> None:
    for name, target in targets.items():
        if not (place / name).is_symlink():
            (place / name).symlink_to(target)


def _replace(place: Path, folder: Path) -> None:
    """Put a new copy in place of an old one; Triton goes by the files' times, which are those of the originals."""
    old = folder.with_name(f"{folder.name}.old")
    if place.is_dir():
        place.rename(old)
    folder.rename(place)
    shutil.rmtree(old, ignore_errors=True)
