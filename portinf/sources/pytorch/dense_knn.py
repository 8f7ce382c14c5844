"""Nearest neighbours in plain PyTorch, in the place of pyg-lib's where PyTorch Geometric finds none."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from portinf.core.optional import require

__all__ = ["knn", "provide_knn", "tell"]

TYPING = "torch_geometric.typing"
WITHOUT = (
    "nearest neighbours are portinf's dense kNN, in the reference (plain PyTorch) and in the file: pyg-lib is not installed, "
    "so nothing was compared with its results"
)
BESIDE = "nearest neighbours in the file are portinf's dense kNN, those of the reference are pyg-lib's"
_told: set[str] = set()


def tell(notes: list[str]) -> None:
    """Add to a source's notes which neighbours the model got, once it has computed some."""
    notes += sorted(_told.difference(notes))


def knn(x: Any, y: Any, ptr_x: Any = None, ptr_y: Any = None, k: int = 1, cosine: bool = False, num_workers: int = 1) -> Any:
    """Find for each row of ``y`` the ``k`` nearest rows of ``x`` in the same graph, as ``torch.ops.pyg.knn`` does.

    Squared distances are summed one feature after the other, which gives the same bits in PyTorch and in ONNX Runtime; of
    equal distances the lower index comes first. Takes memory for ``len(x) * len(y)`` distances.

    Args:
        x: points to choose from, (n, features).
        y: query points, (m, features).
        ptr_x: where each graph's rows of ``x`` begin, then n; (graphs + 1,); None for one graph.
        ptr_y: the same of ``y``.
        k: how many; a graph with fewer points gives fewer.
        cosine: not supported, nor by pyg-lib on the CPU.
        num_workers: without effect.

    Returns:
        Pairs (2, edges): rows of ``y`` in order, and for each its rows of ``x`` from near to far.

    Raises:
        NotImplementedError: ``cosine`` is asked for.
        ValueError: ``ptr_x`` or ``ptr_y`` ends at another length than the points have.
    """
    torch = require("torch", "torch")
    if cosine:
        raise NotImplementedError("neighbours by cosine distance: neither pyg-lib on the CPU nor portinf has them")
    _told.add(BESIDE if find_spec("pyg_lib") else WITHOUT)
    exporting = torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export()
    distance = sum((a.unsqueeze(1) - b.unsqueeze(0)).square() for a, b in zip(y.unbind(1), x.unbind(1), strict=True))
    far = distance.new_full((y.shape[0], k), float("inf"))
    if ptr_x is not None and ptr_y is not None:
        if not exporting and (int(ptr_x[-1]), int(ptr_y[-1])) != (len(x), len(y)):
            raise ValueError(
                f"the batch vectors have {int(ptr_x[-1])} and {int(ptr_y[-1])} entries for {len(x)} and {len(y)} points"
            )
        together = _graph(ptr_y, y).unsqueeze(1) == _graph(ptr_x, x).unsqueeze(0)
        distance = torch.where(together, distance, float("inf"))
    distance = torch.cat([distance, far], 1)  # k places more, for graphs with fewer points
    near, index = _nearest(distance, k, exporting)
    asking, place = (near < float("inf")).nonzero(as_tuple=True)
    return torch.stack([asking, index[asking, place]])


def _graph(ptr: Any, points: Any) -> Any:
    """Return the number of each point's graph, (n,)."""
    torch = require("torch", "torch")
    place = torch.arange(points.shape[0], device=points.device)
    return (place.unsqueeze(1) >= ptr[1:].unsqueeze(0)).sum(1)


def _nearest(distance: Any, k: int, exporting: bool) -> tuple[Any, Any]:
    """Return the k least distances of each row and where they are; of equal ones the first.

    ONNX's TopK promises the first of equal ones, torch's does not: outside of an export it takes a stable sort.
    """
    torch = require("torch", "torch")
    if exporting:
        near, index = torch.topk(distance, k, dim=1, largest=False, sorted=True)
    else:
        near, index = torch.sort(distance, dim=1, stable=True)
    return near[:, :k], index[:, :k]


def provide_knn() -> None:
    """Give PyTorch Geometric this module's `knn` as soon as it is imported in this process, unless pyg-lib is installed."""
    if find_spec("pyg_lib") is not None:
        return
    if TYPING in sys.modules:
        _put_in_place(sys.modules[TYPING])
    elif not any(isinstance(finder, _Watch) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watch())


def _put_in_place(typing: Any) -> None:
    if not getattr(typing, "WITH_KNN", True):
        typing.WITH_KNN = True
        require("torch", "torch").ops.pyg.knn = knn


class _Watch(importlib.abc.MetaPathFinder):
    """Waits for the import of the module in which PyTorch Geometric notes what is installed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find the module as usual, and make its loader install the neighbours."""
        if fullname != TYPING:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(importlib.abc.Loader):
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """Leave it to the usual loader."""
        module: ModuleType | None = self._inner.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Run the module, then put the neighbours in place."""
        self._inner.exec_module(module)
        _put_in_place(module)
