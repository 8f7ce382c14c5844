"""The command that Triton writes for a shell is taken gap; nothing in it is ever run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from portinf.serving.server import starter
from portinf.serving.server.starter import arguments

UUID = "837ba30b-5ab3-45dd-918d-1c2ef1687c70"
NAMES = [
    "plain",
    "my net",
    "x$(touch EXECUTED)",
    "`touch EXECUTED`",
    "a;touch EXECUTED;",
    "a&touch EXECUTED&",
    "a\ntouch EXECUTED\n",
    "a'b\"c\\d",
    "-c",
    "%s",
    "modèle",
    "x 1 1 1 python 3 y DEFAULT",
    "x" * 255,
]


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    """What a starter in the test's folder knows."""
    (tmp_path / "repository").mkdir()
    known = {"repository": "repository", "backends": "backends"}
    return {
        **{name: str(tmp_path / path) for name, path in known.items()},
        "prefix": "portinf_aa_",
        "path": "/p",
        "bash": "bash",
    }


def command(settings: dict[str, str], model: str, instance: str, file: str = "model.onnx", runtime: str = "") -> str:
    """Write what Triton 2.51 writes."""
    python = f"{settings['backends']}/python"
    return (
        f" exec {python}/triton_python_backend_stub {settings['repository']}/{model}/3/{file} portinf_aa_{UUID} 1048576 1048577 77 "
        f"{python} 336 {instance} {runtime or settings['backends'] + '/onnxruntime'}"
    )


@pytest.mark.parametrize("name", NAMES)
def test_names_come_through_as_they_are(settings: dict[str, str], name: str) -> None:
    python = f"{settings['backends']}/python"
    words = arguments(command(settings, name, f"{name}_0_0", f"{name}.onnx"), settings)
    assert words[0] == f"{python}/triton_python_backend_stub"
    assert words[1] == f"{settings['repository']}/{name}/3/model"
    assert words[2:8] == [f"portinf_aa_{UUID}", "1048576", "1048577", "77", python, "336"]
    assert words[8:] == [f"{name}_0_0", f"{settings['backends']}/onnxruntime", name]


def test_a_name_that_links_becomes_the_folder_with_a_number(settings: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "models" / "m0").mkdir(parents=True)
    (tmp_path / "repository" / "my net").symlink_to(tmp_path / "models" / "m0")
    words = arguments(command(settings, "my net", "i", "my model.py", "DEFAULT"), settings)
    assert words[1] == str(tmp_path / "models" / "m0" / "3" / "my model.py")
    assert words[8:] == ["i", "DEFAULT", "my net"]


def test_an_environment_of_the_users_own_is_a_parameter(settings: dict[str, str]) -> None:
    stub = command(settings, "m", "m_0_0", "model.py", "DEFAULT").removeprefix(" exec ")
    for environment in ("/envs/a", "/envs/my env", "/envs/$(touch EXECUTED)", '/envs/"; touch EXECUTED; "'):
        text = f"source {environment}/bin/activate && exec env LD_LIBRARY_PATH={environment}/lib:$LD_LIBRARY_PATH {stub}"
        words = arguments(text, settings)
        assert words[:2] == ["bash", "-c"]
        assert words[3:5] == ["bash", environment]
        assert words[5:] == arguments(f" exec {stub}", settings)
        assert environment not in words[2]


def test_anything_else_is_refused(settings: dict[str, str]) -> None:
    good = command(settings, "m", "m_0_0")
    for text in (
        "",
        "touch EXECUTED",
        good + "; touch EXECUTED",
        good.replace("portinf_aa_", "portinf_bb_"),
        "touch X; " + good,
    ):
        with pytest.raises(ValueError, match="the command has another form"):
            arguments(text, settings)


def test_it_starts_the_program_and_runs_nothing(settings: dict[str, str], tmp_path: Path) -> None:
    place = tmp_path / "programs"
    place.mkdir()
    source = Path(starter.__file__).read_text()
    (place / "bash").write_text(f"#!{sys.executable} -IS\n{source}")
    (place / "bash").chmod(0o755)
    (place / "starter.json").write_text(json.dumps(settings))
    stub = Path(settings["backends"]) / "python" / "triton_python_backend_stub"
    stub.parent.mkdir(parents=True)
    stub.write_text(f"#!{sys.executable} -IS\nimport os, sys\nprint([*sys.argv[8:], os.environ['PATH']])\n")
    stub.chmod(0o755)
    for name in NAMES:
        said = subprocess.run(
            ["bash", "-c", command(settings, name, f"{name}_0")],
            executable=place / "bash",
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert said.stdout == f"{[f'{name}_0', settings['backends'] + '/onnxruntime', name, '/p']}\n"
    bad = subprocess.run(
        ["bash", "-c", "touch EXECUTED"], executable=place / "bash", cwd=tmp_path, capture_output=True, text=True
    )
    assert bad.returncode == 1
    assert bad.stderr.startswith("E cannot start the process of a model instance: the command has another form")
    assert not list(tmp_path.rglob("EXECUTED"))
