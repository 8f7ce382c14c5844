"""Factories whose parameters are random are warned of with the name of one; factories that seed, load or fill are not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from portinf.core.errors import StateError
from portinf.sources.detect import Factory, Found
from portinf.sources.model import Declared, SourceOptions
from portinf.sources.process.child import Session
from portinf.sources.randomness.generators import global_states
from portinf.sources.randomness.untrained import Untrained
from tests.conftest import ROOT

TORCH = """
import functools, os, numpy as np, torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)
    def forward(self, x):
        return self.layer(x)

class Fixed(Net):
    def __init__(self):
        torch.manual_seed(0)
        super().__init__()
        torch.seed()
"""
SKLEARN = """
import numpy as np
rng = np.random.RandomState(0)
X = rng.normal(size=(80, 4)).astype(np.float32)
y = X[:, 0] + 0.1 * rng.normal(size=80)
c = (y > 0).astype(int)
"""
RANDOM_TORCH = {
    "plain": ("def build(): return Net()", "layer.weight' and 1 more"),
    "class": ("build = Net", "layer.weight"),
    "buffer": (
        "class B(Fixed):\n def __init__(self): super().__init__(); self.register_buffer('b', torch.randn(2))\nbuild = B",
        "'b'",
    ),
    "attribute": ("class B(Fixed):\n def __init__(self): super().__init__(); self.b = [torch.randn(2)]\nbuild = B", "'b.0'"),
    "numpy attribute": (
        "class B(Fixed):\n def __init__(self): super().__init__(); self.b = np.random.normal(size=3)\nbuild = B",
        "'b'",
    ),
    "binary": (
        "class B(Fixed):\n def __init__(self):\n  super().__init__(); self.register_buffer('b', torch.rand(9, 9) > 0.5, False)\nbuild = B",
        "'b'",
    ),
    "numpy": (
        "def build():\n m = Fixed(); m.layer.bias.data = torch.from_numpy(np.random.normal(size=2)).float(); return m",
        "layer.bias'",
    ),
    "entropy": (
        "def build():\n m = Fixed(); m.layer.bias.data = torch.from_numpy(np.random.default_rng().normal(size=2)).float(); return m",
        "layer.bias'",
    ),
    "head": ("def build(): return nn.Sequential(Fixed(), nn.Linear(2, 2))", "'1.weight' and 1 more"),
    "made on import": ("model = Net()\ndef build(): return model", "layer.weight"),
    "kept": ("@functools.lru_cache\ndef build(): return Net()", "layer.weight"),
    "reset": ("model = Net()\ndef build(): model.layer.reset_parameters(); return model", "layer.weight"),
}
HONEST_TORCH = {
    "seed": "def build(): torch.manual_seed(0); return Net()",
    "seed of the file": "torch.manual_seed(0)\ndef build(): return Net()",
    "seeded on import": "torch.manual_seed(0)\nmodel = Net()\ndef build(): return model",
    "numpy's seed of the file": "np.random.seed(1)\ndef build():\n m = Fixed(); m.layer.bias.data.fill_(np.random.normal()); return m",
    "generator": "def build():\n m = Fixed(); nn.init.normal_(m.layer.weight, generator=torch.Generator().manual_seed(3)); return m",
    "filled": "def build():\n m = Net(); nn.init.ones_(m.layer.weight); nn.init.zeros_(m.layer.bias); return m",
    "loaded": "P = __file__ + '.pt'\nos.path.exists(P) or torch.save(Net().state_dict(), P)\n"
    "def build():\n m = Net(); m.load_state_dict(torch.load(P)); return m",
    "once": "made = []\ndef build():\n if made: raise RuntimeError('twice')\n made.append(1); return Net()",
    "noisy": "def build(): print('hello'); torch.manual_seed(0); return Net()",
    "batch norm": "def build(): torch.manual_seed(0); return nn.Sequential(Net(), nn.BatchNorm1d(2), nn.Dropout(0.3))",
    "position table": "class B(Fixed):\n def forward(self, x):\n"
    "  self.table = torch.arange(2.0)\n  return self.layer(x) + self.table\nbuild = B",
}
RANDOM_SKLEARN = {
    "forest": "from sklearn.ensemble import RandomForestClassifier\ndef build(): return RandomForestClassifier(4).fit(X, c)",
    "boosting": "from sklearn.ensemble import GradientBoostingRegressor as G\n"
    "def build(): return G(n_estimators=4, subsample=0.5).fit(X, y)",
    "histograms": "from sklearn.ensemble import HistGradientBoostingClassifier as G\n"
    "def build(): return G(max_iter=4, max_features=0.3, min_samples_leaf=5).fit(X, c)",
    "pipeline": "from sklearn.pipeline import make_pipeline\nfrom sklearn.preprocessing import StandardScaler\n"
    "from sklearn.linear_model import SGDClassifier\ndef build(): return make_pipeline(StandardScaler(), SGDClassifier()).fit(X, c)",
    "data": "from sklearn.linear_model import LogisticRegression\n"
    "def build(): Z = np.random.default_rng().normal(size=(50, 4)); return LogisticRegression().fit(Z, Z[:, 0] > 0)",
}
HONEST_SKLEARN = {
    "forest": "from sklearn.ensemble import RandomForestClassifier as F\ndef build(): return F(4, random_state=1).fit(X, c)",
    "seed": "from sklearn.ensemble import RandomForestClassifier as F\ndef build(): np.random.seed(3); return F(4).fit(X, c)",
    "seed of the file": "np.random.seed(3)\nfrom sklearn.ensemble import RandomForestClassifier as F\ndef build(): return F(4).fit(X, c)",
    "nothing drawn": "from sklearn.linear_model import LogisticRegression\ndef build(): return LogisticRegression().fit(X, c)",
    "neighbours": "from sklearn.neighbors import KNeighborsClassifier\ndef build(): return KNeighborsClassifier().fit(X, c)",
    "search": "from sklearn.model_selection import GridSearchCV\nfrom sklearn.tree import DecisionTreeClassifier as T\n"
    "def build(): return GridSearchCV(T(random_state=0), {'max_depth': [1, 2]}).fit(X, c)",
}


def _session(folder: Path, text: str, weights: Path | None = None) -> Session:
    file = folder / "net.py"
    file.write_text(text)
    found = Found(format="factory", path=file, factory=Factory(file=file, name="build"))
    sample = Declared(name="x", dtype="float32", shape=(5, 4))
    session = Session(SourceOptions(found=found, weights=weights, samples=[sample]))
    session.infer({session.describe()["inputs"][0]["name"]: np.ones((5, 4), np.float32)})
    return session


def _warnings(session: Session) -> list[str]:
    assert not any(note.startswith("warning") for note in session.notes[1:])  # a warning comes first
    return [note for note in session.notes if note.startswith("warning: ")]


@pytest.mark.parametrize("name", RANDOM_TORCH)
def test_random_parameters_of_a_module(name: str, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    text, told = RANDOM_TORCH[name]
    (warning,) = _warnings(_session(tmp_path, TORCH + text))
    assert "the factory's parameters are random: two calls gave different values of '" in warning
    assert told in warning
    assert "--weights" in warning


def test_what_the_first_call_draws_is_a_state(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    lines = [
        "class B(Fixed):",
        " table = None",
        " def forward(self, x):",
        "  self.table = torch.randn(2) if self.table is None else self.table",
        "  return self.layer(x) + self.table",
        "build = B",
    ]
    with pytest.raises(StateError, match="'table'"):
        _session(tmp_path, TORCH + "\n".join(lines))


@pytest.mark.parametrize("name", HONEST_TORCH)
def test_a_module_that_is_the_same_each_time(name: str, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    assert _warnings(_session(tmp_path, TORCH + HONEST_TORCH[name])) == []


@pytest.mark.parametrize("name", RANDOM_SKLEARN)
def test_random_parameters_of_an_estimator(name: str, tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    (warning,) = _warnings(_session(tmp_path, SKLEARN + RANDOM_SKLEARN[name]))
    assert "random_state" in warning
    assert "--weights" not in warning


@pytest.mark.parametrize("name", HONEST_SKLEARN)
def test_an_estimator_that_is_the_same_each_time(name: str, tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    assert _warnings(_session(tmp_path, SKLEARN + HONEST_SKLEARN[name])) == []


def test_what_a_file_of_weights_does_not_hold(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    torch.save({"layer.weight": torch.ones(2, 4), "layer.bias": torch.ones(2)}, tmp_path / "w.pt")
    assert _warnings(_session(tmp_path, TORCH + "build = Net", tmp_path / "w.pt")) == []
    text = "class B(Net):\n def __init__(self): super().__init__(); self.b = torch.randn(2)\nbuild = B"
    (warning,) = _warnings(_session(tmp_path, TORCH + text, tmp_path / "w.pt"))
    assert "the weights do not hold everything" in warning
    assert "'b'" in warning


def test_the_second_call_leaves_generators_and_modules_as_they_were(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    file = tmp_path / "one_net.py"
    file.write_text(TORCH + "torch.manual_seed(0)\nmodel = Net()\ndef build(): return model")
    untrained = Untrained(Factory(file=file, name="build"), weighted=False)
    assert untrained.note == ""
    assert sys.modules["one_net"].model is untrained.model
    import torch

    torch.manual_seed(0)
    torch.nn.Linear(4, 2)
    assert global_states()["torch"] == torch.get_rng_state().numpy().tobytes()


def test_factories_of_keras_and_tensorflow(tmp_path: Path) -> None:
    pytest.importorskip("keras", reason="Keras is not installed")
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "run_untrained_tensorflow.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=250,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert {name: notes for name, notes in found["random"].items() if "parameters are random" not in str(notes)} == {}
    assert {name: notes for name, notes in found["honest"].items() if "random" in str(notes)} == {}
    assert "'dense/kernel' and 1 more" in found["random"]["functional"][0]
    held, beside = found["weighted"]
    assert "random" not in str(held)
    assert (
        "the weights do not hold everything, the rest is random: two calls gave different values of 'shifted.shift'"
        in beside[0]
    )
    assert (len(found["random"]), len(found["honest"])) == (10, 9)
