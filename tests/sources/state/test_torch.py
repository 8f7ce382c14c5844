"""Modules of PyTorch that change themselves: refused where later answers depend on it, else asked as they were loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch_geometric.nn import GATConv, GCNConv, SGConv

from portinf.core.batch import Arrays
from portinf.core.errors import StateError
from portinf.sources.detect import Found, detect
from portinf.sources.model import SourceOptions
from portinf.sources.pytorch.pt2 import ExportedSource
from portinf.sources.pytorch.source import PyTorchSource
from portinf.sources.pytorch.torchscript import TorchScriptSource
from portinf.sources.state.keeper import Keeper
from tests.models import stateful_torch
from tests.models.stateful_torch import HARMFUL, HARMLESS

OPTIONS = SourceOptions(found=Found(format="factory", path=Path("x")))


def questions(*rows: int) -> list[Arrays]:
    rng = np.random.default_rng(0)
    return [{"x": (rng.normal(size=(n, 4)) + 1).astype("float32")} for n in rows or (6, 9, 3, 17, 2, 40)]


def graphs() -> list[Arrays]:
    rng = np.random.default_rng(0)
    sizes = ((6, 14), (9, 30), (4, 8))
    return [{"x": rng.normal(size=(n, 4)).astype("float32"), "edge_index": rng.integers(0, n, (2, e))} for n, e in sizes]


def asked(source: Any, requests: list[Arrays], *, freeze: bool = False) -> Keeper:
    keeper = Keeper(source, freeze=freeze)
    for request in requests:
        keeper.ask(source.infer, request)
    return keeper


@pytest.mark.parametrize("name", HARMFUL)
def test_what_alters_later_answers_is_refused(name: str) -> None:
    build, place = HARMFUL[name]
    with pytest.raises(StateError, match=r"a call (changes|advances) .*(--freeze-state|cannot be reset)") as caught:
        asked(PyTorchSource(build(), OPTIONS), questions())
    assert caught.value.exit_code == 4
    assert place in str(caught.value)


@pytest.mark.parametrize("name", HARMLESS)
def test_counters_and_caches_are_not_refused(name: str) -> None:
    keeper = asked(PyTorchSource(HARMLESS[name](), OPTIONS), questions())
    noted = {
        "CountedBuffer": ["calls"],
        "Rotary": ["cosines", "sines"],
        "Workspace": ["space"],
        "BatchStatistics": ["norm.running_mean", "norm.running_var", "norm.num_batches_tracked"],
        "ClippedWeights": ["line.weight"],
        "UsageCounts": ["counts"],
    }.get(name, [])
    assert len(keeper.notes) == bool(noted)
    assert all(f"'{place}'" in keeper.notes[0] for place in noted)


@pytest.mark.parametrize("name", HARMFUL)
def test_frozen_it_always_answers_as_loaded(name: str) -> None:
    first, repeated = questions(6)[0], questions(9)[0]
    source = PyTorchSource(HARMFUL[name][0](), OPTIONS)
    keeper = Keeper(source, freeze=True)
    if name == "Generator":
        with pytest.raises(StateError, match="cannot be reset"):
            keeper.ask(source.infer, first)
        return
    alone = keeper.ask(source.infer, first)["output_0"]
    keeper.ask(source.infer, repeated)
    np.testing.assert_array_equal(keeper.ask(source.infer, first)["output_0"], alone)
    if name != "PeakNotPassed":
        assert len(keeper.notes) == 1
        assert "--freeze-state: a call changes" in keeper.notes[0]


def test_weights_and_buffers_are_those_of_the_file_after_every_step() -> None:
    source = PyTorchSource(stateful_torch.Delay(), OPTIONS)
    keeper = Keeper(source, freeze=True)
    before = {name: tensor.clone() for name, tensor in source.model.state_dict().items()}
    keeper.ask(source.infer, questions(6)[0])
    with keeper.kept():
        source.infer_double(questions(6)[0])
        source.trace(questions(6)[0])
        source.model(torch.ones(3, 4))
    assert all(torch.equal(before[name], tensor) for name, tensor in source.model.state_dict().items())
    double = [source.infer_double(questions(6)[0])["output_0"] for _ in range(2)]
    np.testing.assert_array_equal(*double)


def test_a_request_that_fails_leaves_nothing_behind() -> None:
    class Fails(stateful_torch.Base):
        def prepare(self) -> None:
            self.calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            if len(x) == 9:
                raise ValueError("nine")
            return self.line(x)

    source = PyTorchSource(Fails(), OPTIONS)
    keeper = asked(source, questions(6))
    with pytest.raises(ValueError, match="nine"):
        keeper.ask(source.infer, questions(9)[0])
    assert source.model.calls == 0


def test_the_message_shows_a_wrapper_that_works() -> None:
    requests = questions(6, 9)
    for build, names in ((stateful_torch.Queue, ["queue"]), (stateful_torch.Peak, ["peak"]), (stateful_torch.Delay, ["past"])):
        with pytest.raises(StateError) as caught:
            asked(PyTorchSource(build(), OPTIONS), questions())
        scope: dict[str, Any] = {"torch": torch, "build": build}
        exec(caught.value.example, scope)
        wrapped, plain = PyTorchSource(scope["WithState"](), OPTIONS), build().eval()
        state = [plain.state_dict()[name].numpy().copy() for name in names]
        assert [declared.name for declared in wrapped.inputs] == ["x", *names]
        for request in requests:
            answer, *state = (
                Keeper(wrapped, freeze=False).ask(wrapped.infer, {**request, **dict(zip(names, state, strict=True))}).values()
            )
            np.testing.assert_array_equal(answer, plain(torch.from_numpy(request["x"])).numpy())


def test_observers_are_told_how_to_be_switched_off() -> None:
    with pytest.raises(StateError, match=r"model\.apply\(torch\.ao\.quantization\.disable_observer\)"):
        asked(PyTorchSource(stateful_torch.Observed(), OPTIONS), questions())
    quiet = stateful_torch.Observed()
    quiet(torch.ones(3, 4))
    quiet.apply(torch.ao.quantization.disable_observer)
    assert not asked(PyTorchSource(quiet, OPTIONS), questions()).notes


def test_one_first_call_that_initialises_is_said_to_be_one() -> None:
    with pytest.raises(StateError, match=r"parameter 'shift' of ActNorm.*Only the first call does so.*in the factory"):
        asked(PyTorchSource(stateful_torch.ActNorm(), OPTIONS), questions())


class Typed(nn.Module):
    """What TorchScript can hold."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = torch.jit.Attribute(0, int)
        self.log = torch.jit.Attribute([], list[float])
        self.register_buffer("mean", torch.zeros(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.mean.mul_(0.9).add_(x.mean(0))
        return x - self.mean


class Scripted(Typed):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        y = x * 2
        if self.calls == 61_234:
            y = x * 3
        return y


class ScriptedLog(Typed):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.log.append(float(x.mean()))
        return x * 2


def _script(module: nn.Module, path: Path) -> None:
    torch.jit.save(torch.jit.script(module.eval()), path)


def _trace(module: nn.Module, path: Path) -> None:
    torch.jit.save(torch.jit.trace(module.eval(), torch.ones(5, 4), check_trace=False), path)


def _program(module: nn.Module, path: Path) -> None:
    shapes = ({0: torch.export.Dim.AUTO},)
    torch.export.save(torch.export.export(module.eval(), (torch.ones(5, 4),), dynamic_shapes=shapes), path)


FILES: list[tuple[Callable[[nn.Module, Path], None], type[nn.Module], str]] = [
    (_script, Typed, "buffer 'mean' of Typed"),
    (_script, Scripted, "attribute 'calls' of Scripted"),
    (_script, ScriptedLog, ""),
    (_trace, stateful_torch.Delay, "buffer 'past' of Delay"),
    (_trace, stateful_torch.CountedBuffer, ""),
    (_program, stateful_torch.Queue, "buffer 'queue'"),
    (_program, stateful_torch.LateBuffer, "buffer 'calls'"),
    (_program, stateful_torch.CountedBuffer, ""),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("save", "kind", "named"), FILES, ids=[f"{save.__name__}-{kind.__name__}" for save, kind, _ in FILES])
def test_torchscript_and_programs(save: Callable[..., None], kind: type[nn.Module], named: str, tmp_path: Path) -> None:
    path = tmp_path / ("model.pt2" if save is _program else "model.pt")
    save(kind(), path)
    options = SourceOptions(found=detect(str(path)))
    source = ExportedSource(options) if save is _program else TorchScriptSource(options)
    if not named:
        asked(source, questions())
        return
    with pytest.raises(StateError, match=named):
        asked(source, questions())


class Graph(nn.Module):
    def __init__(self, layer: nn.Module, fixed: bool = False) -> None:
        super().__init__()
        self.layer = layer
        self.edges = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]]) if fixed else None
        self.weights: torch.Tensor | None = None

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        if self.edges is not None:
            return self.layer(x[:4], self.edges) + 0 * edge_index.sum()
        if isinstance(self.layer, GATConv):
            answer, (_, self.weights) = self.layer(x, edge_index, return_attention_weights=True)
            return answer
        return self.layer(x, edge_index)


def test_graph_layers_that_keep_their_first_graph_are_refused_and_others_are_not() -> None:
    for layer, named in ((GCNConv(4, 4, cached=True), "_cached_edge_index"), (SGConv(4, 4, cached=True), "_cached_x")):
        with pytest.raises(StateError, match=named):
            asked(PyTorchSource(Graph(layer), OPTIONS), graphs())
        with pytest.raises(StateError, match=named):
            asked(PyTorchSource(Graph(layer), OPTIONS), [graphs()[0]] * 2)  # the very same graph
    for honest in (Graph(GCNConv(4, 4)), Graph(GATConv(4, 4)), Graph(GCNConv(4, 4, cached=True), fixed=True)):
        assert not asked(PyTorchSource(honest, OPTIONS), graphs()).notes
