"""A text of the command line -> what it names: a source, an ONNX file, a package, a target's folder, a live model, goldens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from portinf.core.errors import CannotError, UnreadableError, UsageError
from portinf.sources.detect import detect
from portinf.targets import Target, targets
from portinf.triton.manifest import CONFIG, MODEL, version_folders

__all__ = ["Kind", "ModelRef", "resolve", "take"]

Kind = Literal["source", "onnx", "version", "target", "endpoint", "goldens"]
Verb = Literal["convert", "optimize", "validate", "package", "inspect", "sample"]

WORDS: dict[Kind, str] = {
    "source": "a source",
    "onnx": "an ONNX file",
    "version": "a packaged model",
    "target": "a folder of portinf optimize",
    "endpoint": "a live model",
    "goldens": "recorded answers",
}
TAKES: dict[Verb, tuple[Kind, ...]] = {
    "convert": ("source", "onnx"),
    "optimize": ("onnx", "version"),
    "validate": ("source", "onnx", "version", "target", "endpoint", "goldens"),
    "package": ("source", "onnx", "target"),
    "inspect": ("onnx", "version", "target", "endpoint"),
    "sample": ("source", "onnx", "version", "target", "endpoint"),
}


@dataclass(frozen=True, kw_only=True)
class ModelRef:
    """What a text names.

    Attributes:
        text: as the user gave it.
        kind: what it is.
        path: the file, the folder of the version, or the target's folder; None for a live model.
        format: of a source, as `portinf.sources.detect` names it.
        target: that wrote the folder or that runs the version; None elsewhere.
        folder: of that target; in a version it is a part of it.
        way: backend of the folder; None for the default.
    """

    text: str
    kind: Kind
    path: Path | None = None
    format: str = ""
    target: Target | None = None
    folder: Path | None = None
    way: str | None = None

    @property
    def model(self) -> Path | None:
        """The ONNX file that it is, or that is in it; None for a source, a live model and goldens."""
        if self.target is not None and self.folder is not None:
            return self.target.model(self.folder)
        if self.kind == "version" and self.path is not None:
            return self.path / MODEL
        return self.path if self.kind == "onnx" else None

    def refusal(self, verb: Verb, target: Target | None = None) -> CannotError:
        """Return the error of a verb that does not take it; the words are the same for all verbs."""
        own = [known.name for known in targets() if verb in known.verbs]
        words = {**WORDS, "target": f"{WORDS['target']} --target {' or '.join(own)}"} if own else WORDS
        listed = [words[kind] for kind in _taken(verb, target)]
        what = WORDS[self.kind] + (f" ({self.format})" if self.kind == "source" else "")
        if self.target is not None:
            what += f"{' of' if self.kind == 'version' else ''} --target {self.target.name}"
        if self.kind == "source":
            advice = "convert it first"
        elif self.kind == "endpoint":
            advice = "give the file or the folder of that model"
        elif self.kind == "goldens":
            advice = "give the model that answered"
        elif self.kind == "version" and self.target is not None and verb in self.target.verbs:
            advice = f"give its folder: {self.folder}"
        elif self.model is not None and self.model.is_file():
            advice = f"give its model.onnx: {self.model}"
        else:
            advice = "give the model that it is made from"
        name = verb if target is None else f"{verb} --target {target.name}"
        return CannotError(f"{self.text}: {what}; portinf {name} takes {', '.join(listed[:-1])} or {listed[-1]}; {advice}")


def take(text: str, verb: Verb, target: Target | None = None) -> ModelRef:
    """Return what a text names, if a verb takes it.

    Args:
        text: see `resolve`.
        verb: of the command line.
        target: of ``optimize``.

    Raises:
        CannotError: the verb does not take this kind; the message says what to give.
        UnreadableError, UsageError: see `resolve`.
    """
    ref = resolve(text)
    taken = ref.kind in _taken(verb, target)
    if ref.kind == "target" and ref.target is not None and verb in ("validate", "package"):
        taken = verb in ref.target.verbs
    if ref.kind == "version" and verb == "optimize":
        taken = ref.target is None
    if not taken:
        raise ref.refusal(verb, target)
    if ref.way is not None and verb != "validate":
        raise UsageError(f"{text}: leave out @{ref.way}: only portinf validate lets you choose the backend of a folder")
    return ref


def _taken(verb: Verb, target: Target | None) -> tuple[Kind, ...]:
    return ("source", *TAKES[verb]) if target is not None and target.from_source else TAKES[verb]


def resolve(text: str) -> ModelRef:
    """Return what a text names.

    Args:
        text: a path, ``file.py:factory``, ``package.module:factory``, or the address of a live model; the folder of a target
            can be followed by its backend, as in ``DIR@rtl``. The folder of a packaged model means its newest version.

    Raises:
        UnreadableError: missing, damaged, of no known kind, or a packaged model without a complete newest version.
        CannotError: a known format that needs something else as well.
        UsageError: the folder has no backend of that name.
    """
    scheme, sign, _ = text.partition("://")
    if sign and scheme.removesuffix("+shm") in ("grpc", "http", "grpcs", "https"):
        return ModelRef(text=text, kind="endpoint")
    path = Path(text)
    found = _target_folder(text, path, None)
    if found is None and not path.exists():
        folder, _, way = text.rpartition("@")
        found = _target_folder(text, Path(folder), way)
    if found is not None:
        return found
    version = _version(path)
    if version is not None:
        target, part = next(((t, p) for t in targets() if (p := t.part(version)) is not None), (None, None))
        return ModelRef(text=text, kind="version", path=version, target=target, folder=part)
    if path.suffix == ".npz" and path.is_file():
        return ModelRef(text=text, kind="goldens", path=path)
    try:
        source = detect(text)
    except UnreadableError:
        models = sorted(entry.name for entry in path.iterdir() if (entry / CONFIG).is_file()) if path.is_dir() else []
        if models:
            listed = ", ".join(models[:8])
            raise UnreadableError(f"{path}: a repository of {len(models)} models; name one: {listed}") from None
        raise
    return ModelRef(text=text, kind="onnx" if source.format == "onnx" else "source", path=source.path, format=source.format)


def _target_folder(text: str, folder: Path, way: str | None) -> ModelRef | None:
    for target in targets():
        if target.recognizes(folder):
            if way is not None and way not in target.ways:
                known = f"expected one of {', '.join(target.ways)} after the @" if target.ways else "leave it out"
                raise UsageError(f"{text}: '{way}' is not a backend of a folder of --target {target.name}; {known}")
            return ModelRef(text=text, kind="target", path=folder, target=target, folder=folder, way=way)
    return None


def _version(path: Path) -> Path | None:
    """Return the version folder meant, itself or the newest of a packaged model; None for anything else."""
    if not path.is_dir() or (path / "saved_model.pb").is_file():
        return None
    versions = list(version_folders(path).values())
    for folder in (path, *versions[-1:]):
        if (folder / MODEL).is_file() or any(target.part(folder) is not None for target in targets()):
            return folder
        held = next((words for target in targets() if (words := target.holds(folder))), "")
        if held:
            raise CannotError(f"{path}: {held}; name the folder that 'portinf optimize' wrote instead")
    if versions:
        raise UnreadableError(f"{versions[-1]}: no {MODEL} in it: the newest version is not complete; package it again")
    if (path / CONFIG).is_file():
        raise UnreadableError(f"{path}: not a packaged model: expected a version such as 1/{MODEL} in it, found none")
    return None
