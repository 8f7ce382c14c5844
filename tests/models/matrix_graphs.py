"""PyTorch Geometric layers of the matrix: every factory takes no argument and returns an nn.Module with fixed weights."""

from collections.abc import Callable
from typing import Any

import torch
import torch_geometric.nn as g
from torch import Tensor, nn


def _mlp(inside: int, outside: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inside, 8), nn.ReLU(), nn.Linear(8, outside))


class Plain(nn.Module):
    """A layer of nodes and edges."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.layer(x, edge_index)


class Weighted(Plain):
    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
        return self.layer(x, edge_index, edge_weight)


class Attributed(Plain):
    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        return self.layer(x, edge_index, edge_attr=edge_attr)


class Positional(Attributed):
    """Edge attributes are the third argument (positions of the edge in a pseudo space)."""

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        return self.layer(x, edge_index, edge_attr)


class Typed(Plain):
    def forward(self, x: Tensor, edge_index: Tensor, edge_type: Tensor) -> Tensor:
        return self.layer(x, edge_index, edge_type)


class Placed(Plain):
    def forward(self, x: Tensor, pos: Tensor, edge_index: Tensor) -> Tensor:
        return self.layer(x, pos, edge_index)


class Again(Plain):
    """Layers that want the first layer's features too."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.layer(x, torch.tanh(x), edge_index)


class Pooled(nn.Module):
    def __init__(self, pool: Callable[..., Tensor]) -> None:
        super().__init__()
        self.layer = g.GraphConv(3, 6)
        self.pool = pool

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        return self.pool(self.layer(x, edge_index).relu(), batch)


class Aggregated(nn.Module):
    def __init__(self, aggregation: nn.Module) -> None:
        super().__init__()
        self.aggregation = aggregation

    def forward(self, x: Tensor, batch: Tensor) -> Tensor:
        return self.aggregation(x, batch)


class Cloud(nn.Module):
    """Layers that find the edges of one graph by themselves."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class Deep(nn.Module):
    """Neighbours in the space of the layer before, and the whole graph in one row."""

    def __init__(self) -> None:
        super().__init__()
        self.first = g.DynamicEdgeConv(_mlp(6, 8), k=4)
        self.second = g.DynamicEdgeConv(_mlp(16, 8), k=4)
        self.out = nn.Linear(8, 2)

    def forward(self, x: Tensor, batch: Tensor) -> Tensor:
        x = self.first(x, batch)
        return self.out(g.global_max_pool(self.second(x, batch), batch))


class Near(nn.Module):
    """A layer on the edges that ``knn_graph`` gives."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = g.SAGEConv(3, 5)

    def forward(self, x: Tensor, batch: Tensor) -> Tensor:
        return self.layer(x, g.knn_graph(x, 3, batch))


class Selected(nn.Module):
    """Pooling that keeps some nodes, of one graph."""

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.layer = g.GraphConv(3, 6)
        self.pool = pool
        self.out = g.GraphConv(6, 2)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x, edge_index, *_ = self.pool(self.layer(x, edge_index).relu(), edge_index)
        return self.out(x, edge_index).mean(0)


class Edges(nn.Module):
    def forward(self, source: Tensor, target: Tensor, edge_attr: Tensor, u: Any, batch: Any) -> Tensor:
        return self.net(torch.cat([source, target, edge_attr], 1))

    def __init__(self) -> None:
        super().__init__()
        self.net = _mlp(8, 5)


class Nodes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = _mlp(8, 4)

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor, u: Any, batch: Any) -> Tensor:
        summed = torch.zeros(x.shape[0], 5, dtype=x.dtype).index_add(0, edge_index[1], edge_attr)
        return self.net(torch.cat([x, summed], 1))


class Interaction(nn.Module):
    """An interaction network: new edges from nodes, new nodes from edges."""

    def __init__(self) -> None:
        super().__init__()
        self.meta = g.MetaLayer(Edges(), Nodes())

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> tuple[Tensor, Tensor]:
        nodes, edges, _ = self.meta(x, edge_index, edge_attr)
        return nodes, edges


