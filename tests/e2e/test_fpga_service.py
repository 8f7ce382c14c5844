"""A network for an FPGA beside its float model on a real server: the same client code, the emulator's bits, no build folder."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from portinf.commands.package import package
from portinf.conversion.convert import ConvertOptions
from portinf.conversion.options import SourcingOptions
from portinf.core.batch import save_npz
from portinf.core.errors import PermissionNeededError, ServingError
from portinf.packaging.options import PackageOptions
from portinf.serving.reload.stub_supervisor import read_stubs
from portinf.serving.server.launcher import ServeOptions, Server, serve
from portinf.serving.server.model_code import CodeRule
from portinf.targets.fpga.folder import read_record, write_record
from portinf.targets.fpga.optimize import optimize_fpga
from portinf.targets.fpga.options import FpgaOptions
from portinf.targets.fpga.runners import open_fpga
from tests.conftest import Cli
from tests.models import fpga_graphs
from tests.models.fpga_libraries import put_library
from tests.serving.live import FREE, ask, serving, until

pytest.importorskip("hls4ml", reason="hls4ml is not installed")
pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")

OUTPUTS = {"jet": "classes", "image": "score", "facile": "energy"}


def put(repository: Path, source: Path, name: str, *inputs: Path, **options: Any) -> Path:
    sourcing = SourcingOptions(inputs=inputs)
    made = package(str(source), PackageOptions(repository=repository, name=name, **options), ConvertOptions(sourcing=sourcing))
    return made.packaged.path


def network(folder: Path, name: str, **options: Any) -> Path:
    """Write NAME.onnx, NAME.npz and the network's folder; return the last."""
    getattr(fpga_graphs, name)(folder / f"{name}.onnx")
    save_npz(folder / f"{name}.npz", {"x": fpga_graphs.samples(name, 300)})
    chosen = FpgaOptions(inputs=[folder / f"{name}.npz"], **options)
    optimize_fpga(str(folder / f"{name}.onnx"), folder / f"{name}_fpga", chosen)
    return folder / f"{name}_fpga"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the float model, its emulation, and one that a compiled library answers; the networks' folders are gone.

    Beside it: ``kept``, a copy of the network's folder for the direct answers.
    """
    folder = tmp_path_factory.mktemp("service")
    source = network(folder, "jet", csim=False)
    put(folder / "models", folder / "jet.onnx", "jet", folder / "jet.npz")
    put(folder / "models", source, "jet_fpga", folder / "jet.npz")
    shutil.copytree(source, folder / "kept")
    put_library(source, weights="weights/w.txt", given=16, made=5)
    put(folder / "models", source, "sums", max_batch_size=0)
    shutil.rmtree(source)
    return folder


@pytest.fixture(scope="module")
def reports() -> list[str]:
    return []


@pytest.fixture(scope="module")
def server(folder: Path, reports: list[str]) -> Iterator[Server]:
    with serving(folder / "models", reports) as running:
        yield running


def test_the_bits_are_those_of_the_emulator(server: Server, folder: Path) -> None:
    x = fpga_graphs.samples("jet", 64, seed=5)
    with open_fpga(folder / "kept") as direct:
        expected = direct.infer({"x": x})["classes"]
    for protocol in ("http", "grpc"):
        answers = {name: ask(server, name, {"x": x}, ["classes"], protocol)["classes"] for name in ("jet", "jet_fpga")}
        assert answers["jet_fpga"].dtype == answers["jet"].dtype
        assert answers["jet_fpga"].tobytes() == expected.tobytes()
        assert answers["jet"].tobytes() != expected.tobytes()
        np.testing.assert_allclose(answers["jet"], expected, rtol=0.01, atol=0.01)


def test_a_client_sees_the_same_model_and_that_it_is_an_emulation(server: Server) -> None:
    import tritonclient.http as triton

    with triton.InferenceServerClient(server.http) as client:
        metadata = {name: client.get_model_metadata(name) for name in ("jet", "jet_fpga")}
    for part in ("inputs", "outputs"):
        assert metadata["jet"][part] == metadata["jet_fpga"][part]
    assert metadata["jet_fpga"]["platform"] == "fpga_emulation"
    config = server.control.config("jet_fpga")
    assert config["max_batch_size"] == server.control.config("jet")["max_batch_size"] == 64
    assert config["parameters"]["portinf_kind"]["string_value"].startswith("bit-exact emulation of an FPGA")
    assert config["parameters"]["portinf_executed_by"]["string_value"] == "emulation"


def test_joined_requests_get_their_own_rows_and_a_bad_one_harms_no_other(server: Server, folder: Path) -> None:
    rows = [fpga_graphs.samples("jet", size, seed=seed) for seed, size in enumerate([1, 3, 2, 5] * 12)]
    for number in (5, 17, 30):
        rows[number] = np.full_like(rows[number], np.nan)
    start = threading.Barrier(16)

    def one(number: int) -> Any:
        if number < 16:
            start.wait()
        try:
            return ask(server, "jet_fpga", {"x": rows[number]}, ["classes"], "grpc")["classes"]
        except InferenceServerException as error:
            return str(error)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(one, range(len(rows))))
    with open_fpga(folder / "kept") as direct:
        for number, answer in enumerate(answers):
            if np.isnan(rows[number]).any():
                assert "input 'x': contains NaN or infinity" in answer
            else:
                assert answer.tobytes() == direct.infer({"x": rows[number]})["classes"].tobytes()


def test_a_library_that_ends_its_process_ends_no_server(server: Server) -> None:
    x = np.linspace(0, 1, 48, dtype=np.float32).reshape(3, 16)
    expected = x.astype(float).sum(1, keepdims=True) * 0.5 * np.arange(1, 6)
    for _ in range(2):
        found = ask(server, "sums", {"x": x}, ["classes"])["classes"]
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        with pytest.raises(InferenceServerException, match=r"crashed .exit code 7.: out of range"):
            ask(server, "sums", {"x": np.full((1, 16), 1e6, np.float32)}, ["classes"])
    assert ask(server, "sums", {"x": x[:0]}, ["classes"])["classes"].shape == (0, 5)


def test_validate_compares_by_address_alone(server: Server, folder: Path, cli: Cli) -> None:
    models = folder / "models"
    twin = cli("validate", models / "jet", f"grpc://{server.grpc}/jet", f"grpc://{server.grpc}/jet_fpga", "--json")
    assert twin.code == 0, twin.err
    assert [comparison["outputs"][0]["rtol"] for comparison in twin.report["hops"]] == [1e-4, 0.01, 0.01]
    assert "bit-exact emulation" in twin.report["sides"][2]["facts"]["kind"]
    itself = cli("validate", models / "jet_fpga", f"http://{server.http}/jet_fpga", "--json")
    assert itself.code == 0, itself.err
    assert itself.report["hops"][0]["outputs"][0]["rtol"] == 0


def test_serving_changes_nothing(server: Server, folder: Path, reports: list[str], cli: Cli) -> None:
    """Last: by now every file was looked at again; what Python compiled is neither a new version nor damage."""
    assert not any("now serving" in line for line in reports)
    shown = cli("inspect", folder / "models/jet_fpga", "--json")
    assert shown.report["package"]["problems"] == []


def test_damaged_packages_are_named_by_the_server(folder: Path, tmp_path: Path) -> None:
    whole = folder / "models" / "jet_fpga"
    damages = {
        "changed": ("fpga/network/network.npz", b"x", "network.npz: changed after packaging; package the model again"),
        "gone": ("portinf_fixedpoint/softmax.py", None, "softmax.py: missing; package the model again"),
        "unlisted": ("portinf.json", b"{}", "portinf.json: missing or damaged ('files'); package the model again"),
        "mangled": ("model.py", b"def (", "(model.py, line 1); write that file again"),
    }
    for name, (file, content, _) in damages.items():
        copy = shutil.copytree(whole, tmp_path / name)
        (copy / "config.pbtxt").write_text((copy / "config.pbtxt").read_text().replace('"jet_fpga"', f'"{name}"'))
        (copy / "1" / file).unlink() if content is None else (copy / "1" / file).write_bytes(content)
    sums = shutil.copytree(folder / "models" / "sums", tmp_path / "sums")
    manifest = json.loads((sums / "1/portinf.json").read_text())
    del manifest["files"]["fpga/project/firmware/weights/w.txt"]
    (sums / "1/portinf.json").write_text(json.dumps(manifest))
    (sums / "1/fpga/project/firmware/weights/w.txt").unlink()
    with pytest.raises(PermissionNeededError) as refused, serving(tmp_path):
        pass
    assert [name for name in (*damages, "sums") if f"{name} runs Python code (" in str(refused.value)] == list(
        damages
    )  # its hashes fit
    allowed = ServeOptions(ports=FREE, load_timeout=60, code=CodeRule(allow=True))
    with pytest.raises(ServingError) as told, serve(tmp_path, allowed, lambda line: None):
        pass
    text = str(told.value)
    assert "\n" not in text
    assert "the compiled C simulation crashed (exit code 1): no weights" in text
    for name, (_, _, expected) in damages.items():
        assert f"{name}: " in text
        assert expected in text
    assert "5 models cannot be served" in text


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["image", "facile", "jet"])
def test_ten_thousand_rows_of_emulation_and_c_simulation(name: str, tmp_path: Path) -> None:
    """Over both protocols, the folder gone: served emulation, served C simulation and direct emulation are the same bytes."""
    x = fpga_graphs.samples(name, 10_000, seed=9)
    source = network(tmp_path, name)
    with open_fpga(source) as direct:
        expected = direct.infer({"x": x})[OUTPUTS[name]]
    put(tmp_path / "models", source, "emulated", max_batch_size=10_000)
    write_record(source, replace(read_record(source), emulated=False))
    put(tmp_path / "models", source, "simulated", max_batch_size=0)
    shutil.rmtree(source)
    with serving(tmp_path / "models") as server:
        for model in ("emulated", "simulated"):
            for protocol in ("http", "grpc"):
                found = ask(server, model, {"x": x}, [OUTPUTS[name]], protocol)[OUTPUTS[name]]
                assert found.tobytes() == expected.tobytes(), f"{model} over {protocol}"


@pytest.mark.long
def test_a_dead_process_of_an_emulation_is_cured(folder: Path) -> None:
    x = fpga_graphs.samples("jet", 4)
    with serving(folder / "models") as server:
        before = ask(server, "jet_fpga", {"x": x}, ["classes"])["classes"]
        for pid, stub in read_stubs(server.pid).items():
            if stub.model == "jet_fpga":
                os.kill(pid, signal.SIGKILL)

        def answered() -> bool:
            try:
                return bool((ask(server, "jet_fpga", {"x": x}, ["classes"])["classes"] == before).all())
            except InferenceServerException:
                return False

        until(lambda: not answered())
        until(answered)
