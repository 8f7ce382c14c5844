"""PyTorch: an ``nn.Module`` in evaluation mode, run eagerly in fp32 on the CPU."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from portinf.lazy import require
from portinf.samples import Array, Arrays
from portinf.sources import dense_knn
from portinf.sources.model import Declared, SourceOptions, flatten_outputs
from portinf.sources.pytorch_files import load_weights
from portinf.sources.pytorch_settling import settle

__all__ = ["PyTorchSource"]


class PyTorchSource:
    """One module.

    Args:
        module: the model.
        options: weights and permissions.
    """

    framework = "pytorch"

    def __init__(self, module: Any, options: SourceOptions) -> None:
        self._torch = require("torch", "torch")
        self.model = module
        self.notes: list[str] = []
        if options.weights is not None:
            self.notes += load_weights(module, options.weights, options.allow_pickle)
        if any(part.training for part in module.modules()):
            self.notes.append("the module was in training mode: put into evaluation mode")
        module.eval()
        self.notes += settle(module)
        for parameter in module.parameters():
            parameter.requires_grad_(False)
        self.inputs: Sequence[Declared] = _declared(module)

    def infer(self, inputs: Mapping[str, Array]) -> Arrays:
        """Run the module; arrays become tensors of the same type."""
        torch = self._torch
        tensors = {name: torch.from_numpy(array.copy()) for name, array in inputs.items()}
        with torch.no_grad():
            answer = self.model(**tensors)
        dense_knn.tell(self.notes)
        leaves = flatten_outputs(answer, is_leaf=torch.Tensor)
        return {name: leaf.detach().cpu().numpy() for name, leaf in leaves.items()}


def _declared(module: Any) -> list[Declared]:
    parameters = inspect.signature(module.forward).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [Declared(name=p.name) for p in parameters if p.kind in kinds]
