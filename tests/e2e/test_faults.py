"""Each fault of a model repository or of the machine is one clear line, the right exit code, and nothing left behind."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.serving.live import FREE_PORTS, run_cli, traces
from tests.serving.tiny_models import ADD_CONFIG, add

__all__ = ["traces"]

pytestmark = pytest.mark.usefixtures("traces")


def truncate(models: Path) -> None:
    """Cut the ONNX file."""
    path = models / "add" / "1" / "model.onnx"
    path.write_bytes(path.read_bytes()[:60])


def empty_file(models: Path) -> None:
    """Leave an ONNX file of no bytes."""
    (models / "add" / "1" / "model.onnx").write_bytes(b"")


def remove_file(models: Path) -> None:
    """Remove the ONNX file."""
    (models / "add" / "1" / "model.onnx").unlink()


def remove_version(models: Path) -> None:
    """Remove the version folder."""
    shutil.rmtree(models / "add" / "1")


def configure(old: str, new: str) -> Callable[[Path], None]:
    """Replace a text in the configuration."""

    def change(models: Path) -> None:
        assert old in ADD_CONFIG
        (models / "add" / "config.pbtxt").write_text(ADD_CONFIG.replace(old, new, 1))

    return change


CONFIG = "correct {models}/add/config.pbtxt"
FAULTS: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "truncated file": (truncate, ["ONNX Runtime cannot load '{models}/add/1/model.onnx'", "write the ONNX file again"]),
    "empty file": (empty_file, ["{models}/add/1/model.onnx is empty"]),
    "missing file": (remove_file, ["{models}/add/1/model.onnx is missing; put the ONNX model there"]),
    "missing version": (remove_version, ["no version folder in {models}/add"]),
    "wrong type": (configure("TYPE_FP32", "TYPE_FP64"), ["expects datatype TYPE_FP64 for input 'a', model provides", CONFIG]),
    "wrong dims": (configure("dims: [4]", "dims: [5]"), ["tensor 'a'", "[-1, 4]", "[-1, 5]", CONFIG]),
    "wrong name": (configure('"sum"', '"total"'), ["output 'total'", "allowed outputs are: difference, sum", CONFIG]),
    "an input too few": (
        configure('input [{ name: "a" data_type: TYPE_FP32 dims: [4] }, ', "input ["),
        ["configuration expects 1 inputs, model provides 2", CONFIG],
    ),
    "other model's name": (configure('name: "add"', 'name: "sub"'), ["names the model 'sub', expected 'add'"]),
    "unknown field": (configure("max_batch_size", "max_batch"), ["{models}/add/config.pbtxt", "max_batch"]),
    "wrong parameter": (
        configure("dynamic_batching", 'parameters { key: "execution_mode" value { string_value: "2" } }\ndynamic_batching'),
        ["parameter execution_mode is 2, expected 0"],
    ),
    "foreign backend": (configure("onnxruntime_onnx", "tensorrt_plan"), ["its backend 'tensorrt' is not part of"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_model_is_named_with_its_reason(tmp_path: Path, fault: str) -> None:
    models = tmp_path / "models"
    add(models)
    spoil, expected = FAULTS[fault]
    spoil(models)
    run = run_cli(str(models), *FREE_PORTS)
    assert run.code == 6, run.error
    assert run.output == ""
    for part in ["1 model cannot be served from {models}: add: ", *expected]:
        assert part.format(models=models) in run.message


def test_every_bad_model_is_named(tmp_path: Path) -> None:
    models = tmp_path / "models"
    for name in ("good", "cut", "typed"):
        add(models, name)
    path = models / "cut" / "1" / "model.onnx"
    path.write_bytes(path.read_bytes()[:60])
    text = (models / "typed" / "config.pbtxt").read_text()
    (models / "typed" / "config.pbtxt").write_text(text.replace("TYPE_FP32", "TYPE_INT32", 1))
    run = run_cli(str(models), *FREE_PORTS)
    assert run.code == 6
    assert "2 models cannot be served" in run.message
    assert "cut: ONNX Runtime cannot load" in run.message
    assert "typed: unable to load model 'typed', configuration expects datatype TYPE_INT32" in run.message


def test_code_of_a_models_own_is_refused_at_once_and_run_by_permission(tmp_path: Path) -> None:
    models = tmp_path / "my models"
    add(models)
    for name in ("one", "two"):
        (models / name / "1").mkdir(parents=True)
        (models / name / "1" / "model.py").write_text(f"open({str(tmp_path / 'EXECUTED')!r}, 'w')\n")
        config = ADD_CONFIG.replace('platform: "onnxruntime_onnx"', 'backend: "python"')
        (models / name / "config.pbtxt").write_text(config.replace('"add"', f'"{name}"'))
    run = run_cli(str(models), *FREE_PORTS)
    assert run.code == 4, run.error
    assert "2 models bring code of their own and are not unchanged packages of portinf: one runs Python code" in run.message
    assert run.message.endswith(f"if you trust that code: portinf serve-local '{models}' --allow-code")
    assert not (tmp_path / "EXECUTED").exists()
    run = run_cli(str(models), *FREE_PORTS, "--allow-code")
    assert run.code == 6  # it is no model, and it was run
    assert (tmp_path / "EXECUTED").exists()


def test_an_empty_repository(tmp_path: Path) -> None:
    run = run_cli(str(tmp_path), *FREE_PORTS)
    assert run.code == 6
    assert f"the model repository {tmp_path} is empty" in run.message


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    run = run_cli(str(tmp_path / "nowhere"), *FREE_PORTS)
    assert run.code == 2
    assert f"{tmp_path / 'nowhere'} is not a folder" in run.message


@pytest.mark.parametrize("option", ["--http-port", "--grpc-port", "--metrics-port"])
def test_a_port_in_use_is_named_before_anything_is_loaded(tmp_path: Path, option: str) -> None:
    add(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run = run_cli(str(tmp_path), *FREE_PORTS, option, str(port))
    assert run.code == 6
    assert f"port {port} for" in run.message
    assert f"{option} N" in run.message
    assert "starting the server" not in run.error


def test_a_full_shared_memory_mount(tmp_path: Path) -> None:
    add(tmp_path)
    mount = 'mount -t tmpfs -o size=512k portinf-test /dev/shm && exec "$@"'
    if shutil.which("unshare") is None or run_possible(mount) != 0:
        pytest.skip("no mount namespace can be made here (unshare -rm)")
    run = run_cli(str(tmp_path), *FREE_PORTS, prefix=("unshare", "-rm", "sh", "-c", mount, "sh"))
    assert run.code == 6
    assert (
        "add: no room for the 1048576 bytes of shared memory that each instance needs: free or enlarge /dev/shm" in run.message
    )


def run_possible(mount: str) -> int:
    """Return the exit code of a command in such a mount namespace."""
    import subprocess

    command = ["unshare", "-rm", "sh", "-c", mount, "sh", "true"]
    return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode
