"""PyTorch modules that change themselves when they are called: those whose later answers depend on it, and honest ones."""

from __future__ import annotations

import collections
import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HARMFUL: dict[str, tuple[Callable[[], nn.Module], str]] = {}
HARMLESS: dict[str, Callable[[], nn.Module]] = {}
CALLS = {"n": 0}
LAST: Any = None


class Base(nn.Module):
    """A layer with fixed weights."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.line = nn.Linear(4, 4)
        self.prepare()

    def prepare(self) -> None:
        """Add what a model has beside its layer."""

    def forward(self, x: Tensor) -> Tensor:
        return self.line(x)


def harmful(place: str) -> Callable[[type[nn.Module]], type[nn.Module]]:
    """Register a module of which this place is to be named."""

    def register(kind: type[nn.Module]) -> type[nn.Module]:
        HARMFUL[kind.__name__] = kind, place
        return kind

    return register


def harmless(kind: type[nn.Module]) -> type[nn.Module]:
    HARMLESS[kind.__name__] = kind
    return kind


@harmful("buffer 'past'")
class Delay(Base):
    """Its state reaches an answer after 512 rows only."""

    def prepare(self) -> None:
        self.register_buffer("past", torch.zeros(512, 4))

    def forward(self, x: Tensor) -> Tensor:
        full = torch.cat([self.past, x])
        self.past.copy_(full[-512:])
        return x - full[: x.shape[0]]


@harmful("buffer 'peak'")
class Peak(Base):
    def prepare(self) -> None:
        self.register_buffer("peak", torch.full((4,), 1e-3))

    def forward(self, x: Tensor) -> Tensor:
        self.peak.copy_(torch.maximum(self.peak, x.abs().amax(0)))
        return x / self.peak


@harmful("buffer 'peak'")
class PeakNotPassed(Peak):
    """No sample exceeds it: what is written is what was there."""

    def prepare(self) -> None:
        self.register_buffer("peak", torch.full((4,), 1e3))


@harmful("parameter 'shift'")
class ActNorm(Base):
    def prepare(self) -> None:
        self.done = False
        self.shift = nn.Parameter(torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        if not self.done:
            with torch.no_grad():
                self.shift.copy_(x.mean(0))
            self.done = True
        return x - self.shift


@harmful("buffer 'queue'")
class Queue(Base):
    """Replaced, not changed in place, and used in a later call only."""

    def prepare(self) -> None:
        self.register_buffer("queue", torch.zeros(4, 4))

    def forward(self, x: Tensor) -> Tensor:
        self.queue = torch.cat([self.queue, x])[-4:]
        return x + self.queue.mean(0)


@harmful("buffer 'calls'")
class LateBuffer(Base):
    def prepare(self) -> None:
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.line(x) * torch.where(self.calls > 5000, 0.5, 1.0)


@harmful("buffer 'calls'")
class LateItem(LateBuffer):
    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.line(x) * (2 if self.calls.item() == 7777 else 1)


@harmful("attribute 'stats['calls']'")
class LateAttribute(Base):
    def prepare(self) -> None:
        self.stats = {"calls": 0}

    def forward(self, x: Tensor) -> Tensor:
        self.stats["calls"] += 1
        return self.line(x) * (0 if self.stats["calls"] % 2500 == 0 else 1)


@harmful("attribute 'past'")
class LateList(Base):
    def prepare(self) -> None:
        self.past: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.past.append(x.mean(0))
        return self.line(x) - (self.past.pop(0) if len(self.past) > 3000 else 0)


@harmful("attribute 'past'")
class MeanOfDeque(Base):
    def prepare(self) -> None:
        self.past: collections.deque[Tensor] = collections.deque(maxlen=5)

    def forward(self, x: Tensor) -> Tensor:
        self.past.append(x.mean(0))
        return x - torch.stack(list(self.past)).mean(0)


@harmful("buffer 'mean'")
class UnseenByVersions(Base):
    """Written through ``.data``, which counts no version."""

    def prepare(self) -> None:
        self.register_buffer("mean", torch.zeros(300, 300))

    def forward(self, x: Tensor) -> Tensor:
        self.mean.data.mul_(0.9).add_(x.mean())
        return self.line(x) - self.mean[0, 0]


@harmful("attribute 'total'")
class NumpyArray(Base):
    def prepare(self) -> None:
        self.total = torch.zeros(4).numpy()

    def forward(self, x: Tensor) -> Tensor:
        self.total += x.mean(0).numpy()
        return self.line(x) - torch.from_numpy(self.total.copy())


@harmful("buffer 'code'")
class Codebook(Base):
    def prepare(self) -> None:
        self.register_buffer("code", torch.randn(8, 4))

    def forward(self, x: Tensor) -> Tensor:
        nearest = torch.cdist(x, self.code).argmin(1)
        self.code.data.mul_(0.99).add_(F.one_hot(nearest, 8).float().T @ x, alpha=0.01)
        return self.code[nearest]


@harmful("buffer 'fake.activation_post_process.max_val' of MovingAverageMinMaxObserver")
class Observed(Base):
    """Fake quantisation whose observer still watches."""

    def prepare(self) -> None:
        watch = torch.ao.quantization
        self.fake = watch.FakeQuantize(observer=watch.MovingAverageMinMaxObserver, quant_min=0, quant_max=255)

    def forward(self, x: Tensor) -> Tensor:
        return self.fake(self.line(x))


@harmful("buffer 'keys' of KeyValueCache, attribute 'used'")
class KeyValueCache(Base):
    def prepare(self) -> None:
        self.register_buffer("keys", torch.zeros(4096, 4))
        self.used = 0

    def forward(self, x: Tensor) -> Tensor:
        self.keys[self.used : self.used + len(x)] = x
        self.used += len(x)
        return torch.softmax(x @ self.keys[: self.used].T, -1) @ self.keys[: self.used]


@harmful("parameter 'line.weight' of Linear")
class DriftingWeights(Base):
    def forward(self, x: Tensor) -> Tensor:
        answer = self.line(x)
        self.line.weight.data = self.line.weight.data * 1.0001
        return answer


@harmful("buffer 'norm.running_mean'")
class StatisticsUpdatedThenUsed(Base):
    def prepare(self) -> None:
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        F.batch_norm(x, self.norm.running_mean, self.norm.running_var, training=True, momentum=0.1)
        return self.norm(x)


@harmful("attribute 'hidden'")
class HiddenState(Base):
    def prepare(self) -> None:
        self.cell = nn.GRU(4, 4, batch_first=True)
        self.hidden: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        answer, self.hidden = self.cell(x[None], self.hidden)
        return answer[0]


@harmful("attribute 'drop.training' of Dropout")
class LeftInTraining(Base):
    def prepare(self) -> None:
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        answer = self.drop(self.line(x))
        self.drop.train()
        return answer


@harmful("attribute 'means[6]'")
class CacheOfTheWrongKey(Base):
    """Kept by the number of rows, though it depends on the rows."""

    def prepare(self) -> None:
        self.means: dict[int, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        if len(x) not in self.means:
            self.means[len(x)] = x.mean(0)
        return self.line(x) - self.means[len(x)]


@harmful("attribute 'longest' of LongestSeen, attribute 'scale'")
class LongestSeen(Base):
    """Rescaled by the longest request so far: only a longer one shows it."""

    def prepare(self) -> None:
        self.longest = 8
        self.scale = torch.ones(4)

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > self.longest:
            self.longest = len(x)
            self.scale = torch.ones(4) * 8 / len(x)
        return self.line(x) * self.scale


@harmful("class attribute 'ClassAttribute.count'")
class ClassAttribute(Base):
    count = 0

    def forward(self, x: Tensor) -> Tensor:
        type(self).count += 1
        return self.line(x) * (1 + (type(self).count > 3))


@harmful("global variable 'CALLS['n']'")
class GlobalVariable(Base):
    def forward(self, x: Tensor) -> Tensor:
        CALLS["n"] += 1
        return self.line(x) * CALLS["n"]


@harmful("global variable 'LAST'")
class GlobalName(Base):
    def forward(self, x: Tensor) -> Tensor:
        global LAST
        answer = self.line(x) if LAST is None else self.line(x) + LAST
        LAST = x.mean()
        return answer


def _counting_hook() -> Callable[..., Tensor]:
    calls = 0

    def hook(module: nn.Module, given: Any, answer: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return answer * calls

    return hook


@harmful("variable 'calls' of _counting_hook.<locals>.hook")
class Closure(Base):
    def prepare(self) -> None:
        self.line.register_forward_hook(_counting_hook())


class Counter:
    __slots__ = ("calls",)

    def __init__(self) -> None:
        self.calls = 0


@harmful("attribute 'counter.calls'")
class PlainObject(Base):
    def prepare(self) -> None:
        self.counter = Counter()

    def forward(self, x: Tensor) -> Tensor:
        self.counter.calls += 1
        return self.line(x) + self.counter.calls


@harmful("attribute 'numbers'")
class Generator(Base):
    def prepare(self) -> None:
        self.numbers: Iterator[int] = (number for number in itertools.count(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.line(x) * next(self.numbers)


@harmless
class Nothing(Base):
    pass


@harmless
class CountedBuffer(Base):
    def prepare(self) -> None:
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.line(x)


@harmless
class CountedForTheLog(Base):
    def prepare(self) -> None:
        self.calls, self.rows, self.seconds = 0, 0, 0.0
        self.log: list[str] = []

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.rows += len(x)
        self.seconds += 0.1
        if self.calls % 100 == 0:
            self.log.append(f"{self.calls} calls")
        return self.line(x)


@harmless
class LastAttention(Base):
    def prepare(self) -> None:
        self.last_attention: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.last_attention = torch.softmax(x @ x.T, -1)
        return self.last_attention @ self.line(x)


@harmless
class Features(Base):
    """A hook that keeps what a layer gave."""

    def prepare(self) -> None:
        self.features: dict[str, Tensor] = {}
        self.line.register_forward_hook(lambda module, given, answer: self.features.update(line=answer.detach()))


@harmless
class Rotary(Base):
    """Tables made longer where a request is longer than all before."""

    def prepare(self) -> None:
        self.register_buffer("frequencies", torch.rand(4))
        self.make(2)

    def make(self, length: int) -> None:
        self.longest = length
        angles = torch.outer(torch.arange(length).float(), self.frequencies)
        self.register_buffer("cosines", angles.cos(), persistent=False)
        self.register_buffer("sines", angles.sin(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[0] > self.longest:
            self.make(x.shape[0])
        return self.line(x) * self.cosines[: x.shape[0]] + self.sines[: x.shape[0]]


@harmless
class MasksBySize(Base):
    def prepare(self) -> None:
        self.masks: dict[Any, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        key = (len(x), x.dtype)
        if key not in self.masks:
            self.masks[key] = torch.triu(torch.full((len(x), len(x)), float("-inf"), dtype=x.dtype), 1)
        return torch.softmax(x @ x.T + self.masks[key], -1) @ self.line(x)


@harmless
class CachedFunction(Base):
    @functools.lru_cache(maxsize=8)  # noqa: B019
    def table(self, length: int) -> Tensor:
        return torch.arange(length).float().sin()[:, None]

    def forward(self, x: Tensor) -> Tensor:
        return self.line(x) + self.table(len(x))


@harmless
class Workspace(Base):
    """Overwritten before it is read."""

    def prepare(self) -> None:
        self.register_buffer("space", torch.zeros(5000, 4))

    def forward(self, x: Tensor) -> Tensor:
        part = self.space[: len(x)]
        part.copy_(x)
        return self.line(part)


@harmless
class BatchStatistics(Base):
    """Batch normalisation that never uses the running statistics that it updates."""

    def prepare(self) -> None:
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        self.norm.train()
        return self.norm(self.line(x))


@harmless
class OldWeightNorm(Base):
    def prepare(self) -> None:
        self.line = nn.Sequential(nn.utils.weight_norm(nn.Linear(4, 4)), nn.utils.spectral_norm(nn.Linear(4, 4)))


@harmless
class ClippedWeights(Base):
    def forward(self, x: Tensor) -> Tensor:
        self.line.weight.data.clamp_(-0.1, 0.1)
        return self.line(x)


@harmless
class UsageCounts(Base):
    def prepare(self) -> None:
        self.register_buffer("counts", torch.zeros(4))
        self.register_buffer("unset", torch.full((4,), float("nan")))

    def forward(self, x: Tensor) -> Tensor:
        gates = self.line(x).softmax(-1)
        self.counts = self.counts + F.one_hot(gates.argmax(-1), 4).sum(0)
        return gates


@harmless
class RingForTheLog(Base):
    def prepare(self) -> None:
        self.ring, self.place = [0.0] * 16, 0

    def forward(self, x: Tensor) -> Tensor:
        answer = self.line(x)
        self.ring[self.place] = float(answer.mean())
        self.place = (self.place + 1) % 16
        return answer


@harmless
class Random(Base):
    """Randomness is no state, also beside a counter and with a generator of its own."""

    def prepare(self) -> None:
        self.calls = 0
        self.generator = torch.Generator().manual_seed(1)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return F.dropout(self.line(x), 0.3) + torch.rand(4, generator=self.generator)


@harmless
class Lazy(Base):
    def prepare(self) -> None:
        self.line = nn.Sequential(nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.LazyLinear(2))


def rotary() -> nn.Module:
    return Rotary()


def delay() -> nn.Module:
    return Delay()


def act_norm() -> nn.Module:
    return ActNorm()


def queue() -> nn.Module:
    return Queue()
