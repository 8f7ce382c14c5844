"""Packaging a network for an FPGA: the copy answers the same bits away from its folder, or nothing is written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from portinf.commands.inspect import inspect
from portinf.commands.inspect_text import render
from portinf.commands.package import package
from portinf.commands.validate import ValidateOptions, validate
from portinf.conversion.convert import ConvertOptions
from portinf.conversion.options import SourcingOptions
from portinf.core.batch import load_goldens, save_npz
from portinf.core.errors import CannotError, DisagreementError, PortinfError, UnreadableError, UsageError
from portinf.fixedpoint.network import load
from portinf.packaging.options import PackageOptions, PackageResult
from portinf.targets.fpga.folder import NETWORK, read_record, write_record
from portinf.targets.fpga.optimize import optimize_fpga
from portinf.targets.fpga.options import FpgaOptions
from portinf.targets.fpga.runners import open_fpga
from portinf.triton.config import from_text
from portinf.triton.manifest import read_manifest, verify
from portinf.validation import Tolerance
from tests.conftest import Cli
from tests.models import fpga_graphs
from tests.models.fpga_libraries import LIBRARY, put_library

pytest.importorskip("hls4ml", reason="hls4ml is not installed")
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with jet.onnx, its samples and the network for an FPGA in ``net``."""
    folder = tmp_path_factory.mktemp("fpga")
    fpga_graphs.jet(folder / "jet.onnx")
    save_npz(folder / "jet.npz", {"x": fpga_graphs.samples("jet", 500)})
    optimize_fpga(str(folder / "jet.onnx"), folder / "net", FpgaOptions(inputs=[folder / "jet.npz"], csim=False))
    return folder


@pytest.fixture
def net(made: Path, tmp_path: Path) -> Path:
    """A copy of the network's folder that a test may damage."""
    return Path(shutil.copytree(made / "net", tmp_path / "net"))


def packaged(source: Path, tmp_path: Path, *inputs: Path, **options: Any) -> PackageResult:
    chosen = PackageOptions(repository=tmp_path / "models", **options)
    return package(str(source), chosen, ConvertOptions(sourcing=SourcingOptions(inputs=inputs)))


