"""Portinf's dense neighbours against a k-d tree, and in PyTorch Geometric's layers against sums written out."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import torch
import torch_geometric.typing
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from torch_geometric.nn import DynamicEdgeConv, knn_graph

from portinf.converters.pytorch.graphs import exportable_layers
from portinf.sources.pytorch.dense_knn import TYPING, knn, provide_knn

Rows = np.ndarray[Any, Any]


@pytest.fixture
def provided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_geometric.typing, "WITH_KNN", False)
    monkeypatch.setattr(torch.ops.pyg, "knn", None, raising=False)  # puts back what stood there, or nothing
    provide_knn()


def _splits(counts: list[int]) -> Any:
    return torch.tensor(np.concatenate([[0], np.cumsum(counts)]))


def _check(pairs: Any, x: Rows, y: Rows, of_x: Rows, of_y: Rows, k: int) -> None:
    """Compare distances, not indices: of points equally far either may be taken."""
    asking, found = pairs.numpy()
    assert bool(np.all(np.diff(asking) >= 0))
    for row, point in enumerate(y):
        mine = found[asking == row]
        near = x[of_x == of_y[row]]
        assert bool(np.all(of_x[mine] == of_y[row]))
        assert len(set(mine.tolist())) == len(mine) == min(k, len(near))
        if len(near):
            requested, _ = cKDTree(near).query(point, k=min(k, len(near)))
            distances = np.linalg.norm(x[mine] - point, axis=1)
            np.testing.assert_allclose(distances, np.atleast_1d(requested), rtol=1e-9, atol=1e-12)


@given(
    counts=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), min_size=1, max_size=4),
    features=st.integers(1, 5),
    k=st.integers(1, 20),
    whole=st.booleans(),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=60, deadline=None)
def test_neighbours_are_as_far_as_those_of_a_tree(
    counts: list[tuple[int, int]], features: int, k: int, whole: bool, seed: int
) -> None:
    """Several graphs, some empty or with fewer points than k; whole numbers make duplicates and ties."""
    rng = np.random.default_rng(seed)
    sizes_x, sizes_y = [a for a, _ in counts], [b for _, b in counts]
    x, y = (
        rng.integers(-2, 3, (n, features)) * 1.0 if whole else rng.normal(size=(n, features))
        for n in map(sum, (sizes_x, sizes_y))
    )
    pairs = knn(torch.from_numpy(x), torch.from_numpy(y), _splits(sizes_x), _splits(sizes_y), k)
    of_x, of_y = (np.repeat(np.arange(len(counts)), sizes) for sizes in (sizes_x, sizes_y))
    _check(pairs, x, y, of_x, of_y, k)


@given(n=st.integers(1, 200), k=st.integers(1, 12), seed=st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_one_cloud_without_a_batch_vector(n: int, k: int, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(n, 3))
    nothing = np.zeros(n)
    _check(knn(torch.from_numpy(x), torch.from_numpy(x), None, None, k), x, x, nothing, nothing, k)


def test_of_equal_distances_the_lower_index_comes_first() -> None:
    x = torch.tensor([[2.0], [0.0], [1.0], [0.0], [2.0]])
    assert knn(x, torch.tensor([[1.0]]), None, None, 4)[1].tolist() == [2, 0, 1, 3]


def test_a_batch_vector_of_another_length_is_refused() -> None:
    x = torch.zeros(4, 2)
    with pytest.raises(ValueError, match="5 and 5 entries for 4 and 4 points"):
        knn(x, x, torch.tensor([0, 5]), torch.tensor([0, 5]), 2)


def test_cosine_distance_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="cosine"):
        knn(torch.zeros(4, 2), torch.zeros(4, 2), None, None, 2, cosine=True)


@pytest.mark.parametrize(("sizes", "aggregation"), [([7], "max"), ([7, 2, 1], "sum"), ([1], "max"), ([3, 9], "mean")])
def test_a_layer_takes_each_graph_for_itself(provided: None, sizes: list[int], aggregation: str) -> None:
    torch.manual_seed(0)
    inner = torch.nn.Linear(6, 4)
    layer = DynamicEdgeConv(inner, k=4, aggr=aggregation)
    batch = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    x = torch.randn(sum(sizes), 3)
    for row, found in enumerate(layer(x, batch)):
        mine = x[batch == batch[row]]
        near = mine[(mine - x[row]).square().sum(1).argsort()[:4]]
        messages = inner(torch.cat([x[row].expand_as(near), near - x[row]], 1))
        requested = {"max": messages.amax(0), "sum": messages.sum(0), "mean": messages.mean(0)}[aggregation]
        torch.testing.assert_close(found, requested)


def test_graphs_of_neighbours_point_from_the_neighbour(provided: None) -> None:
    x = torch.tensor([[0.0], [1.0], [3.0], [10.0], [11.0]])
    edges = knn_graph(x, 1, torch.tensor([0, 0, 0, 1, 1]))
    assert edges.tolist() == [[1, 0, 1, 4, 3], [0, 1, 2, 3, 4]]


def test_the_export_counts_where_graphs_begin_and_puts_everything_back(provided: None) -> None:
    batch = torch.tensor([0, 0, 1, 3, 3, 3])
    index, pool = sys.modules["torch_geometric.index"], sys.modules["torch_geometric.nn.pool"]
    before = (index.index2ptr, pool._batch_to_ptr, torch.ops.pyg.knn)
    requested = index.index2ptr(batch), index.index2ptr(batch, 6), pool._batch_to_ptr(batch)
    with exportable_layers():
        found = index.index2ptr(batch), index.index2ptr(batch, 6), pool._batch_to_ptr(batch)
        assert pool._batch_to_ptr(None) is None
    for one, other in zip(found, requested, strict=True):
        assert torch.equal(one, other)
        assert one.dtype == other.dtype
    assert before == (index.index2ptr, pool._batch_to_ptr, torch.ops.pyg.knn)


def test_a_model_that_imports_no_layer_of_the_package_exports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch_geometric.nn.pool")
    scatter = sys.modules["torch_geometric.utils"].scatter
    with exportable_layers():
        found = sys.modules["torch_geometric.utils"].scatter(torch.ones(3), torch.tensor([0, 2, 2]))
    assert found.tolist() == [1, 0, 2]
    assert sys.modules["torch_geometric.utils"].scatter is scatter


def test_the_export_puts_the_dense_neighbours_in_the_place_of_an_installed_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator made up here stands for pyg-lib's; with pyg-lib itself: not run here."""
    monkeypatch.setattr(sys.modules[TYPING], "WITH_KNN", True)
    monkeypatch.setattr(torch.ops.pyg, "knn", "pyg-lib's", raising=False)
    with exportable_layers():
        assert torch.ops.pyg.knn is knn
    assert torch.ops.pyg.knn == "pyg-lib's"
