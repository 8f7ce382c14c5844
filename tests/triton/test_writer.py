"""Writing versions: whole or not at all, never over another, and found out when changed."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from portinf.core.batch import Batch, load_goldens
from portinf.core.errors import CannotError, PortinfError, UnreadableError, UsageError
from portinf.core.files import sha256
from portinf.onnx_graph.model_file import read_onnx
from portinf.runners.onnx import OnnxRuntimeRunner
from portinf.triton import writer as module
from portinf.triton.config import from_text
from portinf.triton.manifest import read_manifest, verify, version_folders
from portinf.triton.writer import Entry, Packaged, check_entry, write_entry
from tests.triton.models import honest, with_data_file

INPUTS = {"x": np.ones((3, 4), dtype=np.float32)}
GOLDEN = Batch(name="golden", inputs=INPUTS, expected={"y": np.zeros((3, 2), dtype=np.float32)})


def entry(path: Path, name: str = "m", **changes: Any) -> Entry:
    settings: dict[str, Any] = {"name": name, "artifact": read_onnx(path), "max_batch_size": 8, "goldens": [GOLDEN]}
    return Entry(**(settings | changes))


def written(tmp_path: Path, **changes: Any) -> Packaged:
    path = tmp_path / "model.onnx"
    return write_entry(tmp_path / "models", entry(path if path.exists() else honest(path), **changes))


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.name.startswith(".")]


def test_a_version_holds_model_manifest_and_goldens(tmp_path: Path) -> None:
    packaged = written(tmp_path, validation={"verdict": "equal"}, tolerance={"rtol": 1e-4, "atol": None}, forced=True)
    assert packaged.path == tmp_path / "models" / "m" / "1"
    assert sorted(p.name for p in packaged.path.iterdir()) == ["goldens.npz", "model.onnx", "portinf.json"]
    assert sorted(p.name for p in packaged.model.iterdir()) == ["1", "config.pbtxt"]
    assert load_goldens(packaged.path / "goldens.npz")[0].expected is not None
    assert read_manifest(packaged.path) == packaged.manifest
    assert packaged.manifest.forced
    assert packaged.manifest.tolerance == {"rtol": 1e-4, "atol": None}
    assert from_text((packaged.model / "config.pbtxt").read_text()).name == "m"


def test_the_manifest_says_what_it_was_made_with(tmp_path: Path) -> None:
    data = json.loads((written(tmp_path).path / "portinf.json").read_text())
    assert data["schema"] == 1
    assert data["created"].endswith("+00:00")
    assert set(data["versions"]) == {"portinf", "python", "numpy", "onnx", "onnxruntime"}
    assert data["files"]["model.onnx"] == sha256(tmp_path / "model.onnx")


def test_the_files_can_be_read_by_a_server_of_another_user(tmp_path: Path) -> None:
    packaged = written(tmp_path)
    mask = os.umask(0)
    os.umask(mask)
    for path in (packaged.path, *packaged.path.iterdir(), packaged.model / "config.pbtxt"):
        assert path.stat().st_mode & 0o044 == 0o044 & ~mask


def test_external_data_goes_along_and_runs(tmp_path: Path) -> None:
    packaged = write_entry(tmp_path / "models", entry(with_data_file(tmp_path / "net.onnx")))
    assert (packaged.path / "net.data").is_file()
    assert "net.data" in packaged.manifest.files
    with OnnxRuntimeRunner(packaged.path / "model.onnx") as runner:
        assert runner.infer(INPUTS)["y"].shape == (3, 2)


def test_external_data_under_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    model = onnx.load(str(honest(tmp_path / "net.onnx")))
    onnx.save(model, str(tmp_path / "net.onnx"), save_as_external_data=True, location="goldens.npz", size_threshold=0)
    with pytest.raises(CannotError, match=r"may not be called 'goldens\.npz'"):
        write_entry(tmp_path / "models", entry(tmp_path / "net.onnx"))
    assert not (tmp_path / "models" / "m").exists()


def test_next_is_one_more_than_the_highest(tmp_path: Path) -> None:
    assert written(tmp_path).version == 1
    path = tmp_path / "model.onnx"
    assert write_entry(tmp_path / "models", entry(path), version=10).version == 10
    (tmp_path / "models" / "m" / "012").mkdir()
    (tmp_path / "models" / "m" / "notes").mkdir()
    (tmp_path / "models" / "m" / "11").write_text("a file in the way")
    assert written(tmp_path).version == 12
    assert list(version_folders(tmp_path / "models" / "m")) == [1, 10, 12]


def test_a_version_is_never_overwritten(tmp_path: Path) -> None:
    packaged = written(tmp_path)
    before = packaged.manifest
    with pytest.raises(CannotError, match="version 1 exists, and a version is never overwritten; take --version next"):
        write_entry(tmp_path / "models", entry(tmp_path / "model.onnx"), version=1)
    assert read_manifest(packaged.path) == before


def test_version_zero_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--version 0"):
        check_entry(tmp_path, "m", version=0)


def test_another_signature_needs_another_name(tmp_path: Path) -> None:
    written(tmp_path)
    wider = honest(tmp_path / "wider.onnx", width=3)
    with pytest.raises(CannotError, match=r"m/config\.pbtxt: .*dims of output 'y' is \[2\], now \[3\]; take another --name"):
        write_entry(tmp_path / "models", entry(wider))
    with pytest.raises(CannotError, match="max_batch_size is 8, now 16; take --max-batch-size 8 or another --name"):
        written(tmp_path, max_batch_size=16)
    assert list(version_folders(tmp_path / "models" / "m")) == [1]
    assert not leftovers(tmp_path / "models")


def test_a_configuration_tuned_by_hand_stays(tmp_path: Path) -> None:
    config = written(tmp_path).model / "config.pbtxt"
    config.write_text(config.read_text() + "instance_group { count: 2 kind: KIND_CPU }\n")
    tuned = config.read_text()
    packaged = written(tmp_path)
    assert packaged.version == 2
    assert config.read_text() == tuned
    assert verify(packaged.path) == []
    assert any("config.pbtxt: changed" in problem for problem in verify(packaged.model / "1"))


@pytest.mark.parametrize("step", ["save_goldens", "_manifest", "_sync", "_claim"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_interruption_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    def broken(*_: object) -> None:
        raise error

    expected = (KeyboardInterrupt, UnreadableError)
    with monkeypatch.context() as patch, pytest.raises(expected):
        patch.setattr(module, step, broken)
        written(tmp_path)
    assert list((tmp_path / "models").iterdir()) == []
    assert written(tmp_path).version == 1
    with monkeypatch.context() as patch, pytest.raises(expected):
        patch.setattr(module, step, broken)
        written(tmp_path)
    assert list(version_folders(tmp_path / "models" / "m")) == [1]
    assert not leftovers(tmp_path / "models")


def test_a_full_disk_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_goldens", full)
    with pytest.raises(UnreadableError, match=r"m: cannot be written: .*No space left on device"):
        written(tmp_path)


def test_a_model_changed_meanwhile_is_found_out(tmp_path: Path) -> None:
    path = honest(tmp_path / "model.onnx")
    stale = entry(path)
    path.write_bytes(path.read_bytes() + b"\x00")
    with pytest.raises(UnreadableError, match="changed while it was being packaged"):
        write_entry(tmp_path / "models", stale)


def test_without_hard_links_the_configuration_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", unsupported)
    packaged = written(tmp_path)
    assert verify(packaged.path) == []
    assert not leftovers(packaged.model)


def test_nothing_is_a_version_before_all_of_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    sync = module._sync

    def watched(folder: Path) -> None:
        seen.append((version_folders(folder.parent), folder.name[0].isdigit(), (folder.parent / "config.pbtxt").is_file()))
        sync(folder)

    monkeypatch.setattr(module, "_sync", watched)
    written(tmp_path)
    assert seen == [({}, False, True)]


def package_many(source: str, repository: str, count: int, start: Any, name: str) -> None:
    """Package one model several times, as soon as all processes are ready (runs in a child process)."""
    start.wait()
    for _ in range(count):
        write_entry(Path(repository), entry(Path(source), name=name))


def test_two_processes_never_claim_one_version(tmp_path: Path) -> None:
    source = honest(tmp_path / "model.onnx")
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    arguments = (str(source), str(tmp_path / "models"), 6, start, "m")
    processes = [context.Process(target=package_many, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    model = tmp_path / "models" / "m"
    assert list(version_folders(model)) == list(range(1, 13))
    assert [read_manifest(path).version for path in version_folders(model).values()] == list(range(1, 13))
    assert verify(model) == []
    assert not leftovers(model)


def test_of_two_different_models_under_one_new_name_one_wins(tmp_path: Path) -> None:
    sources = [honest(tmp_path / "a.onnx", width=2), honest(tmp_path / "b.onnx", width=3)]
    for attempt in range(10):
        start, failures = threading.Barrier(2), []

        def run(source: Path, name: str = f"m{attempt}", start: threading.Barrier = start, failures: Any = failures) -> None:
            try:
                package_many(str(source), str(tmp_path / "models"), 1, start, name)
            except PortinfError as lost:
                failures.append(type(lost))

        threads = [threading.Thread(target=run, args=(source,)) for source in sources]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        model = tmp_path / "models" / f"m{attempt}"
        assert failures == [CannotError]
        assert verify(model) == []
        manifest = read_manifest(model / "1")
        shape = manifest.signature.outputs[0].shape
        assert shape is not None
        assert from_text((model / "config.pbtxt").read_text()).outputs[0].dims == (shape[1].size,)


def test_what_a_giving_up_rival_took_away_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = module._claim

    def rival(folder: Path, target: Path) -> bool:
        (target.parent / "config.pbtxt").unlink()
        return claim(folder, target)

    monkeypatch.setattr(module, "_claim", rival)
    packaged = written(tmp_path)
    assert verify(packaged.path) == []


@pytest.mark.parametrize("name", ["model.onnx", "goldens.npz"])
def test_a_tampered_file_is_found(tmp_path: Path, name: str) -> None:
    packaged = written(tmp_path)
    path = packaged.path / name
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    (problem,) = verify(packaged.path)
    assert str(path) in problem
    assert "changed after packaging" in problem
    assert verify(packaged.model) == [problem]


def test_a_missing_and_an_added_file_are_found(tmp_path: Path) -> None:
    packaged = written(tmp_path)
    (packaged.path / "goldens.npz").unlink()
    (packaged.path / "model.py").write_text("print()")
    (packaged.model / "config.pbtxt").unlink()
    problems = verify(packaged.path)
    assert [problem.partition(": ")[2] for problem in problems] == [
        "missing",
        "not in the manifest: added after packaging",
        "missing",
    ]


def test_what_python_compiles_is_left_out_and_nothing_that_looks_like_it(tmp_path: Path) -> None:
    packaged = written(tmp_path)
    for folder in ("__pycache__", "x__pycache__"):
        (packaged.path / folder).mkdir()
        (packaged.path / folder / "code.py").write_text("print()")
    (packaged.path / "numpy").symlink_to(packaged.path / "x__pycache__", target_is_directory=True)
    added = [problem.partition(": ")[0] for problem in verify(packaged.path)]
    assert added == [str(packaged.path / name) for name in ("numpy", "x__pycache__/code.py")]


@pytest.mark.parametrize(("field", "value"), [("files", ["model.onnx"]), ("files", {"model.onnx": 3}), ("config_sha256", 3)])
def test_hashes_that_are_none_are_told_in_one_line(tmp_path: Path, field: str, value: object) -> None:
    path = written(tmp_path).path / "portinf.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    with pytest.raises(UnreadableError, match=r"portinf\.json: damaged: .*; package the model again"):
        verify(path.parent)


@pytest.mark.parametrize(
    "text", ["", "{}", "[" * 100_000, "[]", "null", '{"schema": 1}', '{"schema": 1, "name": 3, "signature": 4}']
)
def test_a_damaged_manifest_is_told_in_one_line(tmp_path: Path, text: str) -> None:
    packaged = written(tmp_path)
    (packaged.path / "portinf.json").write_text(text)
    with pytest.raises(UnreadableError, match=r"portinf\.json: damaged: .*; package the model again"):
        verify(packaged.path)


def test_a_manifest_of_the_future_asks_for_an_update(tmp_path: Path) -> None:
    packaged = written(tmp_path)
    (packaged.path / "portinf.json").write_text('{"schema": 2}')
    with pytest.raises(CannotError, match=r"schema 2, this version reads 1: update portinf"):
        verify(packaged.path)


def test_a_folder_without_a_manifest_is_no_package(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="neither a packaged model nor one version"):
        verify(tmp_path)
    (tmp_path / "1").mkdir()
    with pytest.raises(UnreadableError, match="not a version that portinf packaged"):
        verify(tmp_path)
