"""Damaged and hostile files: refused in one line with a documented code, or converted as the framework itself reads them."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from portinf.cli.main import run
from portinf.core.batch import save_npz
from tests.conftest import TORCH_MODELS

EVERYDAY, LONG = 42, 500
CODES = {0, 2, 3, 4, 5}  # whatever is right or refused; 1 would be a bug, 6 is for servers


def _onnx(path: Path, data: str = "") -> None:
    weights = numpy_helper.from_array(np.linspace(-1, 1, 32, dtype=np.float32).reshape(4, 8), "w")
    value = helper.make_tensor_value_info
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Softmax", ["h"], ["y"], axis=-1)]
    ends = [value("x", TensorProto.FLOAT, ["n", 4])], [value("y", TensorProto.FLOAT, ["n", 8])]
    model = helper.make_model(
        helper.make_graph(nodes, "g", *ends, [weights]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    if data:
        external_data_helper.convert_model_to_external_data(model, location="w.bin", size_threshold=0)
        onnx.save(model, path)
        model = onnx.load(path, load_external_data=False)
        for entry in model.graph.initializer[0].external_data:
            entry.value = data if entry.key == "location" else entry.value
        path.write_bytes(model.SerializeToString())
    else:
        onnx.save(model, path)


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory, keras_files: Path) -> dict[str, bytes]:
    """One good file of each kind."""
    import torch

    from tests.models import torch_models

    folder = tmp_path_factory.mktemp("seeds")
    _onnx(folder / "m.onnx")
    save_npz(folder / "s.npz", {"x": np.ones((5, 4), np.float32)})
    torch.save(torch_models.mlp().state_dict(), folder / "w.pt")
    files = [folder / "m.onnx", folder / "s.npz", folder / "w.pt", keras_files / "sequential.keras"]
    return {path.suffix: path.read_bytes() for path in files}


def _damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Truncate, flip bits, blank a block, or append noise."""
    way, array = int(rng.integers(5)), np.frombuffer(content, np.uint8).copy()
    if way == 0:
        return content[: int(rng.integers(len(content)))]
    if way == 1:
        return content + rng.bytes(int(rng.integers(1, 200)))
    if way == 2:
        start = int(rng.integers(len(content)))
        array[start : start + int(rng.integers(1, 64))] = 0
        return array.tobytes()
    places = rng.integers(0, len(array), 1 if way == 3 else 12)
    array[places] ^= (1 << rng.integers(0, 8, places.size)).astype(np.uint8)
    return array.tobytes()


def _command(kind: str, file: Path) -> list[str]:
    if kind == ".npz":
        return _with_samples(file)
    if kind == ".pt":
        good = str(file.parent / "good.npz")
        return ["convert", f"{TORCH_MODELS}:mlp", "--weights", str(file), "--inputs", good, "-o", str(file.parent / "out.onnx")]
    if kind == ".onnx":
        return ["optimize", str(file), "--target", "onnxruntime", "-o", str(file.parent / "out.onnx")]
    return ["convert", str(file), "-o", str(file.parent / "out.onnx")]


def _with_samples(file: Path) -> list[str]:
    good, out = file.parent / "good.onnx", file.parent / "out.onnx"
    return ["optimize", str(good), "--target", "onnxruntime", "--inputs", str(file), "-o", str(out)]


def _holds(code: int, told: str, folder: Path, before: set[str]) -> None:
    assert code in CODES, told
    assert "Traceback" not in told
    errors = [line for line in told.splitlines() if line.startswith("portinf: error:")]
    assert len(errors) == (1 if code else 0), told
    left = {path.name for path in folder.iterdir()} - before
    assert left <= ({"out.onnx"} if code == 0 else set()), (code, left)


def _cases(count: int) -> Iterator[tuple[str, int]]:
    """Most cases on the kinds that cost least: no framework has to be imported for them."""
    kinds = [".onnx"] * 9 + [".npz"] * 8 + [".keras"] * 2 + [".pt"] * 2
    for number in range(count):
        yield kinds[number % len(kinds)], number


