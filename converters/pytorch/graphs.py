"""Adds to PyTorch Geometric, while a model is exported, what the exporter needs and cannot find by itself."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from portinf.core.optional import require
from portinf.sources.pytorch.dense_knn import knn

__all__ = ["exportable_layers"]


@contextmanager
def exportable_layers() -> Iterator[None]:
    """Let a layer of typed edges loop over its types instead of sorting by them with a size that depends on the data; and:

    After ``add_self_loops`` a graph with a node has an edge: promised with torch._check, wherever the function was imported.

    Removing self loops first (GAT) leaves a number of edges that depends on the data, and the exporter must know that the sum
    is not zero. A graph without nodes breaks the promise: the comparison finds it and the smallest length is recorded.

    How many graphs there are is a size in the graph, where each begins is counted, and nearest neighbours are portinf's dense
    ones: what PyTorch Geometric calls for them cannot be followed, or has no translation.
    """
    if "torch_geometric.utils" not in sys.modules:
        yield
        return
    with ExitStack() as stack:
        stack.enter_context(_everywhere("utils", "add_self_loops", _promising))
        stack.enter_context(_everywhere("utils", "scatter", _sized))
        stack.enter_context(_everywhere("index", "index2ptr", lambda _: _counted))
        stack.enter_context(_everywhere("nn.pool", "_batch_to_ptr", lambda _: _counted_batch))
        stack.enter_context(_set(sys.modules["torch_geometric.backend"], "use_segment_matmul", False))
        if getattr(sys.modules["torch_geometric.typing"], "WITH_KNN", False):
            stack.enter_context(_set(require("torch", "torch").ops.pyg, "knn", knn))
        yield


@contextmanager
def _set(holder: Any, name: str, value: Any) -> Iterator[None]:
    original = getattr(holder, name)
    setattr(holder, name, value)
    try:
        yield
    finally:
        setattr(holder, name, original)


@contextmanager
def _everywhere(module: str, name: str, replace: Callable[[Any], Any]) -> Iterator[None]:
    """Replace a function of PyTorch Geometric, if its module was imported, also where others have imported it by its name."""
    original = getattr(sys.modules.get(f"torch_geometric.{module}"), name, None)
    with ExitStack() as stack:
        if original is not None:
            replacement = replace(original)
            for holder in list(sys.modules.values()):
                if getattr(holder, "__dict__", {}).get(name) is original:
                    stack.enter_context(_set(holder, name, replacement))
        yield


def _promising(function: Callable[..., Any]) -> Callable[..., Any]:
    torch = require("torch", "torch")

    def add_self_loops(*arguments: Any, **named: Any) -> Any:
        answer = function(*arguments, **named)
        if isinstance(answer[0], torch.Tensor):
            torch._check(answer[0].shape[1] > 0)
        return answer

    return add_self_loops


def _sized(function: Callable[..., Any]) -> Callable[..., Any]:
    """Find how many groups there are as a size that the exporter follows, where PyTorch Geometric makes a Python number."""

    def scatter(src: Any, index: Any, dim: int = 0, dim_size: Any = None, reduce: str = "sum") -> Any:
        if dim_size is None:
            dim_size = index.max().item() + 1 if index.numel() > 0 else 0
        return function(src, index, dim, dim_size, reduce)

    return scatter


def _counted_batch(batch: Any, batch_size: int | None = None) -> Any:
    return None if batch is None else _counted(batch, batch_size)


def _counted(index: Any, size: Any = None) -> Any:
    """Return where each group begins in sorted group numbers (n,), then n: how many are less than each number, (size + 1,)."""
    torch = require("torch", "torch")
    if size is None:
        size = index.max().item() + 1 if index.numel() > 0 else 0
    groups = torch.arange(size + 1, dtype=index.dtype, device=index.device)
    return (index.unsqueeze(0) < groups.unsqueeze(1)).sum(1).to(index.dtype)
