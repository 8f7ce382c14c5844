"""What a text of the command line names, and which verb takes it: every kind with every verb."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from portinf.core.batch import save_goldens, save_npz
from portinf.core.errors import CannotError, PortinfError, UnreadableError, UsageError
from portinf.locate.resolve import resolve, take
from portinf.onnx_graph.model_file import read_onnx
from portinf.samples.generate import generate
from portinf.targets import find_target
from portinf.targets.fpga.folder import FpgaRecord, write_record
from portinf.triton.manifest import read_manifest
from portinf.triton.writer import Entry, write_entry
from tests.conftest import Cli
from tests.runners.fake_http import Script, serve, tensor
from tests.triton.models import honest

ENDPOINT = "grpc://localhost:8001/net"
# text (a path in the folder of the test) -> kind, target, its ONNX file
KINDS = {
    "net.py:build": ("source", None, None),
    "net.onnx": ("onnx", None, "net.onnx"),
    "models/net": ("version", None, "models/net/2/model.onnx"),
    "models/net/1": ("version", None, "models/net/1/model.onnx"),
    "fpga": ("target", "hls4ml", "fpga/model.onnx"),
    "fpga@csim": ("target", "hls4ml", "fpga/model.onnx"),
    "models/emulated": ("version", "hls4ml", "models/emulated/1/fpga/model.onnx"),
    "kit": ("target", "tensorrt", "kit/model.onnx"),
    ENDPOINT: ("endpoint", None, None),
    "goldens.npz": ("goldens", None, None),
}
TEXTS = ["net.py:build", "net.onnx", "models/net", "fpga", "models/emulated", "kit", ENDPOINT, "goldens.npz"]
# verb -> the words of a refusal between what it is and what to give; then, by text, whether it is taken
TAKEN = {
    "convert": ("portinf convert takes a source or an ONNX file", "yyn nnn nn"),
    "optimize onnxruntime": ("portinf optimize --target onnxruntime takes an ONNX file or a packaged model", "nyy nnn nn"),
    "optimize tensorrt": ("portinf optimize --target tensorrt takes an ONNX file or a packaged model", "nyy nnn nn"),
    "optimize hls4ml": (
        "portinf optimize --target hls4ml takes a source, an ONNX file or a packaged model",
        "yyy nnn nn",
    ),
    "validate": (
        "portinf validate takes a source, an ONNX file, a packaged model, a folder of portinf optimize --target hls4ml, a live model "
        "or recorded answers",
        "yyy yyn yy",
    ),
    "package": (
        "portinf package takes a source, an ONNX file or a folder of portinf optimize --target hls4ml",
        "yyn ynn nn",
    ),
    "inspect": (
        "portinf inspect takes an ONNX file, a packaged model, a folder of portinf optimize or a live model",
        "nyy yyy yn",
    ),
    "sample": (
        "portinf sample takes a source, an ONNX file, a packaged model, a folder of portinf optimize or a live model",
        "yyy yyy yn",
    ),
}
# text -> what it is, and what to give instead
REFUSED = {
    "net.py:build": ("a source (factory)", "convert it first"),
    "models/net": ("a packaged model", "give its model.onnx: models/net/2/model.onnx"),
    "fpga": ("a folder of portinf optimize --target hls4ml", "give its model.onnx: fpga/model.onnx"),
    "models/emulated": ("a packaged model of --target hls4ml", "give its model.onnx: models/emulated/1/fpga/model.onnx"),
    "kit": ("a folder of portinf optimize --target tensorrt", "give its model.onnx: kit/model.onnx"),
    ENDPOINT: ("a live model", "give the file or the folder of that model"),
    "goldens.npz": ("recorded answers", "give the model that answered"),
}


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one of each kind; no framework and no tool is needed to make them."""
    folder = tmp_path_factory.mktemp("kinds")
    (folder / "net.py").write_text("def build():\n    raise RuntimeError('it is only named here')\n")
    artifact = read_onnx(honest(folder / "net.onnx"))
    for _ in range(2):
        write_entry(folder / "models", Entry(name="net", artifact=artifact, max_batch_size=8, batching="asked for"))
    save_goldens(folder / "goldens.npz", [generate(artifact.signature)])
    for name in ("fpga", "kit"):
        (folder / name).mkdir()
        shutil.copyfile(folder / "net.onnx", folder / name / "model.onnx")
    (folder / "kit/tensorrt.json").write_text("{}")
    (folder / "kit/build_engine.sh").write_text("exit 1\n")
    write_record(folder / "fpga", FpgaRecord(signature=artifact.signature, library=None, emulated=True, tolerance=(0.01, 0.01)))
    (folder / "models/emulated/1").mkdir(parents=True)
    (folder / "models/emulated/config.pbtxt").write_text("")
    shutil.copytree(folder / "fpga", folder / "models/emulated/1/fpga")
    return folder