def _sweep(first: int, last: int, seeds: dict[str, bytes], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _onnx(tmp_path / "good.onnx")
    (tmp_path / "good.npz").write_bytes(seeds[".npz"])
    for kind, number in list(_cases(last))[first:]:
        file = tmp_path / f"damaged{kind}"
        file.write_bytes(_damaged(seeds[kind], np.random.default_rng(number)))
        before = {path.name for path in tmp_path.iterdir()}
        code = run(_command(kind, file))
        _holds(code, capfd.readouterr().err, tmp_path, before)
        (tmp_path / "out.onnx").unlink(missing_ok=True)


@pytest.mark.timeout(900)
def test_damaged_files(seeds: dict[str, bytes], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _sweep(0, EVERYDAY, seeds, tmp_path, capfd)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_many_damaged_files(seeds: dict[str, bytes], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _sweep(EVERYDAY, LONG, seeds, tmp_path, capfd)


class Touch:
    """Pickles as a call that makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.path}",)


def _hostile(folder: Path, marker: Path) -> dict[str, Path]:
    """Write files that would make ``marker`` if anything in them were executed, or that reach outside their folder."""
    import torch

    made: dict[str, Path] = {}

    def add(name: str, content: bytes) -> None:
        made[name] = folder / name
        made[name].write_bytes(content)

    bomb = pickle.dumps({"w": Touch(marker)})
    for name in ("pickle.pkl", "pickle.onnx", "pickle.keras", "pickle.h5", "pickle.joblib"):
        add(name, bomb)
    torch.save({"w": Touch(marker)}, folder / "torch.pt")
    torch.save(Touch(marker), folder / "legacy.pt", _use_new_zipfile_serialization=False)
    made.update({name: folder / name for name in ("torch.pt", "legacy.pt")})
    np.savez(folder / "objects.npz", x=np.array([Touch(marker)], dtype=object))
    made["objects.npz"] = folder / "objects.npz"
    for name, inner in (("slip.keras", "../slipped.txt"), ("absolute.keras", "/tmp/portinf-slipped.txt")):
        with zipfile.ZipFile(folder / name, "w") as archive:
            archive.writestr(inner, "slipped")
            archive.writestr("config.json", "{}")
            archive.writestr("metadata.json", '{"keras_version": "3.0"}')
        made[name] = folder / name
    command = {"command": f"touch {marker}"}
    call = json.dumps({"module": "os", "class_name": "system", "config": command, "registered_name": None})
    with zipfile.ZipFile(folder / "call.keras", "w") as archive:
        archive.writestr("config.json", call)
        archive.writestr("metadata.json", '{"keras_version": "3.0"}')
        archive.writestr("model.weights.h5", b"")
    made["call.keras"] = folder / "call.keras"
    for number, location in enumerate(("../w.bin", "/etc/hostname", "a/../../w.bin", "missing.bin")):
        _onnx(folder / f"outside{number}.onnx", location)
        made[f"outside{number}.onnx"] = folder / f"outside{number}.onnx"
    return made


@pytest.mark.timeout(900)
def test_hostile_files_execute_nothing_and_reach_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    marker, folder = tmp_path / "executed", tmp_path / "in"
    folder.mkdir()
    files = _hostile(folder, marker)
    good = folder / "good.npz"
    save_npz(good, {"x": np.ones((5, 4), np.float32)})
    _onnx(folder / "good.onnx")
    commands: list[list[Any]] = [["convert", path, "-o", folder / "out.onnx"] for path in files.values()]
    commands += [["inspect", path] for path in files.values() if path.suffix == ".onnx"]
    weights = [files[name] for name in ("torch.pt", "legacy.pt", "pickle.pkl")]
    commands += [
        ["convert", f"{TORCH_MODELS}:mlp", "--weights", w, "--inputs", good, "-o", folder / "out.onnx"] for w in weights
    ]
    commands += [_with_samples(files["objects.npz"])]
    before = {path.name for path in folder.iterdir()}
    for command in commands:
        code = run(list(map(str, command)))
        told = capfd.readouterr().err
        assert code in (2, 4), (command, code, told)
        _holds(code, told, folder, before)
        assert not marker.exists(), command
        assert not (tmp_path / "slipped.txt").exists(), command
    assert len(commands) >= 18
