"""Graph networks of the usual kinds, 64 channels wide, for `benchmarks/graph_networks.py`."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch_geometric.nn import EdgeConv, GATConv, GINConv, PNAConv, SAGEConv

INPUTS, WIDTH, OUTPUTS = 8, 64, 2


def mlp(inputs: int, outputs: int) -> nn.Sequential:
    """Return two linear layers with a ReLU between them."""
    return nn.Sequential(nn.Linear(inputs, WIDTH), nn.ReLU(), nn.Linear(WIDTH, outputs))


class Stack(nn.Module):
    """Two layers and a linear head.

    Shapes: ``x`` (nodes, 8), ``edge_index`` (2, edges) int64 -> (nodes, 2).
    """

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second, self.head = first, second, nn.Linear(WIDTH, OUTPUTS)

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        """Answer one graph."""
        return self.head(torch.relu(self.second(torch.relu(self.first(x, edge_index)), edge_index)))


class Interaction(nn.Module):
    """An interaction network: an edge network over both ends, summed at the receiver, and a node network."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.edge, self.node = mlp(2 * inputs, WIDTH), mlp(inputs + WIDTH, WIDTH)

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        """Answer one graph."""
        sender, receiver = edge_index[0], edge_index[1]
        message = self.edge(torch.cat([x[receiver], x[sender]], dim=-1))
        total = torch.zeros(x.shape[0], WIDTH).index_add(0, receiver, message)
        return self.node(torch.cat([x, total], dim=-1))


def _pna(inputs: int) -> Any:
    degrees = torch.tensor([0, 5, 20, 40, 20, 10])
    return PNAConv(inputs, WIDTH, ["mean", "max", "std"], ["identity", "amplification"], degrees)


def edge_sum() -> nn.Module:
    """EdgeConv with a sum."""
    return Stack(EdgeConv(mlp(2 * INPUTS, WIDTH), aggr="add"), EdgeConv(mlp(2 * WIDTH, WIDTH), aggr="add"))


def edge_mean() -> nn.Module:
    """EdgeConv with a mean."""
    return Stack(EdgeConv(mlp(2 * INPUTS, WIDTH), aggr="mean"), EdgeConv(mlp(2 * WIDTH, WIDTH), aggr="mean"))


def edge_max() -> nn.Module:
    """EdgeConv with a maximum."""
    return Stack(EdgeConv(mlp(2 * INPUTS, WIDTH), aggr="max"), EdgeConv(mlp(2 * WIDTH, WIDTH), aggr="max"))


def interaction() -> nn.Module:
    """Two interaction networks."""
    return Stack(Interaction(INPUTS), Interaction(WIDTH))


def gin() -> nn.Module:
    """GIN."""
    return Stack(GINConv(mlp(INPUTS, WIDTH)), GINConv(mlp(WIDTH, WIDTH)))


def gat() -> nn.Module:
    """GAT with four heads."""
    return Stack(GATConv(INPUTS, WIDTH // 4, heads=4), GATConv(WIDTH, WIDTH // 4, heads=4))


def sage() -> nn.Module:
    """GraphSAGE with a mean."""
    return Stack(SAGEConv(INPUTS, WIDTH), SAGEConv(WIDTH, WIDTH))


def pna() -> nn.Module:
    """A multi-aggregator network."""
    return Stack(_pna(INPUTS), _pna(WIDTH))
