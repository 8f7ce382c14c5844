"""TorchScript, .pt2, pickles and weights: what loads, what needs permission, and that nothing is executed without it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from portinf.core.errors import CannotError, PermissionNeededError, PortinfError, UnreadableError
from portinf.sources.detect import detect
from portinf.sources.model import SourceOptions
from portinf.sources.opening import open_source
from portinf.sources.pytorch.weights import load_module, load_weights


class Hostile:
    """Unpickling it writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return (Path.write_text, (self.target, "executed"))


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 2)

    def forward(self, b: torch.Tensor, a: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.linear(b).sum(1), torch.cat([a, b[:, 0]])


def _open(path: Path, **more: Any) -> Any:
    return open_source(SourceOptions(found=detect(str(path)), **more))


def _program(folder: Path) -> Path:
    n, m = torch.export.Dim("n", min=3), torch.export.Dim("m")
    exported = torch.export.export(Two().eval(), (torch.ones(6, 4), torch.ones(5)), dynamic_shapes=({0: n}, {0: m}))
    torch.export.save(exported, folder / "program.pt2")
    return folder / "program.pt2"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _program(tmp_path_factory.mktemp("program"))


def _changed(path: Path, out: Path, change: Callable[[str, bytes], bytes | None], more: dict[str, bytes] | None = None) -> Path:
    """Copy an archive with members changed; None leaves one out."""
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(out, "w") as target:
        names = archive.namelist()
        for name in names:
            content = change(name.split("/", 1)[1], archive.read(name))
            if content is not None:
                target.writestr(name, content)
        for name, content in (more or {}).items():
            target.writestr(f"{names[0].split('/')[0]}/{name}", content)
    return out


def test_a_program_declares_names_types_sizes_and_minimums(program: Path) -> None:
    source = _open(program)
    assert [(d.name, d.dtype, d.shape) for d in source.inputs] == [("b", "float32", (None, 4)), ("a", "float32", (None,))]
    assert source.inputs[0].labels == ("b_0", None)
    assert source.inputs[0].minimums == (3, 0)
    b, a = np.ones((4, 4), np.float32), np.arange(7, dtype=np.float32)
    assert [x.shape for x in source.infer({"a": a, "b": b}).values()] == [(4,), (11,)]


def _in_model(change: Callable[[Any], None]) -> Callable[[str, bytes], bytes]:
    def apply(name: str, content: bytes) -> bytes:
        if name != "models/model.json":
            return content
        data = json.loads(content)
        change(data)
        return json.dumps(data).encode()

    return apply


def _target(data: Any) -> None:
    data["graph_module"]["graph"]["nodes"][0]["target"] = "torch.os.system"


def _file_target(data: Any) -> None:
    data["graph_module"]["graph"]["nodes"][0]["target"] = "torch.ops.aten.from_file.default"


def _guard(data: Any) -> None:
    data["guards_code"] = ["__import__('pathlib').Path('executed').write_text('x')"]


def _name(data: Any) -> None:
    data["graph_module"]["graph"]["inputs"][0]["as_tensor"]["name"] = "x=__import__('os').getcwd()"


def _expression(data: Any) -> None:
    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if "expr_str" in value:
                value["expr_str"] = "__import__('pathlib').Path('executed').write_text('x')"
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(data)


@pytest.mark.parametrize("change", [_target, _file_target, _guard, _name, _expression])
def test_a_program_that_could_run_code_needs_permission(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], None]
) -> None:
    monkeypatch.chdir(tmp_path)
    crafted = _changed(program, tmp_path / "crafted.pt2", _in_model(change))
    with pytest.raises(PermissionNeededError, match="--allow-pickle"):
        _open(crafted)
    assert not (tmp_path / "executed").exists()


def test_pickles_inside_a_program_need_permission(program: Path, tmp_path: Path) -> None:
    torch.save(Hostile(tmp_path / "executed"), tmp_path / "hostile.pt")
    hostile = (tmp_path / "hostile.pt").read_bytes()
    samples = _changed(program, tmp_path / "a.pt2", lambda n, c: hostile if n == "data/sample_inputs/model.pt" else c)
    legacy = _changed(program, tmp_path / "b.pt2", lambda n, c: c, {"data/weights/model.pt": hostile})

    def use_pickle(name: str, content: bytes) -> bytes:
        if name == "data/weights/model_weights_config.json":
            return content.replace(b'"use_pickle": false', b'"use_pickle": true')
        return hostile if name.startswith("data/weights/weight") else content

    weights = _changed(program, tmp_path / "c.pt2", use_pickle)
    for path in (samples, legacy, weights):
        with pytest.raises(PermissionNeededError, match="--allow-pickle"):
            _open(path)
    assert not (tmp_path / "executed").exists()


def test_compiled_code_and_ambiguous_names_are_refused(program: Path, tmp_path: Path) -> None:
    compiled = _changed(program, tmp_path / "a.pt2", lambda n, c: c, {"data/aotinductor/model/x.so": b"ELF"})
    with pytest.raises(CannotError, match="compiled code"):
        _open(compiled)
    twice = _changed(program, tmp_path / "b.pt2", lambda n, c: c, {"models/MODEL.json": b"{}"})
    with pytest.raises(UnreadableError, match="two members"):
        _open(twice)
    outside = _changed(program, tmp_path / "c.pt2", lambda n, c: c, {"../../evil": b"x"})
    with pytest.raises(UnreadableError, match="outside"):
        _open(outside)


