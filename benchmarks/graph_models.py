"""Graph networks of the usual kinds, 64 channels wide, for `benchmarks/graph_networks.py`."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch_geometric.nn import EdgeConv, GATConv, GINConv, PNAConv, SAGEConv

INPUTS, WIDTH, OUTPUTS, NEIGHBOURS = 8, 64, 2, 16


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


class Dynamic(nn.Module):
    """A dynamic edge convolution in plain PyTorch: each node's nearest neighbours, an edge network over both ends, the maximum.

    Twin of PyTorch Geometric's DynamicEdgeConv, whose neighbours need pyg-lib.
    """

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.edge = mlp(2 * inputs, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Answer one cloud of points."""
        neighbours = torch.cdist(x, x).topk(NEIGHBOURS, largest=False).indices
        here = x.unsqueeze(1).expand(-1, NEIGHBOURS, -1)
        return self.edge(torch.cat([here, x[neighbours] - here], dim=-1)).amax(1)


class Grav(nn.Module):
    """GravNet in plain PyTorch: neighbours in a learned space, what they send weighted by distance, mean and maximum."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.place, self.send = nn.Linear(inputs, 4), nn.Linear(inputs, WIDTH)
        self.skip, self.out = nn.Linear(inputs, WIDTH, bias=False), nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Answer one cloud of points."""
        place, sent = self.place(x), self.send(x)
        gap, neighbours = torch.cdist(place, place).topk(NEIGHBOURS, largest=False)
        message = sent[neighbours] * torch.exp(-10.0 * gap.square()).unsqueeze(-1)
        return self.skip(x) + self.out(torch.cat([message.mean(1), message.amax(1)], dim=-1))


class Cloud(nn.Module):
    """Two layers over a cloud of points, and a linear head: ``x`` (nodes, 8) -> (nodes, 2)."""

    def __init__(self, layer: type[nn.Module]) -> None:
        super().__init__()
        self.first, self.second, self.head = layer(INPUTS), layer(WIDTH), nn.Linear(WIDTH, OUTPUTS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Answer one cloud of points."""
        return self.head(torch.relu(self.second(torch.relu(self.first(x)))))


def dynamic() -> nn.Module:
    """Edge convolutions over the nearest neighbours."""
    return Cloud(Dynamic)


def gravnet() -> nn.Module:
    """GravNet."""
    return Cloud(Grav)


def particlenet() -> nn.Module:
    """ParticleNet of weaver-core at its published size.

    Shapes: ``points`` (jets, 2, particles), ``features`` (jets, 8, particles), ``mask`` (jets, 1, particles) -> (jets, 2).
    """
    from weaver.nn.model.ParticleNet import ParticleNet

    return ParticleNet(INPUTS, OUTPUTS)


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
