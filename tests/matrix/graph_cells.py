"""The graph-network cells of the matrix: PyTorch Geometric's layers on random graphs with isolated nodes and self loops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.matrix.cell import Cell, Rng, two

MODELS = Path(__file__).parent.parent / "models" / "matrix_graphs.py"
NODES = (9, 14)
EDGES = (20, 37)


def _edges(rng: Rng, sources: int, targets: int, count: int) -> Any:
    """Random edges, the last node of each side isolated, one edge twice and one self loop where both sides are one."""
    edges = np.stack([rng.integers(0, sources - 1, count), rng.integers(0, targets - 1, count)])
    edges[:, 0] = 0
    edges[:, 1] = edges[:, 2]
    return edges


def _graph(rng: Rng, k: int, width: int = 3) -> dict[str, Any]:
    n = NODES[k]
    return {"x": rng.normal(size=(n, width)).astype(np.float32), "edge_index": _edges(rng, n, n, EDGES[k])}


def _weighted(rng: Rng, k: int) -> dict[str, Any]:
    return {**_graph(rng, k), "edge_weight": rng.uniform(0.1, 2.0, EDGES[k]).astype(np.float32)}


def _attributed(rng: Rng, k: int) -> dict[str, Any]:
    return {**_graph(rng, k), "edge_attr": rng.normal(size=(EDGES[k], 2)).astype(np.float32)}


def _typed(rng: Rng, k: int) -> dict[str, Any]:
    return {**_graph(rng, k), "edge_type": np.concatenate([np.arange(3), rng.integers(0, 3, EDGES[k] - 3)])}


def _placed(rng: Rng, k: int) -> dict[str, Any]:
    graph = _graph(rng, k)
    return {"x": graph["x"], "pos": rng.normal(size=(NODES[k], 3)).astype(np.float32), "edge_index": graph["edge_index"]}


def _batched(rng: Rng, k: int) -> dict[str, Any]:
    groups = 2 + k
    batch = np.sort(np.concatenate([np.arange(groups), rng.integers(0, groups, NODES[k] - groups)]))
    return {**_graph(rng, k), "batch": batch}


def _grouped(rng: Rng, k: int) -> dict[str, Any]:
    graph = _batched(rng, k)
    return {"x": graph["x"], "batch": graph["batch"]}


def _points(rng: Rng, k: int) -> dict[str, Any]:
    return {"x": _graph(rng, k)["x"]}


def _two_kinds(rng: Rng, k: int) -> dict[str, Any]:
    hits, modules = NODES[k], (4, 6)[k]
    return {
        "hit": rng.normal(size=(hits, 3)).astype(np.float32),
        "module": rng.normal(size=(modules, 2)).astype(np.float32),
        "near_index": _edges(rng, hits, hits, EDGES[k]),
        "in_index": _edges(rng, hits, modules, (12, 19)[k]),
    }


def _cell(name: str, model: str, inputs: Callable[[Rng, int], dict[str, Any]] = _graph, **more: Any) -> Cell:
    return Cell(name=name, source=f"{MODELS}:{model}", inputs=two(inputs), **more)


CELLS = (
    _cell("GCN", "gcn"),
    _cell("GCN, edge weights", "gcn_weighted", _weighted),
    _cell("SAGE mean", "sage_mean"),
    _cell("SAGE max", "sage_max"),
    _cell("GAT, self loops", "gat", everyday=True),
    _cell("GAT, no self loops", "gat_plain"),
    _cell("GAT, edge features", "gat_edges", _attributed),
    _cell("GATv2", "gatv2"),
    _cell("GIN", "gin"),
    _cell("GINE", "gine", _attributed),
    _cell("NNConv", "nnconv", _attributed),
    _cell("EdgeConv", "edge"),
    _cell("PointNetConv", "pointnet", _placed),
    _cell("PointTransformerConv", "pointtransformer", _placed),
    _cell("TransformerConv", "transformer"),
    _cell("TransformerConv, edge features", "transformer_edges", _attributed),
    _cell("PNA", "pna"),
    _cell("ChebConv", "cheb"),
    _cell("GraphConv, weights", "graph", _weighted),
    _cell("GraphConv max", "graph_max"),
    _cell("TAG", "tag"),
    _cell("SG", "sg"),
    _cell("SSG", "ssg"),
    _cell("ARMA", "arma"),
    _cell("APPNP", "appnp"),
    _cell("CGConv", "cg", _attributed),
    _cell("GMM", "gmm", _attributed),
    _cell("GatedGraphConv", "gate"),
    _cell("ResGatedGraphConv", "resgated"),
    _cell("GeneralConv, attention", "general"),
    _cell("AGNN", "agnn"),
    _cell("SuperGAT", "supergat"),
    _cell("LEConv", "le"),
    _cell("LGConv", "lightgcn"),
    _cell("FiLM", "film"),
    _cell("GEN", "gen"),
    _cell("FeaSt", "feast"),
    _cell("MFConv", "mf"),
    _cell("ClusterGCN", "clustergcn"),
    _cell("GCN2", "gcn2"),
    _cell("FAConv", "fa"),
    _cell("EGConv", "eg"),
    _cell("MixHop", "mixhop"),
    _cell("RGCN", "rgcn", _typed),
    _cell("RGAT", "rgat", _typed),
    _cell("SimpleConv", "simple"),
    _cell("AntiSymmetric", "antisymmetric"),
    _cell("PDNConv", "pdn", _attributed),
    _cell("global mean pool", "mean_pool", _batched),
    _cell("global add pool", "add_pool", _batched),
    _cell("global max pool", "max_pool", _batched),
    _cell("attentional pool", "attention_pool", _grouped),
    _cell("softmax aggregation", "softmax_pool", _grouped),
    _cell("standard deviation aggregation", "std_pool", _grouped),
    _cell("several aggregations", "multi_pool", _grouped),
    _cell("GraphNorm", "graph_norm", _grouped),
    _cell("TopKPooling", "topk_pool"),
    _cell("SAGPooling", "sag_pool"),
    _cell("MetaLayer, interaction network", "meta", _attributed, outputs=2),
    _cell("HeteroConv, two kinds of nodes", "hetero", _two_kinds, outputs=("hits", "modules"), everyday=True),
    _cell("GPSConv", "gps", lambda rng, k: _graph(rng, k, 4)),
    _cell("model GIN", "basic_gin"),
    _cell("model PNA", "basic_pna"),
    _cell("DeepGCN layer", "deepgcn"),
    _cell("model GraphSAGE, jumping knowledge", "jumping"),
    _cell("DynamicEdgeConv max, one graph (dense kNN)", "dynamic_max", _points, labels=("x_0",)),
    _cell("DynamicEdgeConv sum, one graph (dense kNN)", "dynamic_sum", _points, labels=("x_0",)),
    _cell("DynamicEdgeConv max (dense kNN)", "dynamic_max_batch", _grouped, labels=("batch",)),
    _cell("DynamicEdgeConv sum (dense kNN)", "dynamic_sum_batch", _grouped, labels=("batch",)),
    _cell("two DynamicEdgeConv, global pool (dense kNN)", "dynamic_deep", _grouped, labels=("batch",)),
    _cell("GravNetConv, one graph (dense kNN)", "gravnet", _points, labels=("x_0",)),
    _cell("GravNetConv (dense kNN)", "gravnet_batch", _grouped, labels=("batch",)),
    _cell("knn_graph and SAGE (dense kNN)", "knn_graph", _grouped, labels=("batch",)),
)
