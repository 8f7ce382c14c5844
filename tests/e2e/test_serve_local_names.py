"""Models, files and folders of every name are served by a live local server, under that name, and nothing in a name is run."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tritonclient.utils import InferenceServerException

from portinf.commands.serve_check import check_repository, render
from portinf.core.batch import Batch, save_goldens
from portinf.serving.client.description import description
from portinf.serving.engines.pytriton.canary import prepare
from portinf.serving.reload.stub_supervisor import read_stubs
from portinf.serving.server.launcher import ServeOptions, Server, serve
from portinf.serving.server.model_code import CodeRule
from tests.serving.live import FREE, ask, run_cli, traces, until
from tests.serving.tiny_models import tensor

__all__ = ["traces"]

# A shell needs no program for it; the server runs in a folder of its own below a folder for temporary ones.
MARK = f"EXECUTED-{secrets.token_hex(4)}"
RUN = f"$(cd ..;:>{MARK})"
ODD = f"m '\"`cd ..;:>{MARK}`;&|(zürich) {RUN}"
X = np.arange(8, dtype=np.float32).reshape(2, 4)
CONFIG = """backend: "onnxruntime"
max_batch_size: 8
input [{ name: "x" data_type: TYPE_FP32 dims: [4] }]
output [{ name: "y" data_type: TYPE_FP32 dims: [4] }]
"""
ONE = "instance_group [{ count: 1 kind: KIND_CPU }]\n"
NAMES = [
    "plain",
    "my net",
    "modèle",
    "mode\u0300le",
    "日本",
    RUN,
    ODD,
    f"`cd ..;:>{MARK}`",
    f"a;:>{MARK};",
    f"a&:>{MARK}&",
    f"a\n:>{MARK}\n",
    "tab\tand\x1b[31mred",
    "back\\slash",
    "50%_%s%n%20",
    "--load-model=x",
    "Plain",
    "*",
    "a..b",
    "#?",
    "x" * 255,
]
PYTHON = """
from pathlib import Path
import triton_python_backend_utils as pb_utils
import helper
class TritonPythonModel:
    def execute(self, requests):
        assert (Path(pb_utils.get_model_dir()) / "model.py").is_file()
        values = [pb_utils.get_input_tensor_by_name(request, "x").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", value * helper.FACTOR)]) for value in values]
"""


def quoted(text: str) -> str:
    """Write a text as protobuf's text format takes it."""
    return '"' + "".join(f"\\{byte:03o}" for byte in text.encode()) + '"'


def write(
    root: Path, name: str, factor: float, *, more: str = ONE, file: str = "model.onnx", config: str | None = CONFIG
) -> Path:
    """Write a model that multiplies, and return its folder."""
    path = root / name / "1" / file
    path.parent.mkdir(parents=True)
    ends = [[tensor(end, TensorProto.FLOAT, ["n", 4])] for end in ("x", "y")]
    constant = numpy_helper.from_array(np.array(factor, np.float32), "k")
    graph = helper.make_graph([helper.make_node("Mul", ["x", "k"], ["y"])], "g", *ends, [constant])
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)
    if config is not None:
        (root / name / "config.pbtxt").write_text(f"name: {quoted(name)}\n{config}{more}")
    save_goldens(root / name / "1" / "goldens.npz", [Batch(name="g", inputs={"x": X}, expected={"y": X * np.float32(factor)})])
    return root / name


def write_python(root: Path, name: str, factor: float) -> None:
    """Write a Python model that multiplies by what a second file says, which has it from a Python environment of its own."""
    (root / name / "1").mkdir(parents=True)
    (root / name / "1" / "model.py").write_text(PYTHON)
    (root / name / "1" / "helper.py").write_text('import os\nFACTOR = float(os.environ["FACTOR"])\n')
    environment = root / name / f"env {ODD}"
    for part in ("bin", "lib"):
        (environment / part).mkdir(parents=True)
    (environment / "bin" / "activate").write_text(f"export FACTOR={factor}\n")
    text = f'parameters {{ key: "EXECUTION_ENV_PATH" value {{ string_value: {quoted(str(environment))} }} }}\n'
    text += f"instance_group [{{ name: {quoted(name)} count: 1 kind: KIND_CPU }}]\n"
    (root / name / "config.pbtxt").write_text(f"name: {quoted(name)}\n{CONFIG.replace('onnxruntime', 'python')}{text}")


