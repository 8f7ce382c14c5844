"""PyTorch models of the tests: every factory takes no argument and returns an nn.Module with fixed weights."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


def _seeded(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(7)
    for parameter in module.parameters():
        with torch.no_grad():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    return module


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Odd(nn.Module):
    """Two inputs, two outputs of odd names, one of them a scalar; bool and int64 tensors; a dynamic length."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 3)

    def forward(self, file: Tensor, kind: Tensor, mask: Tensor) -> dict[str, Tensor]:
        weight = mask.to(file.dtype).unsqueeze(-1)
        rows = (file + self.embed(kind)) * weight
        return {"out/put:0": rows.sum(1), "any ok": mask.any(1), "total": rows.sum(), "kind+1": kind + 1}


class Double(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3).double()

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        return self.linear(a), (a * b).sum()


class Answer(NamedTuple):
    scores: Tensor
    best: Tensor


class Named(nn.Module):
    def forward(self, x: Tensor) -> Answer:
        return Answer(scores=torch.softmax(x, -1), best=x.argmax(-1))


class EdgeNet(nn.Module):
    """A graph network without PyTorch Geometric: gather, transform, sum at the target."""

    def __init__(self) -> None:
        super().__init__()
        self.edge = nn.Linear(6, 8)
        self.node = nn.Linear(11, 2)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        source, target = edge_index[0], edge_index[1]
        messages = torch.relu(self.edge(torch.cat([x[source], x[target]], 1)))
        summed = torch.zeros(x.shape[0], 8, dtype=x.dtype).index_add(0, target, messages)
        return self.node(torch.cat([x, summed], 1))


class WrongElsewhere(nn.Module):
    """Reads the last row by a number that Python computes: the exporters bake it in, right only at the export size."""

    def forward(self, x: Tensor) -> Tensor:
        last = torch.tensor(x.detach().numpy().shape[0] - 1) if not torch.compiler.is_exporting() else torch.tensor(4)
        return x[last] * 2.0


class PairSum(nn.Module):
    """Two inputs whose first axes need not be equal, though they are in the samples."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a.sum(0) + b.sum(0)


class NeedsThree(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.topk(x, 3, dim=0).values.sum(0)


class BatchMean(nn.Module):
    """Rows depend on each other."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0, keepdim=True)


class Branch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return x + 1.0
        return x - 1.0


class NanOnEmpty(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(0)


def mlp() -> nn.Module:
    return _seeded(Mlp())


def odd() -> nn.Module:
    return _seeded(Odd())


def double() -> nn.Module:
    return _seeded(Double())


def named() -> nn.Module:
    return Named()


def edge_net() -> nn.Module:
    return _seeded(EdgeNet())


def wrong_elsewhere() -> nn.Module:
    return WrongElsewhere()


def pair_sum() -> nn.Module:
    return PairSum()


def needs_three() -> nn.Module:
    return NeedsThree()


def batch_mean() -> nn.Module:
    return BatchMean()


def branch() -> nn.Module:
    return Branch()


def nan_on_empty() -> nn.Module:
    return NanOnEmpty()


def no_model() -> Any:
    return 3


def fails() -> Any:
    raise RuntimeError("no such detector")
