"""TorchScript archives: loaded without running Python, in evaluation mode, inputs named by the scripted forward."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from portinf.core.batch import Array, Arrays
from portinf.core.errors import CannotError, PermissionNeededError, UnreadableError, first_line
from portinf.core.optional import require
from portinf.sources.model import Declared, SourceOptions, flatten_outputs
from portinf.sources.pytorch.archive import TorchArchive
from portinf.sources.state.torch_access import TorchStateful

__all__ = ["TorchScriptSource"]

# TorchScript cannot run Python; these builtins of its read or write files of any name
FILES = re.compile(rb"\b(save|from_file)\s*\(")


class TorchScriptSource:
    """One scripted or traced module.

    Args:
        options: path and permissions.
    """

    framework = "torchscript"

    def __init__(self, options: SourceOptions) -> None:
        self._torch = require("torch", "torch")
        path = options.found.path
        self.model = _load(self._torch, path, options.allow_code)
        self.notes: list[str] = []
        if any(getattr(part, "training", False) for part in self.model.modules()):
            self.notes.append("the module was in training mode: put into evaluation mode")
        self.model.eval()
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)
        self.inputs: Sequence[Declared] = _declared(path, self.model)
        self.stateful = TorchStateful(self.model, self.call)

    def call(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """Run the module on tensors by name; outputs by name."""
        with self._torch.no_grad():
            answer = self.model(**tensors)
        return flatten_outputs(answer, is_leaf=self._torch.Tensor)

    def infer(self, inputs: Mapping[str, Array]) -> Arrays:
        """Run the module; arrays become tensors of the same type."""
        leaves = self.call({name: self._torch.from_numpy(array.copy()) for name, array in inputs.items()})
        return {name: leaf.detach().cpu().numpy() for name, leaf in leaves.items()}


def _load(torch: Any, path: Path, allow_code: bool) -> Any:
    archive = TorchArchive(path)
    for member in archive.members:
        found = FILES.search(archive.read(member)) if member.startswith("code/") and member.endswith(".py") else None
        if found is not None and not allow_code:
            raise PermissionNeededError(
                f"{path}: its code calls '{found.group(1).decode()}', which touches files ({member}): "
                "allow it with --allow-code if you trust the file"
            )
    try:
        with archive.copied(".pt") as copy:
            return torch.jit.load(str(copy), map_location="cpu")
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        unknown = next((line for line in lines if "nknown" in line), None)
        if unknown is not None:
            raise CannotError(f"{path}: uses an operator or class of a library that is not loaded: {unknown}") from error
        raise UnreadableError(f"{path}: damaged, or not a TorchScript archive: {first_line(error)}") from error


def _declared(path: Path, module: Any) -> list[Declared]:
    declared = []
    for argument in module.forward.schema.arguments[1:]:
        if str(argument.type) in ("Tensor", "Optional[Tensor]"):
            declared.append(Declared(name=argument.name))
        elif not argument.has_default_value():
            raise CannotError(
                f"{path}: its input '{argument.name}' is a {argument.type}; expected tensors: wrap the model in one that takes tensors"
            )
    return declared
