"""Builds the track-finding network: an interaction network that scores the edges of a graph of hits.

The family is that of HEP.TrkX (arXiv 1810.06111), Exa.TrkX (arXiv 2103.06995) and the interaction network of
arXiv 2103.16701: encode nodes and edges, let them exchange messages a few times, then classify every edge.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.nn import MetaLayer
from torch_geometric.utils import scatter

__all__ = ["PHI_SCALE", "RADIUS_SCALE_MM", "Z_SCALE_MM", "TrackGNN", "build"]

RADIUS_SCALE_MM = 1000.0
PHI_SCALE = 3.141592653589793  # radians: scaled phi lies between -1 and 1
Z_SCALE_MM = 1000.0

HIDDEN = 24
ITERATIONS = 3
NODE_INPUTS = 4  # r, cos(phi), sin(phi), z
EDGE_INPUTS = 5  # dr, dphi, dz, dphi/dr, z at the beam line
# units, in scaled coordinates, that make these five of order one for candidate segments
STEP_UNIT, TURN_UNIT, RISE_UNIT, SLOPE_UNIT, ORIGIN_UNIT = 1 / 5, 1 / 20, 1 / 5, 1 / 15, 1 / 30
SHORTEST_STEP = 0.02  # scaled radius (20 mm); layers are further gap, any other edge is kept finite by it


class TrackGNN(nn.Module):
    """Scores the edges of a graph of hits: near 1 if both hits are consecutive hits of one particle."""

    def __init__(self, hidden: int = HIDDEN, iterations: int = ITERATIONS) -> None:
        """Create the untrained network with ``hidden`` features per node and edge and ``iterations`` exchanges of messages."""
        super().__init__()
        self.encode_node = _perceptron(NODE_INPUTS, hidden)
        self.encode_edge = _perceptron(EDGE_INPUTS, hidden)
        layers = [MetaLayer(_EdgeUpdate(hidden), _NodeUpdate(hidden)) for _ in range(iterations)]
        self.layers = nn.ModuleList(layers)
        self.classify = nn.Sequential(nn.Linear(2 * hidden, hidden), nn.Tanh(), nn.Linear(hidden, 1))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Return the scores, shape [edge], between 0 and 1.

        Args:
            x: float32 [node, 3]: cylindrical coordinates r, phi, z of the hits in units of 1000 mm, pi and 1000 mm.
            edge_index: int64 [2, edge]: rows of ``x``; first the inner, then the outer hit. There may be no edge.
        """
        return torch.sigmoid(self.logits(x, edge_index))

    def logits(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Return the scores before the sigmoid, shape [edge], which is what a loss is best computed from."""
        angle = PHI_SCALE * x[:, 1:2]
        nodes = self.encode_node(torch.cat([x[:, 0:1], torch.cos(angle), torch.sin(angle), x[:, 2:3]], dim=1))
        first = self.encode_edge(_edge_geometry(x[edge_index[0]], x[edge_index[1]]))
        edges = first
        for layer in self.layers:
            nodes, edges, _ = layer(nodes, edge_index, edges)
        return self.classify(torch.cat([edges, first], dim=1))[:, 0]


class _EdgeUpdate(nn.Module):
    """The edge model of a MetaLayer: adds to each edge what its two hits and its own state say."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.update = _perceptron(3 * hidden, hidden)

    def forward(self, inner: Tensor, outer: Tensor, edges: Tensor, state: Tensor | None, batch: Tensor | None) -> Tensor:
        """Return the new edge features; all tensors have shape [edge, hidden]; ``state`` and ``batch`` are not used."""
        return edges + self.update(torch.cat([inner, outer, edges], dim=1))


class _NodeUpdate(nn.Module):
    """The node model of a MetaLayer: adds to each hit the summed messages from inside and from outside, kept gap."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.update = _perceptron(3 * hidden, hidden)

    def forward(self, nodes: Tensor, edge_index: Tensor, edges: Tensor, state: Tensor | None, batch: Tensor | None) -> Tensor:
        """Return the new node features [node, hidden]; ``state`` and ``batch`` are not used."""
        from_inside = scatter(edges, edge_index[1], dim=0, dim_size=nodes.size(0), reduce="sum")
        from_outside = scatter(edges, edge_index[0], dim=0, dim_size=nodes.size(0), reduce="sum")
        return nodes + self.update(torch.cat([nodes, from_inside, from_outside], dim=1))


def build() -> nn.Module:
    """Return the untrained network in evaluation mode; its weights come from ``track_gnn.pt``."""
    return TrackGNN().eval()


def _edge_geometry(inner: Tensor, outer: Tensor) -> Tensor:
    """What a helix from the beam line constrains, shape [edge, 5], from the scaled coordinates [edge, 3] of both hits.

    These are the differences in r, phi and z; dphi/dr, which is proportional to the curvature and so to 1/pT; and z of
    the straight line through both hits at r = 0. phi is periodic: the difference is brought back to [-1, 1].
    """
    radius, turn, height = (outer - inner).unbind(dim=1)
    turn = turn - 2.0 * torch.round(turn / 2.0)
    step = torch.clamp(radius, min=SHORTEST_STEP)
    slope, origin = turn / step, inner[:, 2] - inner[:, 0] * height / step
    columns = (radius / STEP_UNIT, turn / TURN_UNIT, height / RISE_UNIT, slope / SLOPE_UNIT, origin / ORIGIN_UNIT)
    return torch.stack(columns, dim=1)


def _perceptron(inputs: int, outputs: int) -> nn.Sequential:
    """Two layers; tanh, as in HEP.TrkX, keeps every message between -1 and 1 however many edges a hit has."""
    return nn.Sequential(nn.Linear(inputs, outputs), nn.Tanh(), nn.Linear(outputs, outputs), nn.Tanh())
