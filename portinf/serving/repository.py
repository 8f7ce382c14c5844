"""Reads a model repository folder, without changing it, into what a launcher must know of each model before it starts."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portinf.core.errors import ServingError, UnreadableError, printable
from portinf.triton.config import BACKENDS, read_message
from portinf.triton.manifest import CONFIG, version_folders

__all__ = ["ModelFolder", "Problem", "read_model", "read_repository", "refusal", "served_versions"]

_FILES = {"onnxruntime": "model.onnx", "python": "model.py", "tensorrt": "model.plan", "pytorch": "model.pt"}
_LOOKED_FOR = {"onnxruntime": "ONNX model", "python": "Python model"}


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """One model of a repository.

    ``backend`` is Triton's name of it (``"ensemble"`` for an ensemble, ``""`` if unknown); ``complete`` says that the
    configuration needs no completion; ``config`` is the ``ModelConfig`` message, or None without ``config.pbtxt``.
    """

    name: str
    path: Path
    versions: tuple[int, ...]
    backend: str
    complete: bool
    config: Any


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Why one model cannot be served."""

    model: str
    reason: str


def read_repository(folder: Path) -> tuple[list[ModelFolder], list[Problem]]:
    """Return the models of a repository and what is already known to be wrong, both sorted by name.

    Raises:
        UnreadableError: the folder does not exist or is no folder.
        ServingError: it holds no model at all.
    """
    if not folder.is_dir():
        raise UnreadableError(f"{folder} is not a folder; expected a model repository: {_LAYOUT}")
    if (folder / "tensorrt.json").is_file() and (folder / "repository").is_dir():
        raise UnreadableError(
            f"{folder}: a folder of 'portinf optimize --target tensorrt'; its repositories are {folder / 'repository'} (once its engine is "
            f"built) and {folder / 'repository-onnxruntime'}"
        )
    models, problems = [], []
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith("."):
            found = read_model(path)
            if isinstance(found, Problem):
                problems.append(found)
            else:
                models.append(found)
    if not models and not problems:
        raise ServingError(f"the model repository {folder} is empty: it holds no model folder; expected {_LAYOUT}")
    return models, problems


_LAYOUT = "NAME/config.pbtxt and NAME/1/model.onnx"


def refusal(folder: Path, problems: list[Problem]) -> ServingError:
    """Return one error that names every model that cannot be served, and why; equal reasons are named once."""
    names: dict[str, list[str]] = {}
    for problem in sorted(problems, key=lambda problem: problem.model):
        names.setdefault(problem.reason, []).append(printable(problem.model))
    details = "; ".join(f"{', '.join(models)}: {reason}" for reason, models in names.items())
    what = "model cannot" if len(problems) == 1 else "models cannot"
    return ServingError(f"{len(problems)} {what} be served from {folder}: {details}")


def read_model(path: Path) -> ModelFolder | Problem:
    """Return one model folder, or the reason why a server could not load it."""
    try:
        path.name.encode()
    except UnicodeEncodeError:
        return Problem(model=path.name, reason="its folder name is not UTF-8, which Triton's protocol requires: rename it")
    try:
        config = read_message(path / CONFIG)
    except UnreadableError as error:
        return Problem(model=path.name, reason=str(error))
    versions = tuple(version_folders(path))
    backend = _backend(path, config, versions)
    model = ModelFolder(
        name=path.name, path=path, versions=versions, backend=backend, complete=_is_complete(config), config=config
    )
    reason = _wrong(model)
    return Problem(model=model.name, reason=reason) if reason else model


def _backend(path: Path, config: Any, versions: tuple[int, ...]) -> str:
    if config is not None and (config.backend or config.platform):
        return str(config.backend or BACKENDS.get(config.platform, config.platform))
    for version in versions:
        for backend, name in _FILES.items():
            if (path / str(version) / name).exists():
                return backend
    return ""


def _is_complete(config: Any) -> bool:
    if config is None or not config.name or not config.input or not config.output:
        return False
    return bool(config.platform or config.backend)


def _wrong(model: ModelFolder) -> str:
    config = model.config
    if config is not None and config.name and config.name != model.name:
        forms = {unicodedata.normalize("NFC", name) for name in (config.name, model.name)}
        alike = " (the same letters in another Unicode form)" if len(forms) == 1 else ""
        return f"{model.path / 'config.pbtxt'} names the model '{config.name}', expected '{model.name}', the name of its folder{alike}"
    if not model.versions:
        return f"no version folder in {model.path}; expected a numbered one, such as {model.path / '1'}"
    if not model.backend:
        return f"no {_FILES['onnxruntime']} in {model.path / str(model.versions[-1])} and no backend in config.pbtxt"
    if model.backend == "tensorrt":
        return _not_built(model)
    if model.backend in _LOOKED_FOR:  # a Python model without its file hangs the load
        return _missing_file(model, _LOOKED_FOR[model.backend])
    return ""


def _not_built(model: ModelFolder) -> str:
    name = (model.config.default_model_filename if model.config is not None else "") or _FILES["tensorrt"]
    for version in served_versions(model):
        folder = model.path / str(version)
        if (folder / "engine.json").is_file() and not (folder / name).exists():
            return f"its TensorRT engine {folder / name} is not built: run build_engine.sh of the folder that 'portinf optimize' wrote"
    return ""


def _missing_file(model: ModelFolder, what: str) -> str:
    name = (model.config.default_model_filename if model.config is not None else "") or _FILES[model.backend]
    for version in served_versions(model):
        path = model.path / str(version) / name
        if not path.exists():
            return f"the file {path} is missing; put the {what} there"
        if path.is_file() and path.stat().st_size == 0:
            return f"the file {path} is empty; write the {what} again"
    return ""


def served_versions(model: ModelFolder) -> tuple[int, ...]:
    """Return the versions that the configuration's policy chooses, ascending."""
    policy = model.config.version_policy if model.config is not None else None
    kind = policy.WhichOneof("policy_choice") if policy is not None else None
    if kind == "all":
        return model.versions
    if policy is not None and kind == "specific":
        return tuple(version for version in model.versions if version in policy.specific.versions)
    count = policy.latest.num_versions if policy is not None and kind == "latest" else 1
    return model.versions[-count:]
