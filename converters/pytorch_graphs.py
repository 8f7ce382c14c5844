"""Adds to PyTorch Geometric, while a model is exported, the promises that the exporter needs and cannot find by itself."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from portinf.lazy import require

__all__ = ["exportable_layers"]


@contextmanager
def exportable_layers() -> Iterator[None]:
    """Let a layer of typed edges loop over its types instead of sorting by them with a size that depends on the data; and:

    After ``add_self_loops`` a graph with a node has an edge: promised with torch._check, wherever the function was imported.

    Removing self loops first (GAT) leaves a number of edges that depends on the data, and the exporter must know that the sum
    is not zero. A graph without nodes breaks the promise: the comparison finds it and the smallest length is recorded.
    """
    utils = sys.modules.get("torch_geometric.utils")
    if utils is None:
        yield
        return
    original = utils.add_self_loops
    holders = [m for m in list(sys.modules.values()) if getattr(m, "__dict__", {}).get("add_self_loops") is original]
    promised = _promising(original)
    backend = sys.modules["torch_geometric.backend"]
    segmented = backend.use_segment_matmul
    for module in holders:
        module.add_self_loops = promised  # type: ignore[attr-defined]
    backend.use_segment_matmul = False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        backend.use_segment_matmul = segmented  # type: ignore[attr-defined]
        for module in holders:
            module.add_self_loops = original  # type: ignore[attr-defined]


def _promising(function: Callable[..., Any]) -> Callable[..., Any]:
    torch = require("torch", "torch")

    def add_self_loops(*arguments: Any, **named: Any) -> Any:
        answer = function(*arguments, **named)
        if isinstance(answer[0], torch.Tensor):
            torch._check(answer[0].shape[1] > 0)
        return answer

    return add_self_loops
