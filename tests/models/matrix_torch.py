"""PyTorch architectures of the matrix: every factory takes no argument and returns an nn.Module with fixed weights."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Cnn(nn.Module):
    """Left in training mode on purpose: batch norm and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.5), nn.Conv2d(4, 6, 3)
        )
        self.head = nn.Linear(6, 3)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.body(image).mean((2, 3)))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8))
        self.two = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))
        self.short = nn.Conv2d(3, 8, 1, stride=2)
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.two(torch.relu(self.one(x))) + self.short(x))
        return self.pool(y).flatten(1)


class Upsample(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv1d(2, 4, 4, stride=2, padding=1)
        self.up = nn.ConvTranspose1d(4, 2, 4, stride=2, padding=1)
        self.norm = nn.GroupNorm(2, 4)

    def forward(self, wave: Tensor) -> Tensor:
        return self.up(nn.functional.gelu(self.norm(self.down(wave))))


class Recurrent(nn.Module):
    def __init__(self, cell: Callable[..., nn.Module], **more: Any) -> None:
        super().__init__()
        self.cell = cell(3, 5, batch_first=True, **more)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        sequence, state = self.cell(x)
        return {"sequence": sequence, "last": state[0] if isinstance(state, tuple) else state}


class LstmScript(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTM(3, 5, batch_first=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        sequence, state = self.cell(x)
        return sequence, state[0]


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.embed = nn.Linear(3, 8)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, tracks: Tensor, mask: Tensor) -> Tensor:
        x = self.encoder(self.embed(tracks), src_key_padding_mask=~mask)
        weight = mask.to(x.dtype).unsqueeze(-1)
        return (x * weight).sum(1) / weight.sum(1).clamp(min=1)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, query: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        return self.attention(query, memory, memory)


class Bag(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(11, 4, mode="sum")

    def forward(self, words: Tensor) -> Tensor:
        return self.bag(words)


class Packed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(3, 5, batch_first=True)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        output, last = self.gru(packed)
        return pad_packed_sequence(output, batch_first=True, total_length=x.shape[1])[0], last


class Cond(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cond(x.sum() > 0, lambda t: t + 1.0, lambda t: t * 2.0, (x,))


class Branch(nn.Module):
    """The same sign in every sample: only the exporter can see the branch."""

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 1000.0:
            return x + 1.0
        return x - 1.0


class Loop(nn.Module):
    def forward(self, x: Tensor, steps: Tensor) -> Tensor:
        for _ in range(int(steps)):
            x = x * 0.5
        return x


class Half(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4).half()

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.linear(x))


class DoubleLinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 2).double()

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.linear(x))


class Pair(NamedTuple):
    scores: Tensor
    best: Tensor


class Fields(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> dict[str, Any]:
        scores = self.linear(x)
        return {"pair": Pair(scores=scores.softmax(-1), best=scores.argmax(-1)), "sums": [x.sum(1), x.sum()]}


class ScriptedIf(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = self.linear(x)
        if bool(x.sum() > 0):  # noqa: SIM108 (TorchScript)
            y = y + 1.0
        else:
            y = y - 1.0
        return {"y": y, "a": x.sum(1)}


class DeepSet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.phi = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8))
        self.rho = nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.phi(x)
        return self.rho(torch.cat([h.mean(0), h.amax(0)]))


class Knn(nn.Module):
    """A dynamic graph from the nearest neighbours in the plane, as ParticleNet builds it."""

    def __init__(self, k: int = 3) -> None:
        super().__init__()
        self.k = k
        self.edge = nn.Linear(6, 5)

    def forward(self, points: Tensor) -> Tensor:
        distance = (points.unsqueeze(2) - points.unsqueeze(1)).square().sum(-1)
        near = distance.topk(self.k, dim=-1, largest=False).indices
        index = near.flatten(1).unsqueeze(-1).expand(-1, -1, 3)
        others = points.gather(1, index).view(points.shape[0], points.shape[1], self.k, 3)
        centre = points.unsqueeze(2).expand_as(others)
        return self.edge(torch.cat([centre, others - centre], -1)).amax(2)


class Huge(nn.Module):
    """A table of 2.2 GB."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding.from_pretrained(torch.arange(8_600_000 * 64, dtype=torch.float32).view(-1, 64))

    def forward(self, index: Tensor) -> Tensor:
        return self.table(index)


class Function(nn.Module):
    """One function of tensors, as a module whose inputs bear the function's names."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.forward = function  # type: ignore[method-assign]


def _topk(x: Tensor) -> dict[str, Tensor]:
    values, indices = x.topk(3, dim=1)
    return {"values": values, "indices": indices}


def _unique(kind: Tensor) -> tuple[Tensor, Tensor]:
    values, inverse = torch.unique(kind, return_inverse=True)
    return values, inverse


def _grid_sample(image: Tensor, grid: Tensor) -> Tensor:
    return nn.functional.grid_sample(image, grid, align_corners=False)


def _integers(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return a * 2 + b, a // 3, a % 3


def _booleans(x: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
    return (x > 0) & keep, torch.where(keep, x, torch.zeros_like(x))


def _stft(wave: Tensor) -> Tensor:
    return torch.stft(wave, 16, hop_length=4, window=torch.hann_window(16), return_complex=True).abs()


def _index_add(x: Tensor, index: Tensor) -> Tensor:
    return torch.zeros_like(x).index_add(0, index, x)


def _scatter(x: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    where = index.unsqueeze(-1).expand_as(x)
    zeros = torch.zeros_like(x)
    return zeros.scatter_reduce(0, where, x, "amax", include_self=False), zeros.scatter_reduce(0, where, x, "mean")


def _sorting(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    order = torch.argsort(x, dim=1, stable=True)
    return x.gather(1, order), order, x.cumsum(1)


def _interpolate(image: Tensor) -> Tensor:
    return nn.functional.interpolate(image, scale_factor=2.0, mode="bilinear", align_corners=False)


def _masked_softmax(x: Tensor, mask: Tensor) -> Tensor:
    return x.masked_fill(~mask, float("-inf")).softmax(-1).nan_to_num()


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "topk": _topk,
    "nonzero": lambda x: (x > 0).nonzero(),
    "unique": _unique,
    "grid_sample": _grid_sample,
    "einsum": lambda a, b: torch.einsum("bic,bjc->bij", a, b),
    "integers": _integers,
    "booleans": _booleans,
    "scalars": lambda x: (x.sum(), x.mean(), (x > 0).sum()),
    "rfft": lambda wave: torch.fft.rfft(wave).abs(),
    "stft": _stft,
    "index_add": _index_add,
    "scatter": _scatter,
    "cdist": lambda a, b: torch.cdist(a, b),
    "inverse": lambda matrix: torch.linalg.inv(matrix),
    "cumprod": lambda x: torch.cumprod(x, 1),
    "sorting": _sorting,
    "interpolate": _interpolate,
    "masked_softmax": _masked_softmax,
    "untied": lambda a, b: a.sum(0) + b.sum(0),
    "tied": lambda a, b: (a * b).sum(1),
    "outer": lambda a, b: a.unsqueeze(1) - b.unsqueeze(0),
    "logsumexp": lambda x: (torch.logsumexp(x, 1), nn.functional.normalize(x, dim=1)),
}
MODULES: dict[str, Callable[[], nn.Module]] = {
    "cnn": Cnn,
    "residual": Residual,
    "upsample": Upsample,
    "lstm": lambda: Recurrent(nn.LSTM),
    "lstm_script": LstmScript,
    "gru": lambda: Recurrent(nn.GRU),
    "bidirectional": lambda: Recurrent(nn.LSTM, bidirectional=True, num_layers=2),
    "encoder": Encoder,
    "attention": Attention,
    "bag": Bag,
    "packed": Packed,
    "cond": Cond,
    "branch": Branch,
    "loop": Loop,
    "half": Half,
    "double": DoubleLinear,
    "fields": Fields,
    "scripted_if": ScriptedIf,
    "deep_set": DeepSet,
    "knn": Knn,
    "huge": Huge,
}


def __getattr__(name: str) -> Callable[[], nn.Module]:
    """Give the factory of a name of the tables, with the same weights at every call."""
    if name not in FUNCTIONS and name not in MODULES:
        raise AttributeError(name)

    def build() -> nn.Module:
        torch.manual_seed(11)
        return Function(FUNCTIONS[name]) if name in FUNCTIONS else MODULES[name]()

    return build