def test_a_script_gives_names_and_touches_no_files(tmp_path: Path) -> None:
    torch.jit.script(Two()).save(tmp_path / "two.pt")
    source = _open(tmp_path / "two.pt")
    assert [d.name for d in source.inputs] == ["b", "a"]
    assert any("training mode" in note for note in source.notes)

    class Writes(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            torch.save(x, "executed")
            return x

    try:
        torch.jit.script(Writes()).save(tmp_path / "writes.pt")
    except (RuntimeError, torch.jit.frontend.NotSupportedError) as error:
        pytest.skip(f"this torch cannot script torch.save: {error}")
    with pytest.raises(PermissionNeededError, match="--allow-code"):
        _open(tmp_path / "writes.pt")


def test_a_pickled_module_needs_permission_and_weights_need_a_factory(tmp_path: Path) -> None:
    torch.save({"model": Hostile(tmp_path / "executed")}, tmp_path / "hostile.pt")
    with pytest.raises(PermissionNeededError, match="--allow-pickle"):
        _open(tmp_path / "hostile.pt")
    assert not (tmp_path / "executed").exists()
    torch.save(Two(), tmp_path / "two.pt")
    torch.save(Two(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    for name in ("two.pt", "old.pt"):
        with pytest.raises(PermissionNeededError, match="--allow-pickle"):
            _open(tmp_path / name)
        assert [d.name for d in _open(tmp_path / name, allow_pickle=True).inputs] == ["b", "a"]
    torch.save(Two().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(CannotError, match="--weights"):
        _open(tmp_path / "weights.pt")


@pytest.mark.parametrize("kind", ["script", "program", "pickle"])
def test_truncated_and_flipped_files_are_one_error(kind: str, program: Path, tmp_path: Path) -> None:
    path = tmp_path / "file"
    if kind == "script":
        torch.jit.script(Two()).save(path)
    elif kind == "program":
        path.write_bytes(program.read_bytes())
    else:
        torch.save(Two().state_dict(), path)
    content = path.read_bytes()
    for number, damaged in enumerate((content[: len(content) // 2], content[:200] + b"\xff" * 64 + content[264:])):
        bad = tmp_path / f"damaged_{number}"
        bad.write_bytes(damaged)
        with pytest.raises(PortinfError):
            _open(bad)


def _save(state: dict[str, Any], path: Path) -> Path:
    from safetensors.torch import save_file

    save_file(state, path) if path.suffix == ".safetensors" else torch.save({"state_dict": state, "epoch": 1}, path)
    return path


@pytest.mark.parametrize("suffix", ["ckpt", "safetensors"])
def test_prefixes_are_stripped_where_the_names_then_fit(tmp_path: Path, suffix: str) -> None:
    state = {f"model.module.{name}": value + 1 for name, value in Two().state_dict().items()}
    model = Two()
    notes = load_weights(model, _save(state, tmp_path / f"w.{suffix}"), allow_pickle=False)
    assert notes == ["the weights' names lost the prefix 'model.module.' to fit the model"]
    assert torch.equal(model.linear.bias, state["model.module.linear.bias"])


def test_two_prefixes_that_fit_are_not_guessed_between(tmp_path: Path) -> None:
    plain = Two().state_dict()
    both = {f"{prefix}.{name}": value.clone() for prefix in ("model", "ema_model") for name, value in plain.items()}
    with pytest.raises(CannotError, match="do not fit"):
        load_weights(Two(), _save(both, tmp_path / "w.ckpt"), allow_pickle=False)


def test_safetensors_are_weights_not_a_model(tmp_path: Path) -> None:
    path = _save(Two().state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(CannotError, match="--weights"):
        detect(str(path))
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(UnreadableError, match="safetensors"):
        load_weights(Two(), path, allow_pickle=False)


def _flipped(path: Path, weight: torch.Tensor) -> None:
    """Change one bit of a stored weight, and nothing else: torch.load does not see it."""
    content = bytearray(path.read_bytes())
    content[content.index(weight.detach().numpy().tobytes()) + 3] ^= 64
    path.write_bytes(content)


@pytest.mark.parametrize("allow_pickle", [False, True])
def test_weights_that_changed_since_they_were_saved_are_refused(tmp_path: Path, allow_pickle: bool) -> None:
    module = Two()
    torch.save(module.state_dict(), tmp_path / "w.pt")
    _flipped(tmp_path / "w.pt", module.linear.weight)
    with pytest.raises(UnreadableError, match=r"w\.pt.*CRC"):
        load_weights(Two(), tmp_path / "w.pt", allow_pickle)


def test_a_pickled_module_that_changed_since_it_was_saved_is_refused(tmp_path: Path) -> None:
    module = Two()
    torch.save(module, tmp_path / "m.pt")
    _flipped(tmp_path / "m.pt", module.linear.weight)
    with pytest.raises(UnreadableError, match=r"m\.pt.*CRC"):
        load_module(tmp_path / "m.pt", allow_pickle=True)


def test_weights_that_were_saved_without_checksums_load(tmp_path: Path) -> None:
    module, other = Two(), Two()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(module.state_dict(), tmp_path / "w.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert load_weights(other, tmp_path / "w.pt", allow_pickle=False) == []
    assert torch.equal(other.linear.weight, module.linear.weight)
