"""Modules of PyTorch that draw random numbers, and honest ones that seem to: each with the operation that is to be named."""

from __future__ import annotations

import random

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["HONEST", "RANDOM"]

GLOBAL = np.random.default_rng(5)
RARE = 1e-4  # probability of what no number of repeated calls would show


class Base(nn.Module):
    """What the models below are made of."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 4)
        self.drop = nn.Dropout(0.5)
        self.generator = torch.Generator().manual_seed(1)
        self.rng, self.old, self.plain = np.random.default_rng(0), np.random.RandomState(1), random.Random(3)


class FunctionalDropout(Base):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(self.layer(x), 0.3)


class AlphaDropout(Base):
    def forward(self, x: Tensor) -> Tensor:
        return F.alpha_dropout(x, 0.3, training=True)


class LeftInTraining(Base):
    def forward(self, x: Tensor) -> Tensor:
        self.drop.train()
        return self.drop(self.layer(x))


class Reparametrised(Base):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randn_like(x) * 0.1


class Sampled(Base):
    def forward(self, x: Tensor) -> Tensor:
        return torch.distributions.Normal(x, torch.ones_like(x)).sample()


class Gumbel(Base):
    def forward(self, x: Tensor) -> Tensor:
        return F.gumbel_softmax(self.layer(x), hard=True)


class Multinomial(Base):
    def forward(self, x: Tensor) -> Tensor:
        return torch.multinomial(x.softmax(-1), 2)


class Bernoulli(Base):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.bernoulli(torch.full_like(x, 0.5))


class Shuffled(Base):
    def forward(self, x: Tensor) -> Tensor:
        return x[torch.randperm(x.shape[0])]


class RRelu(Base):
    def forward(self, x: Tensor) -> Tensor:
        return F.rrelu(-x.abs(), training=True)


class FractionalPool(Base):
    def forward(self, x: Tensor) -> Tensor:
        return F.fractional_max_pool2d(x[None, None], 2, output_size=(3, 2))


class AttentionDropout(Base):
    def forward(self, x: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(x[None], x[None], x[None], dropout_p=0.2)


class WrittenInPlace(Base):
    def forward(self, x: Tensor) -> Tensor:
        copy = x.clone()
        copy[:, 0].normal_()
        return copy


class RareBranch(Base):
    def forward(self, x: Tensor) -> Tensor:
        return x * (torch.rand(()) > RARE).float()


class RareNumber(Base):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if torch.rand(2).tolist()[0] < RARE else x


class Tiny(Base):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand_like(x) * 1e-9


class OwnGenerator(Base):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand(4, generator=self.generator)


class LargeOnly(Base):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x) if x.shape[0] > 7 else x


class NumpyRare(Base):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if np.random.rand() < RARE else x


class PythonRare(Base):
    def forward(self, x: Tensor) -> Tensor:
        return x if random.random() < 1 - RARE else x * 2


class HeldNumpy(Base):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if self.rng.random() < RARE else x


class HeldOld(Base):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if self.old.rand() < RARE else x


class HeldPython(Base):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if self.plain.random() < RARE else x


class HeldByTheFile(Base):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if GLOBAL.random() < RARE else x


class Unseeded(Base):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if np.random.default_rng().random() < RARE else x


class Evaluated(Base):
    def forward(self, x: Tensor) -> Tensor:
        return F.rrelu(F.dropout(self.drop(self.layer(x)), 0.5, training=self.training))


class Attention(Base):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, dropout=0.3)
        self.encoder = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.3, batch_first=True)
        self.recurrent = nn.LSTM(4, 4, 2, dropout=0.3)

    def forward(self, x: Tensor) -> Tensor:
        attended, _ = self.attention(x, x, x)
        return self.recurrent(self.encoder(attended[None])[0])[0]


class Unused(Base):
    def forward(self, x: Tensor) -> Tensor:
        torch.randperm(5)
        random.random()
        np.random.normal()
        return self.layer(x) + torch.zeros_like(torch.rand(4))


class LayerDrop(Base):
    def forward(self, x: Tensor) -> Tensor:
        chance = torch.rand([])
        return x if self.training and chance < 0.1 else self.layer(x)


class SeededInForward(Base):
    def forward(self, x: Tensor) -> Tensor:
        torch.manual_seed(0)
        return x + torch.rand_like(x) + torch.rand(4, generator=torch.Generator().manual_seed(3))


class SeededNumpy(Base):
    def forward(self, x: Tensor) -> Tensor:
        np.random.seed(3)
        more = np.random.normal() + np.random.default_rng(0).normal() + np.random.RandomState(2).normal()
        return x + more


class LazilySeeded(Base):
    """Draws once, at its first call."""

    def __init__(self) -> None:
        super().__init__()
        self.table: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.table is None:
            self.table = torch.rand(4)
        return x + self.table


RANDOM: dict[type[Base], str] = {
    FunctionalDropout: "aten.bernoulli_ .*F.dropout.*training=self.training",
    AlphaDropout: "aten.bernoulli_",
    LeftInTraining: "in layer 'drop' .*keep layer 'drop' in evaluation mode",
    Reparametrised: "aten.randn_like .random_torch.py, line .*torch.randn_like.*forward.self, x, noise",
    Sampled: r"aten.normal\w* .*distributions.Normal",
    Gumbel: "aten.exponential_ .*gumbel_softmax",
    Multinomial: "aten.multinomial",
    Bernoulli: "aten.bernoulli ",
    Shuffled: "aten.randperm",
    RRelu: "aten.rrelu_with_noise .*F.rrelu",
    FractionalPool: "aten.rand ",
    AttentionDropout: "aten.bernoulli_ ",
    WrittenInPlace: "aten.normal_ ",
    RareBranch: "aten.rand ",
    RareNumber: "aten.rand ",
    Tiny: "aten.rand_like",
    OwnGenerator: "aten.rand ",
    LargeOnly: "aten.bernoulli_",
    NumpyRare: "numpy.random .its global generator.*line .*np.random.rand",
    PythonRare: "random .its global generator.*line .*random.random",
    HeldNumpy: "a Generator that the model holds .*self.rng.random",
    HeldOld: "a RandomState that the model holds .*self.old.rand",
    HeldPython: "a Random that the model holds .*self.plain.random",
    HeldByTheFile: "a Generator that the model holds .*GLOBAL.random",
    Unseeded: "default_rng.. without a seed .*np.random.default_rng",
}
HONEST: tuple[type[Base], ...] = (Evaluated, Attention, Unused, LayerDrop, SeededInForward, SeededNumpy, LazilySeeded)
