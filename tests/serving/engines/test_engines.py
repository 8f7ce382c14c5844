"""The command line that each engine builds; the container engines are not run here."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest

from portinf.core.errors import CannotError, UsageError
from portinf.serving.engines import ENGINES, EngineRequest, choose_engine, plan
from portinf.serving.engines.pytriton.command import command_for, preflight
from portinf.serving.engines.pytriton.environment import ServingEnvironment
from portinf.serving.server.ports import Ports


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH, at first empty."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def request_(tmp_path: Path) -> EngineRequest:
    """A request for a repository in the test's folder."""
    return EngineRequest(
        repository=tmp_path / "models",
        models=("one", "two"),
        scratch=tmp_path / "scratch",
        ports=Ports(http=1001, grpc=1002, metrics=1003),
        prefix="portinf_aa_",
        complete=False,
        image=None,
        serving_env=None,
        report=lambda line: None,
    )


def program(folder: Path, name: str) -> str:
    """Make an executable file and return its path."""
    (folder / name).touch(mode=0o755)
    return str(folder / name)


def test_auto_takes_what_is_there(programs: Path) -> None:
    assert choose_engine("auto", None) == "pytriton"
    with pytest.raises(CannotError, match="neither docker nor apptainer"):
        choose_engine("auto", "image")
    program(programs, "apptainer")
    assert choose_engine("auto", "image") == "apptainer"
    program(programs, "docker")
    assert choose_engine("auto", "image") == "docker"
    program(programs, "tritonserver")
    assert choose_engine("auto", None) == "path"
    assert [choose_engine(name, "image" if name in ("docker", "apptainer") else None) for name in ENGINES] == list(ENGINES)


def test_names_and_images_that_do_not_fit() -> None:
    with pytest.raises(UsageError, match="no engine is called 'podman'; there are auto, pytriton, path, docker, apptainer"):
        choose_engine("podman", None)
    with pytest.raises(UsageError, match="docker needs an image"):
        choose_engine("docker", None)
    with pytest.raises(UsageError, match="pytriton takes no image"):
        choose_engine("pytriton", "image")


def test_the_server_on_path(programs: Path, request_: EngineRequest) -> None:
    with pytest.raises(CannotError, match="no tritonserver on PATH"):
        plan("path", request_)
    server = program(programs, "tritonserver")
    made = plan("path", request_)
    assert made.command[0] == server
    assert f"--model-repository={request_.repository}" in made.command
    assert {"--model-control-mode=explicit", "--load-model=one", "--load-model=two", "--exit-on-error=false"} <= set(
        made.command
    )
    assert {"--http-address=127.0.0.1", "--http-port=1001", "--grpc-port=1002", "--metrics-port=1003"} <= set(made.command)
    assert "--disable-auto-complete-config" not in made.command
    complete = plan("path", dataclasses.replace(request_, complete=True))
    assert "--disable-auto-complete-config" in complete.command


def test_docker(programs: Path, request_: EngineRequest) -> None:
    asked = dataclasses.replace(request_, image="triton:1")
    with pytest.raises(CannotError, match="docker is not on PATH"):
        plan("docker", asked)
    docker = program(programs, "docker")
    made = plan("docker", asked)
    assert made.command[:5] == (docker, "run", "--rm", "--init", "--name=portinf_aa")
    assert "--publish=127.0.0.1:1001:8000" in made.command
    assert f"--volume={request_.repository.resolve()}:/models:ro" in made.command
    after_image = made.command[made.command.index("triton:1") + 1 :]
    assert after_image[0] == "tritonserver"
    assert {"--model-repository=/models", "--http-port=8000", "--http-address=0.0.0.0"} <= set(after_image)
    assert made.after == (docker, "rm", "--force", "portinf_aa")


def test_a_path_that_a_container_cannot_be_told(programs: Path, request_: EngineRequest, tmp_path: Path) -> None:
    for engine, name in (("docker", "a:b"), ("apptainer", "a:b"), ("apptainer", "a,b")):
        program(programs, engine)
        with pytest.raises(CannotError, match=f"{engine} takes no path with a colon"):
            plan(engine, dataclasses.replace(request_, image="triton:1", repository=tmp_path / name))