def write_ensemble(root: Path, name: str, steps: list[str]) -> None:
    """Write an ensemble of models one after another."""
    tensors = ["x", *(f"t{number}" for number in range(1, len(steps))), "y"]
    parts = [
        f'{{ model_name: {quoted(step)} model_version: -1 input_map {{ key: "x" value: "{tensors[number]}" }} '
        f'output_map {{ key: "y" value: "{tensors[number + 1]}" }} }}'
        for number, step in enumerate(steps)
    ]
    (root / name / "1").mkdir(parents=True)
    text = CONFIG.replace('backend: "onnxruntime"', 'platform: "ensemble"')
    (root / name / "config.pbtxt").write_text(
        f"name: {quoted(name)}\n{text}ensemble_scheduling {{ step [{', '.join(parts)}] }}\n"
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which the repository, the serving environment and TMPDIR have names that a shell would run."""
    folder = tmp_path_factory.mktemp("names")
    for name in ("models", "tmp"):
        (folder / f"{name} {ODD}").mkdir()
    (folder / f"env {ODD}").symlink_to(prepare(None, lambda line: None).folder, target_is_directory=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder / f"tmp {ODD}"))
        patch.setenv("TMPDIR", str(folder / f"tmp {ODD}"))
        patch.chdir(folder)
        yield folder
    assert not [
        found
        for root in (folder, *map(Path, ("/tmp", "/var/tmp")))
        for found in root.glob(f"**/{MARK}" if root == folder else MARK)
    ]


def options(place: Path) -> ServeOptions:
    """Serve with the oddly named environment, and run the models' own code."""
    return ServeOptions(ports=FREE, serving_env=place / f"env {ODD}", code=CodeRule(allow=True))


def factor(server: Server, model: str, protocol: str = "grpc") -> float:
    """Ask a model, and return by what it multiplies."""
    answer = ask(server, model, {"x": X}, ["y"], protocol)["y"]
    np.testing.assert_array_equal(answer, X * answer[0, 1])
    return float(answer[0, 1])


@pytest.mark.usefixtures("traces")
def test_every_name_is_served_and_loaded_later(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = place / f"models {ODD}"
    expected = {name: float(number) for number, name in enumerate([*NAMES, f"code {ODD}", f"group {RUN}"], 2)}
    for name in NAMES:
        write(models, name, expected[name])
    write(models, f"group {RUN}", expected[f"group {RUN}"], more=f"instance_group [{{ name: {quoted(ODD)} count: 1 }}]\n")
    write_python(models, f"code {ODD}", expected[f"code {ODD}"])
    for number, file in enumerate((f"{ODD}.onnx", "sub/modèle.onnx", "-x\n.onnx"), 101):
        expected[f"file{number}"] = number
        write(models, f"file{number}", number, file=file, more=f"{ONE}default_model_filename: {quoted(file)}\n")
    expected[f"chain {ODD}"] = expected[RUN] * expected[f"code {ODD}"]
    write_ensemble(models, f"chain {ODD}", [RUN, f"code {ODD}"])
    lines: list[str] = []
    with serve(models, options(place), lines.append) as server:
        assert {name: factor(server, name) for name in expected} == expected
        assert factor(server, "x" * 255, "http") == expected["x" * 255]
        clients = {model["name"]: model["client"] for model in description(server)["models"]}
        for name in ("plain", ODD, f"a\n:>{MARK}\n"):
            exec(compile(clients[name], "client", "exec"), {})
        assert capsys.readouterr().out.count("[[0. 0. 0. 0.]]") == 3
        write(place / "new", f"new {ODD}", 5)
        (place / "new" / f"new {ODD}").rename(models / f"new {ODD}")
        write(place / "new", ODD, 6)
        (place / "new" / ODD / "1").rename(models / ODD / "2")
        until(lambda: server.control.ready_versions(f"new {ODD}") == [1])
        until(lambda: server.control.ready_versions(ODD) == [2])
        assert [factor(server, name) for name in (f"new {ODD}", ODD)] == [5, 6]
        (stub,) = [stub for stub in read_stubs(server.pid).values() if (stub.model, stub.version) == (ODD, 2)]
        os.kill(stub.pid, signal.SIGKILL)
        until(lambda: any("answers again" in line for line in lines))
        assert factor(server, ODD) == 6
        shutil.rmtree(models / f"new {ODD}")
        until(lambda: server.control.ready_versions(f"new {ODD}") == [])
        with pytest.raises(InferenceServerException):
            factor(server, f"new {ODD}")
    assert not [line for line in lines if "not loaded" in line or (MARK in line and "\n" in line)]


@pytest.mark.usefixtures("traces")
def test_check_asks_models_of_every_name(place: Path) -> None:
    models = place / "check" / ODD
    write(models, "plain", 2)
    write(models, ODD, 3, config=None)  # completed: one more process, which has the model's name
    write(models, f"a\n{RUN}", 4)
    report = check_repository(models, options(place), lambda line: None)
    verdicts = {(row.model, row.protocol): row.verdict for row in report.rows}
    names = ("plain", ODD, f"a\n{RUN}")
    assert verdicts == {("plain", "http"): "equal", **{(name, "grpc"): "equal" for name in names}}
    assert f"a\\n{RUN}: not replayed over HTTP, where Triton does not accept this name" in render(report)


def test_a_bad_model_is_named_with_the_users_path(place: Path) -> None:
    models = place / "bad" / ODD
    folder = write(models, RUN, 2)
    (folder / "1" / "model.onnx").write_bytes(b"not a model")
    run = run_cli(str(models), "--replay")
    assert run.code == 6
    assert f"{RUN}: ONNX Runtime cannot load '{folder}/1/model.onnx'" in run.message
