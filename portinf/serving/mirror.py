"""Makes a folder of links to a repository in which models configured for a GPU also have a configuration for the CPU.

Triton's core refuses an instance group on a GPU that is not there before any backend is asked. The option
``--model-config-name=local`` makes it read ``configs/local.pbtxt`` where there is one; the user's folder stays as it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from portinf.serving.repository import ModelFolder

__all__ = ["CONFIG_NAME", "link_model", "needs_mirror"]

CONFIG_NAME = "local"
# ``ModelInstanceGroup.Kind`` in Triton's model_config.proto.
_GPU = 1
_CPU = 2


def needs_mirror(model: ModelFolder) -> bool:
    """Say whether a model asks for an instance on a GPU."""
    return model.config is not None and any(group.kind == _GPU for group in model.config.instance_group)


def link_model(model: ModelFolder, mirror: Path) -> None:
    """Link one model into the mirror folder, or bring its links up to date."""
    place = mirror / model.name
    if not needs_mirror(model):
        _link(place, model.path)
        return
    if place.is_symlink():
        place.unlink()
    (place / "configs").mkdir(parents=True, exist_ok=True)
    present = {entry.name for entry in model.path.iterdir()}
    for entry in place.iterdir():
        if entry.is_symlink() and entry.name not in present:
            entry.unlink()
    for name in sorted(present - {"configs"}):
        _link(place / name, model.path / name)
    temporary = place / "configs" / ".new"
    temporary.write_text(_text(_on_cpu(model.config)))
    temporary.replace(place / "configs" / f"{CONFIG_NAME}.pbtxt")


def _link(place: Path, target: Path) -> None:
    if not place.is_symlink():
        place.symlink_to(target.resolve(), target_is_directory=target.is_dir())


def _on_cpu(config: Any) -> Any:
    copy = type(config)()
    copy.CopyFrom(config)
    for group in copy.instance_group:
        if group.kind == _GPU:
            group.kind = _CPU
            del group.gpus[:]
    return copy


def _text(config: Any) -> str:
    from google.protobuf import text_format

    return str(text_format.MessageToString(config))