class Hetero(nn.Module):
    """Hits and modules, three kinds of edges."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = g.HeteroConv(
            {
                ("hit", "near", "hit"): g.GATv2Conv(3, 4, add_self_loops=False),
                ("hit", "in", "module"): g.SAGEConv((3, 2), 4, aggr="max"),
                ("module", "has", "hit"): g.SAGEConv((2, 3), 4),
            },
            aggr="sum",
        )

    def forward(self, hit: Tensor, module: Tensor, near_index: Tensor, in_index: Tensor) -> dict[str, Tensor]:
        edges = {
            ("hit", "near", "hit"): near_index,
            ("hit", "in", "module"): in_index,
            ("module", "has", "hit"): in_index.flip(0),
        }
        found = self.layer({"hit": hit, "module": module}, edges)
        return {"hits": found["hit"], "modules": found["module"]}


HISTOGRAM = torch.tensor([1, 4, 6, 3, 1])

LAYERS: dict[str, Callable[[], nn.Module]] = {
    "gcn": lambda: Plain(g.GCNConv(3, 5)),
    "gcn_weighted": lambda: Weighted(g.GCNConv(3, 5)),
    "sage_mean": lambda: Plain(g.SAGEConv(3, 5)),
    "sage_max": lambda: Plain(g.SAGEConv(3, 5, aggr="max")),
    "sage_lstm": lambda: Plain(g.SAGEConv(3, 5, aggr="lstm")),
    "gat": lambda: Plain(g.GATConv(3, 5, heads=2)),
    "gat_plain": lambda: Plain(g.GATConv(3, 5, heads=2, add_self_loops=False)),
    "gat_edges": lambda: Attributed(g.GATConv(3, 5, edge_dim=2)),
    "gatv2": lambda: Plain(g.GATv2Conv(3, 5, heads=2)),
    "gin": lambda: Plain(g.GINConv(_mlp(3, 5), train_eps=True)),
    "gine": lambda: Attributed(g.GINEConv(_mlp(3, 5), edge_dim=2)),
    "nnconv": lambda: Positional(g.NNConv(3, 5, _mlp(2, 15), aggr="mean")),
    "edge": lambda: Plain(g.EdgeConv(_mlp(6, 5), aggr="max")),
    "pointnet": lambda: Placed(g.PointNetConv(_mlp(6, 5), _mlp(5, 4))),
    "pointtransformer": lambda: Placed(g.PointTransformerConv(3, 5)),
    "transformer": lambda: Plain(g.TransformerConv(3, 5, heads=2, beta=True)),
    "transformer_edges": lambda: Attributed(g.TransformerConv(3, 5, edge_dim=2)),
    "pna": lambda: Plain(
        g.PNAConv(3, 5, ["mean", "min", "max", "std"], ["identity", "amplification", "attenuation"], HISTOGRAM)
    ),
    "cheb": lambda: Plain(g.ChebConv(3, 5, K=3)),
    "graph": lambda: Weighted(g.GraphConv(3, 5)),
    "graph_max": lambda: Plain(g.GraphConv(3, 5, aggr="max")),
    "tag": lambda: Plain(g.TAGConv(3, 5)),
    "sg": lambda: Plain(g.SGConv(3, 5, K=2)),
    "ssg": lambda: Plain(g.SSGConv(3, 5, alpha=0.1, K=3)),
    "arma": lambda: Plain(g.ARMAConv(3, 5, num_stacks=2, num_layers=2)),
    "appnp": lambda: Plain(g.APPNP(K=4, alpha=0.1)),
    "cg": lambda: Attributed(g.CGConv(3, dim=2)),
    "gmm": lambda: Positional(g.GMMConv(3, 5, dim=2, kernel_size=3)),
    "gate": lambda: Plain(g.GatedGraphConv(5, num_layers=2)),
    "resgated": lambda: Plain(g.ResGatedGraphConv(3, 5)),
    "general": lambda: Plain(g.GeneralConv(3, 5, attention=True)),
    "agnn": lambda: Plain(g.AGNNConv()),
    "supergat": lambda: Plain(g.SuperGATConv(3, 5)),
    "le": lambda: Plain(g.LEConv(3, 5)),
    "lightgcn": lambda: Plain(g.LGConv()),
    "film": lambda: Plain(g.FiLMConv(3, 5)),
    "gen": lambda: Plain(g.GENConv(3, 5)),
    "feast": lambda: Plain(g.FeaStConv(3, 5, heads=2)),
    "mf": lambda: Plain(g.MFConv(3, 5, max_degree=4)),
    "clustergcn": lambda: Plain(g.ClusterGCNConv(3, 5)),
    "gcn2": lambda: Again(g.GCN2Conv(3, alpha=0.2)),
    "fa": lambda: Again(g.FAConv(3)),
    "eg": lambda: Plain(g.EGConv(3, 8, num_heads=4, aggregators=["sum", "max"])),
    "mixhop": lambda: Plain(g.MixHopConv(3, 5)),
    "rgcn": lambda: Typed(g.RGCNConv(3, 5, num_relations=3)),
    "rgat": lambda: Typed(g.RGATConv(3, 5, num_relations=3)),
    "simple": lambda: Plain(g.SimpleConv("mean")),
    "antisymmetric": lambda: Plain(g.AntiSymmetricConv(3)),
    "pdn": lambda: Attributed(g.PDNConv(3, 5, edge_dim=2, hidden_channels=4)),
    "mean_pool": lambda: Pooled(g.global_mean_pool),
    "add_pool": lambda: Pooled(g.global_add_pool),
    "max_pool": lambda: Pooled(g.global_max_pool),
    "attention_pool": lambda: Aggregated(g.AttentionalAggregation(nn.Linear(3, 1))),
    "softmax_pool": lambda: Aggregated(g.SoftmaxAggregation(learn=True)),
    "std_pool": lambda: Aggregated(g.StdAggregation()),
    "multi_pool": lambda: Aggregated(g.MultiAggregation(["mean", "max", "sum"])),
    "graph_norm": lambda: Aggregated(g.GraphNorm(3)),
    "topk_pool": lambda: Selected(g.TopKPooling(6, ratio=0.5)),
    "sag_pool": lambda: Selected(g.SAGPooling(6, ratio=0.5)),
    "meta": Interaction,
    "hetero": Hetero,
    "gps": lambda: Plain(g.GPSConv(4, g.GCNConv(4, 4), heads=2)),
    "basic_gin": lambda: Plain(g.GIN(3, 8, num_layers=2, out_channels=2)),
    "basic_pna": lambda: Plain(g.PNA(3, 8, 2, 2, aggregators=["mean", "max"], scalers=["identity"], deg=HISTOGRAM)),
    "deepgcn": lambda: Plain(g.DeepGCNLayer(g.GENConv(3, 3), nn.BatchNorm1d(3), nn.ReLU(), block="res+")),
    "dynamic_max": lambda: Cloud(g.DynamicEdgeConv(_mlp(6, 5), k=4)),
    "dynamic_sum": lambda: Cloud(g.DynamicEdgeConv(_mlp(6, 5), k=4, aggr="sum")),
    "dynamic_max_batch": lambda: Aggregated(g.DynamicEdgeConv(_mlp(6, 5), k=4)),
    "dynamic_sum_batch": lambda: Aggregated(g.DynamicEdgeConv(_mlp(6, 5), k=4, aggr="sum")),
    "dynamic_deep": Deep,
    "gravnet": lambda: Cloud(g.GravNetConv(3, 5, space_dimensions=3, propagate_dimensions=4, k=4)),
    "gravnet_batch": lambda: Aggregated(g.GravNetConv(3, 5, space_dimensions=3, propagate_dimensions=4, k=4)),
    "knn_graph": Near,
    "jumping": lambda: Plain(g.GraphSAGE(3, 8, num_layers=3, out_channels=2, jk="max")),
}


def __getattr__(name: str) -> Callable[[], nn.Module]:
    """Give the factory of a name of the table, with the same weights at every call."""
    if name not in LAYERS:
        raise AttributeError(name)

    def build() -> nn.Module:
        torch.manual_seed(11)
        return LAYERS[name]()

    return build
