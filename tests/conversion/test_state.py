"""A model's own state through the commands: refused by name, or kept as it was loaded with --freeze-state."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from tests.conftest import Cli
from tests.models import stateful_torch

Npz = Callable[..., Path]
TORCH = Path(stateful_torch.__file__)
TENSORFLOW = TORCH.with_name("stateful_tensorflow.py")


def samples(npz: Npz, *rows: int) -> list[Any]:
    rng = np.random.default_rng(3)
    files = [npz(f"{n}.npz", {"x": (rng.normal(size=(n, 4)) + 3).astype("float32")}) for n in rows]
    return [part for file in files for part in ("--inputs", file)]


def run(path: Path, x: Any) -> Any:
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


def test_it_is_refused_by_name_and_nothing_is_written(cli: Cli, npz: Npz, tmp_path: Path) -> None:
    done = cli("convert", f"{TORCH}:delay", *samples(npz, 6, 9), "-o", "d.onnx")
    assert done.code == 4, done.err
    assert "a call changes buffer 'past' of Delay, and later answers depend on it" in done.message
    assert "--freeze-state" in done.message
    assert "class WithState(torch.nn.Module):" in done.err.splitlines()
    assert not list(tmp_path.glob("*.onnx*"))


def test_frozen_the_file_holds_the_loaded_state(cli: Cli, npz: Npz, tmp_path: Path) -> None:
    x = np.random.default_rng(7).normal(size=(500, 4)).astype("float32")
    done = cli("convert", f"{TORCH}:delay", *samples(npz, 6, 9), "--freeze-state", "-o", "d.onnx", "--json")
    assert done.code == 0, done.err
    assert any("--freeze-state: a call changes buffer 'past'" in note for note in done.report["notes"])
    np.testing.assert_array_equal(run(tmp_path / "d.onnx", x), stateful_torch.Delay()(torch.from_numpy(x)).numpy())
    given = samples(npz, 6, 9)
    refused = cli("validate", f"{TORCH}:delay", "d.onnx", *given)
    assert refused.code == 4, refused.err
    assert "buffer 'past' of Delay" in refused.message
    equal = cli("validate", f"{TORCH}:delay", "d.onnx", *given, "--freeze-state", "--json")
    assert equal.code == 0, equal.err


def test_caches_convert_from_the_loaded_state(cli: Cli, npz: Npz, tmp_path: Path) -> None:
    x = np.random.default_rng(7).normal(size=(300, 4)).astype("float32")
    done = cli("convert", f"{TORCH}:rotary", *samples(npz, 6, 9), "-o", "r.onnx", "--json")
    assert done.code == 0, done.err
    assert [note for note in done.report["notes"] if "a call changes buffer 'cosines'" in note]
    torch.manual_seed(0)
    expected = stateful_torch.Rotary().eval()(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(run(tmp_path / "r.onnx", x), expected, rtol=1e-4, atol=1e-5)


def test_keras_layers_too_and_what_is_written_before_it_is_read(cli: Cli, tmp_path: Path) -> None:
    refused = cli("convert", f"{TENSORFLOW}:counted", "-o", "k.onnx")
    assert refused.code == 4, refused.err
    assert "variable 'layer.state' of Counted" in refused.message
    assert "keras.StatelessScope" in refused.err
    x = np.random.default_rng(7).normal(size=(5, 4)).astype("float32")
    for name, scale in (("counted", 1.0), ("read_after", None)):
        permission = ["--freeze-state"] if scale else []
        done = cli("convert", f"{TENSORFLOW}:{name}", *permission, "-o", "k.onnx", "--json")
        assert done.code == 0, done.err
        if scale:
            np.testing.assert_allclose(run(tmp_path / "k.onnx", x), x / scale)