def alone(version: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Let a version check itself, with nothing of portinf in reach."""
    command = [sys.executable, "-I", str(version / "portinf_answers.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd="/", env={**os.environ})


def test_the_emulation_is_served_as_its_float_model_is(made: Path, net: Path, tmp_path: Path) -> None:
    result = packaged(net, tmp_path, made / "jet.npz", name="jet_fpga")
    twin = packaged(made / "jet.onnx", tmp_path, made / "jet.npz", name="jet")
    ours, theirs = (from_text((tmp_path / "models" / name / "config.pbtxt").read_text()) for name in ("jet_fpga", "jet"))
    assert (ours.inputs, ours.outputs, ours.max_batch_size) == (theirs.inputs, theirs.outputs, theirs.max_batch_size)
    assert (ours.platform, ours.backend) == ("fpga_emulation", "python")
    assert ours.parameters["portinf_executed_by"] == "emulation"
    assert "not run on a card" in ours.parameters["portinf_kind"]
    assert result.packaged.manifest.batching == twin.packaged.manifest.batching

    manifest = read_manifest(result.packaged.path)
    assert manifest.emulation is not None
    assert manifest.emulation["card"] == "not run here"
    assert manifest.validation is not None
    assert manifest.validation["verdict"] == "equal"
    assert "the float model" in manifest.validation["reference"]
    assert verify(result.packaged.path) == []
    golden = load_goldens(result.packaged.path / "goldens.npz")[0]
    assert golden.expected is not None
    with open_fpga(net) as direct:
        assert direct.infer(golden.inputs)["classes"].tobytes() == golden.expected["classes"].tobytes()


def test_the_copy_needs_nothing_but_itself(net: Path, tmp_path: Path) -> None:
    version = packaged(net, tmp_path).packaged.path
    shutil.rmtree(net)
    moved = version.rename(tmp_path / "elsewhere")
    for path in moved.glob("*.py"), (moved / "portinf_fixedpoint").glob("*.py"):
        assert not any(
            line.startswith(("from portinf ", "from portinf.", "import portinf ")) for p in path for line in lines(p)
        )
    done = alone(moved)
    assert (done.returncode, done.stdout) == (0, "1 recorded requests: every bit of the answers is as recorded\n"), done.stderr


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_a_changed_bit_is_seen(net: Path, tmp_path: Path) -> None:
    version = packaged(net, tmp_path).packaged.path
    path = version / "fpga" / NETWORK / "network.json"
    data = json.loads(path.read_text())
    data["layers"][0]["result"] = "ap_fixed<6,3>"
    path.write_text(json.dumps(data))
    done = alone(version)
    assert done.returncode == 1
    assert "output 'classes' is not the recorded one, bit for bit" in done.stderr
    assert any("network.json: changed after packaging" in line for line in verify(version))


def test_without_samples_the_judgement_is_that_of_the_folder(net: Path, tmp_path: Path) -> None:
    result = packaged(net, tmp_path)
    assert "largest error" in result.text()
    assert any("give --inputs to test again" in note for note in result.notes)
    (net / "report.json").unlink()
    with pytest.raises(UnreadableError, match=r"report.json: .*give --inputs to judge the network again"):
        packaged(net, tmp_path)


def test_out_of_tolerance_is_packaged_by_force_alone(made: Path, net: Path, tmp_path: Path, cli: Cli) -> None:
    tight = {"tolerance": Tolerance.of(1e-6, 1e-6)}
    with pytest.raises(DisagreementError, match=r"not packaged: FPGA .exact emulation. against the float model"):
        packaged(net, tmp_path, made / "jet.npz", **tight)
    assert not (tmp_path / "models").exists() or not any((tmp_path / "models").iterdir())
    assert packaged(net, tmp_path, made / "jet.npz", force=True, **tight).packaged.manifest.forced


@pytest.mark.parametrize("name", ["network/network.json", "network/network.npz", "model.onnx"])
def test_a_damaged_folder_is_refused_in_one_line(net: Path, tmp_path: Path, name: str) -> None:
    whole = (net / name).read_bytes()
    for content in (whole.replace(b"a", b"b", 1), whole[:-9], b""):
        (net / name).write_bytes(content)
        with pytest.raises(UnreadableError, match="run portinf optimize again") as told:
            packaged(net, tmp_path)
        assert "\n" not in str(told.value)
    (net / name).unlink()
    with pytest.raises(PortinfError, match="run portinf optimize again"):
        packaged(net, tmp_path)
    assert not (tmp_path / "models").exists()


def test_the_tolerance_that_was_judged_with_is_declared(made: Path, net: Path, tmp_path: Path) -> None:
    packaged(net, tmp_path, made / "jet.npz", tolerance=Tolerance.of(0.03, 0.02))
    parameters = from_text((tmp_path / "models/net/config.pbtxt").read_text()).parameters
    assert (parameters["portinf_rtol_to_float"], parameters["portinf_atol_to_float"]) == ("0.03", "0.02")
    with pytest.raises(UsageError, match="--rtol and --atol require --inputs"):
        packaged(net, tmp_path, tolerance=Tolerance.of(0.03, 0.02))


def test_options_of_a_source_are_refused(net: Path, tmp_path: Path) -> None:
    conversion = ConvertOptions(sourcing=SourcingOptions(dynamic={("x", 0): "batch"}))
    with pytest.raises(UsageError, match="--dynamic applies only when converting"):
        package(str(net), PackageOptions(repository=tmp_path / "models"), conversion)


def test_inspect_and_validate_name_the_emulation(made: Path, net: Path, tmp_path: Path, cli: Cli) -> None:
    version = packaged(net, tmp_path, made / "jet.npz").packaged.path
    packaged(made / "jet.onnx", tmp_path, made / "jet.npz")
    for path in (version, version.parent, net):
        assert "bit-exact emulation of an FPGA (hls4ml); not run on a card" in " ".join(render(inspect(str(path))).split())
    shown = cli("inspect", version.parent, "--json")
    assert shown.report["emulation"]["executed_by"] == "emulation"
    models = tmp_path / "models"
    report = validate(str(models / "jet"), [str(models / "jet"), str(models / "net")], ValidateOptions())
    bounds = [comparison.outputs[0] for comparison in report.comparisons]
    assert report.verdict == "equal"
    assert [(bound.rtol, bound.atol) for bound in bounds] == [(1e-4, 1e-5), (0.01, 0.01), (0.01, 0.01)]
    itself = validate(str(models / "net"), [str(net)], ValidateOptions())
    assert (itself.comparisons[0].outputs[0].rtol, itself.comparisons[0].outputs[0].atol) == (0.0, 0.0)
    (version / "fpga" / "network" / "network.npz").write_bytes(b"x")
    broken = cli("validate", models / "jet", models / "net")
    assert broken.code == UnreadableError.exit_code
    assert "network.npz: changed after packaging" in broken.message


def test_what_is_gone_from_a_package_is_named(net: Path, tmp_path: Path, cli: Cli) -> None:
    version = packaged(net, tmp_path).packaged.path
    for name in ("goldens.npz", "fpga/model.onnx", "fpga/portinf-fpga.json", "portinf.json"):
        (version / name).rename(tmp_path / "aside")
        done = cli("inspect", version.parent) if name.startswith("fpga/") else cli("validate", version.parent, net)
        assert done.code == UnreadableError.exit_code
        assert version.name in done.message
        assert name.rpartition("/")[2] in done.message
        (tmp_path / "aside").rename(version / name)
    shutil.rmtree(version / "fpga")
    assert "fpga" in cli("inspect", version.parent).message


@needs_compiler
def test_a_compiled_library_answers_from_the_copy(net: Path, tmp_path: Path) -> None:
    for name, weights in (("beside", "weights/w.txt"), ("inside", None)):
        put_library(net, weights=weights, given=16, made=5)
        result = packaged(net, tmp_path, name=name, max_batch_size=0)
        assert result.packaged.manifest.emulation is not None
        assert result.packaged.manifest.emulation["executed_by"] == "c_simulation"
    shutil.rmtree(net)
    for name in ("beside", "inside"):
        assert alone(tmp_path / "models" / name / "1", "c_simulation").returncode == 0
    (tmp_path / "models/beside/1/fpga" / LIBRARY).parent.joinpath("weights/w.txt").unlink()
    done = alone(tmp_path / "models/beside/1", "c_simulation")
    assert done.returncode == 1
    assert done.stderr.strip().endswith("crashed (exit code 1): no weights")


@needs_compiler
def test_a_library_that_will_end_its_process_is_refused(net: Path, tmp_path: Path) -> None:
    """Its weights are where it was built: it answers today, and kills its process when that folder is gone."""
    far = tmp_path / "build"
    far.mkdir()
    (far / "w.txt").write_text("0.5")
    put_library(net, weights=str(far / "w.txt"), given=16, made=5)
    with pytest.raises(CannotError, match=r"not packaged: .*reads files outside its folder, and would end its process"):
        packaged(net, tmp_path, max_batch_size=0)
    shutil.rmtree(far)
    with pytest.raises(CannotError, match=r"crashed .exit code 1.: no weights"):
        packaged(net, tmp_path, max_batch_size=0)
    (net / LIBRARY).write_bytes(b"no library")
    with pytest.raises(CannotError, match="the C simulation crashed"):
        packaged(net, tmp_path, max_batch_size=0)
    assert not (tmp_path / "models").exists() or not any((tmp_path / "models").iterdir())


def test_the_handover_builds_in_a_folder_of_its_own(net: Path, tmp_path: Path) -> None:
    part = packaged(net, tmp_path).packaged.path / "fpga"
    assert "not run here" in " ".join((part / "README.md").read_text().split())
    for name in ("build.sh", "driver/card.py"):
        assert "ot run here" in (part / name).read_text()
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "vitis-run").write_text('#!/bin/sh\necho "$@" > said\n')
    (tools / "vitis-run").chmod(0o755)
    build = ["sh", str(part / "build.sh"), str(tmp_path / "built")]
    missing = subprocess.run(build, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False)
    assert missing.returncode == 3
    assert "neither vitis-run nor vitis_hls is on PATH" in missing.stderr
    subprocess.run(build, env={"PATH": f"{tools}:/usr/bin:/bin"}, check=True)
    assert (tmp_path / "built/said").read_text() == "--mode hls --tcl build_prj.tcl\n"
    assert "synth      1" in (tmp_path / "built/build_opt.tcl").read_text()
    assert verify(part.parent) == []
    done = alone(part.parent, "card")
    assert done.returncode == 1
    assert "the card's driver is not written; not run here" in done.stderr


def test_a_driver_is_asked_in_place_of_the_emulation_and_held_to_its_bits(net: Path, tmp_path: Path) -> None:
    version = packaged(net, tmp_path).packaged.path
    driver = version / "fpga/driver/card.py"
    body = """
from portinf_fixedpoint.emulator import Emulator
from portinf_fixedpoint.network import load

class Card:
    def __init__(self, folder):
        self.emulator = Emulator(load(folder / "network"))

    def run(self, inputs):
        return {name: array + STEP for name, array in self.emulator.run(inputs).items()}
"""
    driver.write_text(body.replace("STEP", "0"))
    assert alone(version, "card").returncode == 0
    driver.write_text(body.replace("STEP", "2 ** -12"))
    assert "bit for bit" in alone(version, "card").stderr


def test_a_network_that_is_a_batch_of_its_own_has_no_batching(net: Path, tmp_path: Path) -> None:
    assert packaged(net, tmp_path, max_batch_size=0).packaged.manifest.max_batch_size == 0
    assert load(net / NETWORK).inputs[0].shape == (16,)
    record = read_record(net)
    write_record(net, replace(record, tolerance=(0.02, 0.02)))
    with pytest.raises(CannotError, match=r"portinf_rtol_to_float is '0.01', now '0.02'; take another --name"):
        packaged(net, tmp_path, max_batch_size=0)


def test_numbers_that_are_none_have_no_answer(made: Path, net: Path, tmp_path: Path) -> None:
    bad = fpga_graphs.samples("jet", 4)
    bad[2, 3] = np.nan
    save_npz(tmp_path / "bad.npz", {"x": bad})
    with pytest.raises(PortinfError, match="contains NaN or infinity"):
        packaged(net, tmp_path, tmp_path / "bad.npz")


@pytest.mark.long
@pytest.mark.timeout(900)
@needs_compiler
def test_the_library_that_hls4ml_itself_builds_is_refused(net: Path, tmp_path: Path) -> None:
    """It holds the absolute place of its weights: it answers, until that folder is moved."""
    project = shutil.copytree(net / "project", tmp_path / "build")
    subprocess.run(["bash", "build_lib.sh"], cwd=project, check=True, timeout=600)
    built = next((project / "firmware").glob("portinf_model-*.so"))
    shutil.copyfile(built, net / LIBRARY)
    write_record(net, replace(read_record(net), emulated=False, library=LIBRARY))
    with pytest.raises(CannotError, match=r"not packaged: .*reads files outside its folder, and would end its process"):
        packaged(net, tmp_path, max_batch_size=0)
    project.rename(tmp_path / "moved")
    with pytest.raises(CannotError, match="crashed"):
        packaged(net, tmp_path, max_batch_size=0)
    assert not (tmp_path / "models").exists() or not any((tmp_path / "models").iterdir())