@pytest.fixture
def here(kinds: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(kinds)
    return kinds


@pytest.mark.parametrize("text", KINDS)
def test_a_text_names_one_thing(here: Path, text: str) -> None:
    ref = resolve(text)
    kind, target, model = KINDS[text]
    assert (ref.kind, ref.target and ref.target.name, ref.model and ref.model.as_posix()) == (kind, target, model)
    assert ref.way == ("csim" if text == "fpga@csim" else None)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("verb", TAKEN)
def test_every_verb_takes_a_kind_or_refuses_it_in_the_same_words(here: Path, verb: str, text: str) -> None:
    name, _, target = verb.partition(" ")
    words, verdicts = TAKEN[verb]
    chosen = find_target(target) if target else None
    if verdicts.replace(" ", "")[TEXTS.index(text)] == "y":
        assert take(text, name, chosen).text == text  # type: ignore[arg-type]
        return
    what, advice = REFUSED[text]
    if (verb, text) == ("package", "models/emulated"):
        advice = "give its folder: models/emulated/1/fpga"
    with pytest.raises(CannotError) as caught:
        take(text, name, chosen)  # type: ignore[arg-type]
    assert str(caught.value) == f"{text}: {what}; {words}; {advice}"


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("fpga@here", UsageError, "'here' is not a backend of a folder of --target hls4ml; expected one of emulator, csim"),
        ("kit@rtl", UsageError, "'rtl' is not a backend of a folder of --target tensorrt; leave it out"),
        ("absent.onnx", UnreadableError, "no such file or folder"),
        ("models", UnreadableError, "a repository of 2 models; name one: emulated, net"),
        ("cut", UnreadableError, "no model.onnx in it: the newest version is not complete; package it again"),
        ("bare", UnreadableError, "not a packaged model: expected a version such as 1/model.onnx in it, found none"),
        ("engine", CannotError, "a TensorRT engine (not built: run build_engine.sh in the container"),
        ("empty", UnreadableError, "unknown kind of folder"),
        ("notes.txt", UnreadableError, "unknown format"),
        ("notes.onnx", UnreadableError, "notes.onnx: not an ONNX file, or damaged: "),
        ("cut.onnx", UnreadableError, "cut.onnx: not an ONNX file, or damaged: "),
    ],
)
def test_what_names_nothing_is_refused_alike_by_all_verbs(
    kinds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, error: type[PortinfError], said: str
) -> None:
    for name in ("models", "fpga", "kit"):
        shutil.copytree(kinds / name, tmp_path / name)
    for name in ("cut/1", "cut/2", "bare", "engine/1", "empty"):
        (tmp_path / name).mkdir(parents=True)
    shutil.copyfile(kinds / "net.onnx", tmp_path / "cut/1/model.onnx")
    (tmp_path / "bare/config.pbtxt").write_text("")
    (tmp_path / "engine/1/engine.json").write_text('{"state": "not built"}')
    for name in ("notes.txt", "notes.onnx"):
        (tmp_path / name).write_text("hello")
    (tmp_path / "cut.onnx").write_bytes((kinds / "net.onnx").read_bytes()[:60])
    monkeypatch.chdir(tmp_path)
    for verb in ("convert", "optimize", "validate", "package", "inspect", "sample"):
        with pytest.raises(error) as caught:
            take(text, verb)  # type: ignore[arg-type]
        assert said in str(caught.value)


def test_who_answers_is_chosen_for_validate_alone(here: Path) -> None:
    assert take("fpga@csim", "validate").way == "csim"
    with pytest.raises(UsageError, match="leave out @csim"):
        take("fpga@csim", "package")


def test_inputs_are_sampled_for_every_kind_with_a_signature(here: Path, cli: Cli, tmp_path: Path) -> None:
    for text in ("net.onnx", "models/net", "models/net/1", "fpga", "models/emulated", "models/emulated/1", "kit"):
        done = cli("sample", here / text, "--size", "batch=3", "-o", "s.npz", "--json")
        assert done.code == 0, done.err
        assert done.report["shapes"] == {"x": [3, 4]}


def test_a_folder_without_an_onnx_file_has_none_to_give(here: Path, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "logic").mkdir()
    signature = read_onnx(here / "net.onnx").signature
    write_record(tmp_path / "logic", FpgaRecord(signature=signature, library=None, emulated=False, tolerance=(0.0, 0.0)))
    with pytest.raises(CannotError, match="; give the model that it is made from"):
        take(str(tmp_path / "logic"), "convert")
    assert cli("sample", "logic", "-o", "s.npz").code == 0
    shown = cli("inspect", "logic")
    assert "answered by da4ml's logic" in " ".join(shown.out.split())
    assert cli("inspect", "logic", "--json").report["signature"]["inputs"][0]["name"] == "x"


def test_a_live_model_is_described_and_sampled(cli: Cli, tmp_path: Path) -> None:
    tensors = {"inputs": [tensor("x", "FP32", [-1, 4])], "outputs": [tensor("y", "FP32", [-1, 4])]}
    metadata = {**tensors, "versions": ["3"]}
    config = {"max_batch_size": 8, "input": [{"name": "x", "dims": [4]}], "output": [{"name": "y", "dims": [4]}]}
    with serve(Script(metadata=metadata, config=config)) as address:
        shown = cli("inspect", f"http://{address}/m")
        assert "versions  3" in shown.out and "x  float32  [batch>=1, 4]" in shown.out
        assert cli("inspect", f"http://{address}/m", "--json").report["endpoint"]["versions"] == ["3"]
        done = cli("sample", f"http://{address}/m", "--size", "batch=3", "-o", "s.npz", "--json")
    assert done.code == 0, done.err
    assert done.report["shapes"] == {"x": [3, 4]}


def test_a_version_is_optimized_by_its_file(here: Path, cli: Cli, tmp_path: Path) -> None:
    save_npz(tmp_path / "x.npz", {"x": np.ones((3, 4), np.float32)})
    words = ("--target", "onnxruntime", "--inputs", "x.npz", "-o", "o.onnx", "--json")
    done = cli("optimize", here / "models/net", *words)
    assert done.code == 0, done.err
    assert (tmp_path / "o.onnx").read_bytes() == (here / "models/net/2/model.onnx").read_bytes()
    assert read_manifest(here / "models/net/2").files["model.onnx"] == done.report["files"]["o.onnx"]
