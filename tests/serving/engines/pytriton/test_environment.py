"""The serving environment is complete only with its marker, is made by one process at a time, and never destroys other files."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from portinf.core.errors import CannotError, UsageError
from portinf.serving.engines.pytriton import environment as module
from portinf.serving.engines.pytriton import interpreter
from portinf.serving.engines.pytriton.environment import (
    REQUIREMENTS,
    ServingEnvironment,
    default_folder,
    environment,
    is_complete,
)
from portinf.serving.engines.pytriton.interpreter import Interpreter, find_interpreter


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace the costly steps by a link to a Python; gives the purposes of the steps in order."""
    done: list[str] = []

    def step(command: list[str], purpose: str) -> None:
        done.append(purpose)
        if "venv" in command:
            folder = Path(command[-1])
            (folder / "bin").mkdir()
            (folder / "bin" / "python").symlink_to(find_interpreter().program)

    monkeypatch.setattr(module, "_step", step)
    monkeypatch.setattr(module, "_check_versions", lambda made: None)
    return done


def make(folder: Path, lines: list[str] | None = None) -> ServingEnvironment:
    """Make or open an environment without a canary."""
    return environment(folder, lines.append if lines is not None else lambda line: None, lambda made: None)


def test_it_is_made_once(tmp_path: Path, steps: list[str]) -> None:
    made = make(tmp_path / "env")
    assert steps == ["create a virtual environment", "install the packages of the serving environment"]
    assert is_complete(tmp_path / "env")
    assert make(tmp_path / "env") == made
    assert len(steps) == 2


def test_an_interrupted_creation_is_not_taken_for_complete(tmp_path: Path, steps: list[str]) -> None:
    def interrupted(made: ServingEnvironment) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        environment(tmp_path / "env", lambda line: None, interrupted)
    assert not is_complete(tmp_path / "env")
    lines: list[str] = []
    make(tmp_path / "env", lines)
    assert lines[0].startswith("removing an unfinished serving environment")
    assert is_complete(tmp_path / "env")


def test_a_failed_canary_leaves_it_incomplete(tmp_path: Path, steps: list[str]) -> None:
    def failing(made: ServingEnvironment) -> None:
        raise CannotError("0 bytes")

    with pytest.raises(CannotError, match="0 bytes"):
        environment(tmp_path / "env", lambda line: None, failing)
    assert not is_complete(tmp_path / "env")


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path, steps: list[str]) -> None:
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "pyvenv.cfg").write_text("somebody's own")
    with pytest.raises(UsageError, match="not a serving environment and is not empty"):
        make(tmp_path / "env")
    assert (tmp_path / "env" / "pyvenv.cfg").exists()
    assert steps == []


def test_an_environment_of_other_versions_is_left_alone(
    tmp_path: Path, steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "env")
    (tmp_path / "requirements.txt").write_text("numpy==1.26.3\n")
    monkeypatch.setattr(module, "REQUIREMENTS", tmp_path / "requirements.txt")
    assert not is_complete(tmp_path / "env")
    with pytest.raises(UsageError, match="of other versions"):
        make(tmp_path / "env")


def test_two_at_once_make_one(tmp_path: Path, steps: list[str]) -> None:
    results: list[ServingEnvironment] = []
    threads = [threading.Thread(target=lambda: results.append(make(tmp_path / "env"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert len(steps) == 2


def test_a_place_that_cannot_be_written(tmp_path: Path, steps: list[str]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotError, match="--serving-env PATH"):
        make(tmp_path / "file" / "env")


def test_a_failing_installation_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CannotError, match=r"cannot install things: .*No matching.*serve-local --prepare") as caught:
        module._step(["sh", "-c", "echo 'ERROR: No matching distribution' >&2; exit 1"], "install things")
    assert "\n" not in str(caught.value)


def test_the_default_folder_follows_requirements_and_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    python = Interpreter(program=Path("/usr/bin/python3"), version="3.11", full_version="3.11.7", library_folder=None)
    other = Interpreter(program=Path("/usr/bin/python3"), version="3.12", full_version="3.12.1", library_folder=None)
    before = default_folder(python)
    assert before != default_folder(other)
    (tmp_path / "requirements.txt").write_text("numpy==1.26.3\n")
    monkeypatch.setattr(module, "REQUIREMENTS", tmp_path / "requirements.txt")
    assert before != default_folder(python)


def test_requirements_are_exact_and_numpy_is_1() -> None:
    pins = [line for line in REQUIREMENTS.read_text().splitlines() if line and not line.startswith("#")]
    assert all(line.count("==") == 1 for line in pins)
    assert any(line.startswith("numpy==1.") for line in pins)


def test_no_fitting_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(interpreter, "VERSIONS", ("2.8",))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotError, match=r"needs Python 2\.8; portinf runs on"):
        find_interpreter()


def test_a_python_on_path_is_taken_where_the_running_one_does_not_fit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken, good = tmp_path / "python3.12", tmp_path / "python3.11"
    broken.write_text("#!/bin/sh\nexit 127\n")
    record = '{"version": "3.11", "full": "3.11.9", "base": "/", "folder": "", "multiarch": "", "library": ""}'
    good.write_text(f"#!/bin/sh\necho '{record}'\n")
    for program in (broken, good):
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setattr("sys.executable", str(tmp_path / "none"))
    found = find_interpreter()
    assert (found.program, found.full_version) == (good, "3.11.9")


@pytest.mark.parametrize(
    ("system", "machine", "library"),
    [("Darwin", "arm64", ("", "")), ("Linux", "ppc64le", ("glibc", "2.39")), ("Linux", "x86_64", ("glibc", "2.34"))],
)
def test_another_platform_is_told_before_anything_is_made(
    system: str, machine: str, library: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, steps: list[str]
) -> None:
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("platform.libc_ver", lambda: library)
    with pytest.raises(CannotError, match=rf"glibc 2\.35 or later, found {system} on {machine} .*--image"):
        make(tmp_path / "env")
    assert steps == []
