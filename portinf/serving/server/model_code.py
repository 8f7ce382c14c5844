"""Says which models bring code of their own that a server would run, and who may: portinf's unchanged packages, or by permission."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from portinf.core.errors import PermissionNeededError, PortinfError, printable
from portinf.serving.repository import ModelFolder, Problem, served_versions

__all__ = ["PROGRAM", "PYTHON", "CodeRule", "code_refusal", "own_code", "program_names", "why_not"]

PYTHON = "Python code"
# What Triton looks for in a model's folder and in its versions, and loads or runs where it is there.
PROGRAM = "triton_python_backend_stub"
_LIBRARIES = ("libtriton_python.so", "batchstrategy.so")


@dataclass(frozen=True, kw_only=True)
class CodeRule:
    """Which code may run.

    Attributes:
        allow: all of it.
        verify: returns what was changed in a version's folder since portinf packaged it, and raises if portinf did not
            package it; None if this is unknown: then nothing runs without ``allow``.
    """

    allow: bool = False
    verify: Callable[[Path], list[str]] | None = None


def program_names(model: ModelFolder) -> list[str]:
    """Return the names of files that a server would load or run, were they in a model's folder or in a version's."""
    return [PROGRAM, f"libtriton_{model.backend}.so", *_LIBRARIES]


def own_code(model: ModelFolder) -> tuple[str, ...]:
    """Return what a server would run of a model's own, as words for a message; empty for a model that is data."""
    config = model.config
    found = []
    if model.backend == "python" or (config is not None and config.runtime == "model.py" and model.backend != "onnxruntime"):
        found.append(PYTHON)
    folders = [model.path, *(model.path / str(version) for version in model.versions)]
    found += [name for name in program_names(model) if any((folder / name).exists() for folder in folders)]
    if config is not None:
        # Elsewhere than where a server keeps its own: a library in the model's folder, or at any path.
        found += [f"the runtime {config.runtime}"] * (config.runtime not in ("", "model.py", f"libtriton_{model.backend}.so"))
        agents = [agent.name for agent in config.model_repository_agents.agents]
        found += [f"the library of {name}" for name in (model.backend, *agents) if "/" in name]
        found += [f"the library {name}" for name in config.model_operations.op_library_filename]
        keys = ["TRITON_BATCH_STRATEGY_PATH"] + ["EXECUTION_ENV_PATH"] * (model.backend != "onnxruntime")
        found += [f"what the parameter {key} names" for key in keys if key in config.parameters]
    return tuple(found)


def why_not(model: ModelFolder, code: tuple[str, ...], rule: CodeRule) -> str:
    """Return why this code may not run, or an empty text where every served version is as portinf packaged it."""
    others = [name for name in code if name != PYTHON]
    if others:
        return f"runs {', '.join(map(printable, others))}"
    if rule.verify is None:
        return f"runs {PYTHON}"
    for version in served_versions(model):
        folder = model.path / str(version)
        try:
            problems = rule.verify(folder)
        except PortinfError as error:
            problems = [str(error)]
        if problems:
            return f"runs {PYTHON} ({problems[0]})"
    return ""


def code_refusal(folder: Path, problems: list[Problem]) -> PermissionNeededError:
    """Return one error that names every model whose code may not run, and the line that allows it."""
    details = "; ".join(f"{printable(problem.model)} {problem.reason}" for problem in problems)
    one = len(problems) == 1
    what = "model brings code of its own and is not an" if one else "models bring code of their own and are not"
    return PermissionNeededError(
        f"{len(problems)} {what} unchanged package{'' if one else 's'} of portinf: {details}; if you trust that code: "
        f"portinf serve-local {shlex.quote(str(folder))} --allow-code"
    )
