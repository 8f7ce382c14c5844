"""weaver-core's jet taggers: the file against the eager model itself, with torch and ONNX Runtime alone, on every kind of jet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from weaver.nn.model.ParticleTransformer import PairEmbed, SequenceTrimmer

from portinf.converters.pytorch.jets import exportable_jets
from portinf.core.batch import save_npz
from portinf.sources.pytorch.settling import settle
from tests.conftest import Cli
from tests.matrix.jet_cells import MODELS, jets
from tests.models import weaver_models

NEEDED = 8  # a ParticleNet of k=7 takes itself and seven neighbours
INPUTS = {"particle_net": ("points", "features", "mask")}
BOTH = ("points", "features", "lorentz_vectors", "mask")
JETS: dict[str, tuple[Sequence[int], int]] = {  # particles of each jet, and the length to which they are padded
    "padded": ((30, 12, 19), 40),
    "unpadded": ((40, 40), 40),
    "one fully padded": ((25, 0, 9), 31),
    "first fully padded": ((0, 25), 31),
    "small ones beside a large one": ((1, 2, 3, 25), 31),
    "the smallest that ParticleNet takes": ((NEEDED,), NEEDED),
    "one jet": ((17,), 40),
    "many": ((5, 28, 17, 9, 11, 1, 0, 24) * 4, 28),
    "eight times as long as the samples": ((344, 120), 344),
}


def _given(model: str, seed: int, counts: Sequence[int], length: int) -> dict[str, Any]:
    made = jets(np.random.default_rng(seed), counts, length)
    return {name: made[name] for name in INPUTS.get(model, BOTH)}


def _eager(module: torch.nn.Module, inputs: Mapping[str, Any]) -> Any:
    with torch.no_grad():
        return module(**{name: torch.from_numpy(array) for name, array in inputs.items()}).numpy()


def _trimmers(module: torch.nn.Module) -> list[Any]:
    return [part for part in module.modules() if isinstance(part, SequenceTrimmer)]


def _warm(module: torch.nn.Module) -> torch.nn.Module:
    """Bring the trimmers past their first answers: from then on they cut the padding off."""
    module.eval()
    for trimmer in _trimmers(module):
        trimmer._counter.fill_(trimmer.warmup_steps)
    return module


def _convert(model: str, cli: Cli, folder: Path) -> tuple[Any, Any]:
    samples = []
    for number, (counts, length) in enumerate([((12, 25, 9), 27), ((31, 40, 14, 0), 43)]):
        save_npz(folder / f"{number}.npz", _given(model, number, counts, length))
        samples += ["--inputs", f"{number}.npz"]
    done = cli("convert", f"{MODELS}:{model}", *samples, "-o", "out.onnx", "--json", timeout=280)
    assert done.code == 0, done.err
    return done.report, onnxruntime.InferenceSession(str(folder / "out.onnx"), providers=["CPUExecutionProvider"])


def _minimum(report: Any, name: str) -> int:
    spec = next(spec for spec in report["signature"]["inputs"] if spec["name"] == name)
    return int(spec["shape"][2]["minimum"])


def _check(module: torch.nn.Module, session: Any, inputs: Mapping[str, Any]) -> None:
    requested = _eager(module, inputs)
    assert np.isfinite(requested).all()
    np.testing.assert_allclose(session.run(None, dict(inputs))[0], requested, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("model", [pytest.param("particle_net", marks=pytest.mark.long), "particle_transformer"])
def test_the_file_answers_as_the_eager_model_on_every_kind_of_jet(model: str, cli: Cli, tmp_path: Path) -> None:
    report, session = _convert(model, cli, tmp_path)
    assert any("SequenceTrimmer" in note for note in report["notes"])
    module = _warm(getattr(weaver_models, model)())
    assert all(trimmer.enabled for trimmer in _trimmers(module))
    for number, (counts, length) in enumerate(JETS.values()):
        _check(module, session, _given(model, 50 + number, counts, length))
    if model == "particle_net":
        _check_small_nets(report, session, module)
    else:
        _check_small_transformers(report, session, module)


def _check_small_nets(report: Any, session: Any, module: torch.nn.Module) -> None:
    """Below k + 1 places neither answers; a small jet in enough places is answered as without the trimmer."""
    assert _minimum(report, "points") == NEEDED
    short = _given("particle_net", 70, (7, 7), 7)
    with pytest.raises(RuntimeError, match="selected index k out of range"):
        _eager(module, short)
    with pytest.raises(Exception, match=r"TopK|k argument"):
        session.run(None, short)
    settle(module)
    for counts in ((1,), (0, 0), (3, 7)):
        _check(module, session, _given("particle_net", 71, counts, 20))


def _check_small_transformers(report: Any, session: Any, module: torch.nn.Module) -> None:
    """One particle is enough; jets without any alone are outside of the eager model's domain."""
    assert _minimum(report, "features") == 1
    _check(module, session, _given("particle_transformer", 70, (1,), 1))
    _check(module, session, _given("particle_transformer", 70, (1, 1), 20))
    with pytest.raises(RuntimeError, match="Kernel size"):
        _eager(module, _given("particle_transformer", 71, (0, 0), 20))
    halved = _given("particle_transformer", 72, (20, 12), 20)
    requested = _eager(module, halved)
    halved["lorentz_vectors"] = 0.5 * halved["lorentz_vectors"]
    assert np.abs(_eager(module, halved) - requested).max() > 1e-3  # or the comparisons above would not see the pairs


@pytest.mark.long
def test_a_sample_to_which_the_model_has_no_answer_is_refused(cli: Cli, tmp_path: Path) -> None:
    save_npz(tmp_path / "empty.npz", _given("particle_transformer", 1, (0, 0), 20))
    done = cli("convert", f"{MODELS}:particle_transformer", "--inputs", "empty.npz", "-o", "out.onnx")
    assert done.code == 4
    assert "empty.npz: the model fails in pytorch" in done.message


def test_answers_do_not_depend_on_how_often_the_model_was_asked() -> None:
    module = weaver_models.particle_net().eval()
    (note,) = settle(module)
    assert "SequenceTrimmer switched off" in note
    assert settle(module) == []
    small = _given("particle_net", 3, (4, 2), 12)
    answers = [_eager(module, small) for _ in range(8)]
    assert all(np.array_equal(answer, answers[0]) for answer in answers)
    assert settle(weaver_models.particle_net_inference()) == []


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("removed", [True, False])
@pytest.mark.parametrize(("kinematic", "given"), [(4, 0), (8, 0), (4, 3), (0, 3)])
def test_all_pairs_are_embedded_as_the_listed_ones(sparse: bool, removed: bool, kinematic: int, given: int) -> None:
    torch.manual_seed(4)
    embed = PairEmbed(kinematic, given, [8, 5], remove_self_pair=removed, sparse_eval=(sparse, sparse)).eval()
    made = jets(np.random.default_rng(9), (6, 11, 0), 11)
    x = torch.from_numpy(made["lorentz_vectors"]) if kinematic else None
    uu = torch.randn(3, given, 11, 11) if given else None
    mask = torch.from_numpy(made["mask"]).bool()
    with torch.no_grad():
        requested = embed(x, uu=uu, mask=mask)
        with exportable_jets():
            found = embed(x, uu=uu, mask=mask)
        assert torch.equal(embed(x, uu=uu, mask=mask), requested)
    torch.testing.assert_close(found, requested)