def test_a_model_called_star_is_one_of_all(programs: Path, request_: EngineRequest) -> None:
    program(programs, "tritonserver")
    made = plan("path", dataclasses.replace(request_, models=("*", "one")))
    assert [word for word in made.command if "--load-model" in word] == ["--load-model=*"]


def test_apptainer(programs: Path, request_: EngineRequest, tmp_path: Path) -> None:
    apptainer = program(programs, "apptainer")
    made = plan("apptainer", dataclasses.replace(request_, image="nvcr.io/triton:1"))
    assert made.command[:3] == (apptainer, "exec", "--cleanenv")
    assert "docker://nvcr.io/triton:1" in made.command
    assert "--http-address=127.0.0.1" in made.command
    (tmp_path / "triton.sif").touch()
    local = plan("apptainer", dataclasses.replace(request_, image=str(tmp_path / "triton.sif")))
    assert str(tmp_path / "triton.sif") in local.command


def serving_environment(folder: Path) -> ServingEnvironment:
    """Lay out the files of a serving environment; its stub is a program that can be linked."""
    made = ServingEnvironment(
        folder=folder, python=folder / "bin/python", version="3.11", library_folder=Path("/opt/python/lib")
    )
    home = made.packages / "pytriton" / "tritonserver"
    for name in ("python_backend_stubs/3.11", "backends/python", "caches", "bin"):
        (home / name).mkdir(parents=True)
    (home / "python_backend_stubs/3.11/triton_python_backend_stub").write_bytes(Path("/bin/sh").read_bytes())
    for name in ("libtriton_python.so", "triton_python_backend_utils.py"):
        (home / "backends/python" / name).write_text(name)
    return made


def test_pytriton(request_: EngineRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    made = serving_environment(tmp_path / "my: $env")
    command = command_for(made, request_)
    packages = request_.scratch / "environment" / "lib" / "python3.11" / "site-packages"
    home = packages / "pytriton" / "tritonserver"
    assert home.samefile(made.packages / "pytriton" / "tritonserver")
    assert command.command[0] == str(home / "bin/tritonserver")
    backends = request_.scratch / "backends"
    assert f"--backend-directory={backends}" in command.command
    assert f"--cache-directory={home / 'caches'}" in command.command
    assert "--backend-config=python,shm-region-prefix-name=portinf_aa_" in command.command
    assert command.stubs
    python = {path.name for path in (backends / "python").iterdir()}
    assert python == {"triton_python_backend_stub", "libtriton_python.so", "triton_python_backend_utils.py"}
    assert not any(path.is_symlink() for path in backends.rglob("*"))
    assert (backends / "onnxruntime" / "model.py").exists()
    assert "PYTHONPATH" not in command.environment
    assert command.environment["LD_LIBRARY_PATH"] == f"{request_.scratch}/library:{packages / 'nvidia_pytriton.libs'}"
    assert (request_.scratch / "library").readlink() == Path("/opt/python/lib")
    # The whole PATH of the server: what it calls bash is no shell.
    programs = request_.scratch / "programs"
    assert command.environment["PATH"] == str(programs)
    assert sorted(path.name for path in programs.iterdir()) == ["bash", "python", "starter.json"]
    assert (programs / "bash").read_text().startswith(f"#!{programs}/python -IS\n")
    known = json.loads((programs / "starter.json").read_text())
    assert known["path"].split(os.pathsep)[0] == str(request_.scratch / "environment" / "bin")
    assert command.environment["CUDA_VISIBLE_DEVICES"] == ""


def test_pytriton_without_a_stub_for_this_python(request_: EngineRequest, tmp_path: Path) -> None:
    made = dataclasses.replace(serving_environment(tmp_path / "env"), version="3.12")
    with pytest.raises(CannotError, match=r"no stub for Python 3\.12"):
        command_for(made, request_)


def test_a_stub_that_cannot_be_linked_is_refused_before_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ldd").write_text("#!/bin/sh\necho '  libpython3.11.so.1.0 => not found'\n")
    (tmp_path / "ldd").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(CannotError, match=r"cannot be linked: libpython3\.11\.so\.1\.0 => not found; install that library"):
        preflight(tmp_path / "stub", dict(os.environ))
