"""Graph networks of the tests, in PyTorch Geometric, with fixed weights."""

import torch
from torch import Tensor, nn
from torch_geometric.nn import EdgeConv, GATv2Conv, SAGEConv, global_add_pool, global_mean_pool


class Pooled(nn.Module):
    """Three kinds of convolution, then one row per graph."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.sage = SAGEConv(3, 8, aggr="max")
        self.attention = GATv2Conv(8, 4, heads=2)
        self.edge = EdgeConv(nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 8)), aggr="max")
        self.out = nn.Linear(8, 2)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> dict[str, Tensor]:
        x = self.sage(x, edge_index).relu()
        x = self.attention(x, edge_index).relu()
        x = self.edge(x, edge_index)
        return {"mean": self.out(global_mean_pool(x, batch)), "sum": self.out(global_add_pool(x, batch))}


def pooled() -> nn.Module:
    return Pooled()
