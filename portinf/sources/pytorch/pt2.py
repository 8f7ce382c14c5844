"""``.pt2`` archives of torch.export: loaded without unpickling, with the sizes and types that the program declares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from portinf.core.batch import Array, Arrays
from portinf.core.errors import CannotError, MissingPackageError, PortinfError, UnreadableError, first_line
from portinf.core.optional import require
from portinf.sources.model import Declared, SourceOptions, flatten_outputs
from portinf.sources.pytorch.archive import TorchArchive
from portinf.sources.pytorch.pt2_safety import vet
from portinf.sources.state.torch_access import TorchStateful

__all__ = ["ExportedSource"]

LARGEST = 1 << 31  # a larger bound of a length is no bound


class ExportedSource:
    """One exported program.

    Args:
        options: path and permissions.
    """

    framework = "pt2"

    def __init__(self, options: SourceOptions) -> None:
        self._torch = require("torch", "torch")
        path = options.found.path
        self.model = _load(self._torch, path, options.allow_pickle)
        self.notes: list[str] = []
        self._module = self.model.module()
        self._leaves = _leaves(self._torch, self.model)
        self.inputs: Sequence[Declared] = _declared(path, self._leaves, self.model.range_constraints)
        self.stateful = TorchStateful(self._module, self.call)

    def call(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """Run the program as a module on tensors by name; its own guards hold the sizes against what it declares."""
        pytree = require("torch.utils._pytree", "torch")
        flat = [tensors[name] if isinstance(value, self._torch.Tensor) else value for name, value in self._leaves]
        args, kwargs = pytree.tree_unflatten(flat, self.model.call_spec.in_spec)
        with self._torch.no_grad():
            answer = self._module(*args, **kwargs)
        return flatten_outputs(answer, is_leaf=self._torch.Tensor)

    def infer(self, inputs: Mapping[str, Array]) -> Arrays:
        """Run the program; arrays become tensors of the same type."""
        leaves = self.call({name: self._torch.from_numpy(array.copy()) for name, array in inputs.items()})
        return {name: leaf.detach().cpu().numpy() for name, leaf in leaves.items()}


def _load(torch: Any, path: Path, allow_pickle: bool) -> Any:
    archive = TorchArchive(path)
    if not allow_pickle:
        vet(torch, archive)
    try:
        with archive.copied(".pt2") as copy:
            return torch.export.load(str(copy))
    except PortinfError:
        raise
    except ModuleNotFoundError as error:
        raise MissingPackageError(f"{path}: needs the package '{error.name}': pip install {error.name}") from error
    except Exception as error:
        raise UnreadableError(f"{path}: not readable by torch {torch.__version__}: {first_line(error)}") from error


def _leaves(torch: Any, program: Any) -> list[tuple[str, Any]]:
    """Return name and example (a fake tensor with symbolic sizes, or a constant) of every user input, in order."""
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    kind = torch.export.graph_signature.InputKind.USER_INPUT
    return [(spec.arg.name, values.get(spec.arg.name)) for spec in program.graph_signature.input_specs if spec.kind == kind]


def _declared(path: Path, leaves: Sequence[tuple[str, Any]], ranges: Mapping[Any, Any]) -> list[Declared]:
    declared = []
    symbols: dict[str, str] = {}
    for name, value in leaves:
        if not hasattr(value, "shape"):
            continue
        labels = []
        for number, size in enumerate(value.shape):
            symbol = None if isinstance(size, int) else str(size)
            labels.append(None if symbol is None else symbols.setdefault(symbol, f"{name}_{number}"))
        declared.append(
            Declared(
                name=name,
                dtype=str(value.dtype).removeprefix("torch."),
                shape=tuple(size if isinstance(size, int) else None for size in value.shape),
                labels=tuple(labels),
                minimums=tuple(0 if isinstance(size, int) else _limits(size, ranges)[0] for size in value.shape),
                maximums=tuple(None if isinstance(size, int) else _limits(size, ranges)[1] for size in value.shape),
            )
        )
    if not declared:
        raise CannotError(f"{path}: the program has no tensor among its inputs")
    return declared


def _limits(size: Any, ranges: Mapping[Any, Any]) -> tuple[int, int | None]:
    """Return the least and the largest length that the program's range constraints allow; None for no largest."""
    found = ranges.get(size.node.expr)
    if found is None:
        return 0, None
    least = max(0, int(found.lower)) if found.lower.is_integer else 0
    return least, int(found.upper) if found.upper.is_integer and found.upper < LARGEST else None
