"""PyTorch models of the tests whose Python code decides by a size, and their like that are right at every size."""

from typing import Any

import torch
from torch import Tensor, nn

F = nn.functional


class Lead(nn.Module):
    """Keep the leading 200 entries."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[0] > 200:
            x = x[x[:, 0].argsort(descending=True, stable=True)[:200]]
        return x.cumsum(0)[-1:]


class Scale(nn.Module):
    """Another factor for large events, the limit an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.limit = 100

    def forward(self, x: Tensor) -> Tensor:
        return x * (1.0 if x.size(0) < self.limit else 0.5)


class Kernel(nn.Module):
    """A wider kernel for long waves, along axis 1."""

    def forward(self, wave: Tensor) -> Tensor:
        width = 3 if wave.shape[1] <= 150 else 7
        return F.avg_pool1d(wave.unsqueeze(1), width, 1, width // 2).squeeze(1)


class Window(nn.Module):
    """Another formula between 100 and 120 entries alone."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if 100 < x.shape[0] < 120 else x


class Relation(nn.Module):
    """Another sign where there are more tracks than hits."""

    def forward(self, tracks: Tensor, hits: Tensor) -> Tensor:
        if tracks.shape[0] <= hits.shape[0]:
            return tracks.sum(0, keepdim=True) + hits.mean(0, keepdim=True)
        return tracks.sum(0, keepdim=True) - hits.mean(0, keepdim=True)


class Table(nn.Module):
    """Positions from a table of 300 rows."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.linspace(0, 1, 1200).reshape(300, 4))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.table[: x.shape[0]]


class Causal(nn.Module):
    """Attention with a mask of 256 places."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.full((256, 256), float("-inf")).triu(1))

    def forward(self, x: Tensor) -> Tensor:
        n = x.shape[0]
        return (x @ x.T + self.mask[:n, :n]).softmax(-1) @ x


class Blocks(nn.Module):
    """Eight entries to a block: other lengths have no answer."""

    def forward(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0] // 8, 8, 4).sum(1)


class Even(nn.Module):
    """Another formula for odd lengths."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(0, keepdim=True) if x.shape[0] % 2 == 0 else x.sum(0, keepdim=True)


class Chunks(nn.Module):
    """512 entries at a time, in a Python loop."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x[k : k + 512].cumsum(0) for k in range(0, x.shape[0], 512)])


class Messages(nn.Module):
    """Directed messages: the number of atoms as ``len``."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, atoms: Tensor, source: Tensor, target: Tensor) -> Tensor:
        heads = self.linear(atoms)
        return torch.zeros(len(atoms), 4).index_add(0, target, heads[source]) + heads


class Number(nn.Module):
    """The length as a Python number."""

    def forward(self, x: Tensor) -> Tensor:
        return x / int(x.shape[0])


class Hidden(nn.Module):
    """A branch that no tracer sees: it is left out where the model is exported."""

    def forward(self, x: Tensor) -> Tensor:
        if not torch.compiler.is_exporting() and x.shape[0] > 170:
            return x * 2
        return x


class Topk(nn.Module):
    """As many as there are, 16 at most."""

    def forward(self, x: Tensor) -> Tensor:
        return x.topk(min(16, x.shape[0]), dim=0).values


class Pad(nn.Module):
    """Padded up to a multiple of 128."""

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, (0, 0, 0, (-x.shape[0]) % 128)).view(-1, 128, 4).sum(1)


class Bins(nn.Module):
    """The number of bins from the length."""

    def forward(self, x: Tensor) -> Tensor:
        count = max(1, x.shape[0] // 64)
        return x[: x.shape[0] // count * count].reshape(count, -1, 4).amax(1).sum(0, keepdim=True)


class First(nn.Module):
    """The first hundred."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:100].sum(0, keepdim=True)


def _made(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(7)
    for parameter in module.parameters():
        with torch.no_grad():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    return module.eval()


def __getattr__(name: str) -> Any:
    """Return the factory of a model by its name in lower case."""
    kinds = {kind.__name__.lower(): kind for kind in nn.Module.__subclasses__() if kind.__module__ == __name__}
    if name not in kinds:
        raise AttributeError(name)
    return lambda: _made(kinds[name]())
