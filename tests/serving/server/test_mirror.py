"""The folder that a server is given: what of a model it shows, under which names, and what it never shows."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from portinf.core.errors import PermissionNeededError, ServingError, UnreadableError
from portinf.serving.backends.onnxruntime import portinf_onnx_session
from portinf.serving.repository import ModelFolder, Problem, read_model
from portinf.serving.server.mirror import FILES, Mirror, Original
from portinf.serving.server.model_code import CodeRule, code_refusal, own_code
from portinf.triton.config import read_message
from tests.serving.tiny_models import ADD_CONFIG, add, fingerprint

PYTHON_CONFIG = ADD_CONFIG.replace('platform: "onnxruntime_onnx"', 'backend: "python"')


def model(path: Path) -> ModelFolder:
    """Read a model that is well."""
    found = read_model(path)
    assert isinstance(found, ModelFolder), found
    return found


def mirror(tmp_path: Path, rule: CodeRule | None = None, *, own: bool = True, lines: list[str] | None = None) -> Mirror:
    """Make an empty mirror in a folder of its own."""
    scratch = tmp_path / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    return Mirror(scratch, own=own, rule=rule or CodeRule(), report=(lines if lines is not None else []).append)


def python_model(root: Path, name: str = "code") -> Path:
    """Write a Python model and return its folder."""
    (root / name / "1").mkdir(parents=True)
    (root / name / "1" / "model.py").write_text("print('as packaged')\n")
    (root / name / "config.pbtxt").write_text(PYTHON_CONFIG.replace('"add"', f'"{name}"'))
    return root / name


def names(folder: Path) -> list[str]:
    """Return what is in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_a_model_shows_its_files_under_a_name_of_ours(tmp_path: Path) -> None:
    for name in ("add", "my net", "modèle", "a\nb", "$(touch EXECUTED)", "-x", "%s"):
        folder = add(tmp_path / "models", name, None)
        (folder / "labels.txt").write_text("one\n")
        (folder / ".hidden").touch()
        before = fingerprint(folder)
        given = mirror(tmp_path)
        given.add(model(folder))
        assert names(given.repository) == [name]
        place = (given.repository / name).resolve()
        assert place.relative_to(tmp_path / "scratch") in (Path("repository/add"), Path("models/m0"))
        assert names(place) == ["1", "config.pbtxt", "labels.txt"]
        assert names(place / "1") == [FILES]
        assert (place / "1" / FILES / "model.onnx").samefile(folder / "1" / "model.onnx")
        assert read_message(place / "config.pbtxt").backend == "onnxruntime"
        given.remove(name)
        assert names(given.repository) == []
        assert names(tmp_path / "scratch" / "models") == []
        assert fingerprint(folder) == before


def test_the_name_of_the_files_is_that_of_the_backend() -> None:
    assert portinf_onnx_session.FILES == FILES


def test_it_follows_new_and_removed_versions_and_keeps_what_stays(tmp_path: Path) -> None:
    folder = add(tmp_path / "models")
    given = mirror(tmp_path)
    given.add(model(folder))
    place = given.repository / "add"
    before = (place / "config.pbtxt").stat().st_mtime_ns, (place / "1").stat().st_mtime_ns
    shutil.copytree(folder / "1", folder / "2")
    given.add(model(folder))
    assert names(place) == ["1", "2", "config.pbtxt"]
    assert before == ((place / "config.pbtxt").stat().st_mtime_ns, (place / "1").stat().st_mtime_ns)
    (folder / "2").rename(folder / "5")
    shutil.rmtree(folder / "1")
    given.add(model(folder))
    assert names(place) == ["5", "config.pbtxt"]


def test_a_gpu_becomes_a_cpu_and_is_told_once(tmp_path: Path) -> None:
    folder = add(tmp_path / "models", config=ADD_CONFIG.replace("KIND_CPU", "KIND_GPU gpus: [0]"))
    before = fingerprint(folder)
    lines: list[str] = []
    given = mirror(tmp_path, lines=lines)
    for _ in range(2):
        given.add(model(folder))
    expected = read_message(add(tmp_path / "other") / "config.pbtxt")
    assert read_message(given.repository / "add" / "config.pbtxt") == expected
    assert lines == ["no GPU is used here: add will run on the CPU (your files stay as they are)"]
    assert fingerprint(folder) == before


def test_messages_name_the_users_files(tmp_path: Path) -> None:
    given = mirror(tmp_path)
    folders = {name: add(tmp_path / "models", name) for name in ("add", "add2", "my net")}
    for folder in folders.values():
        given.add(model(folder))
    for name, place in (("add2", given.repository / "add2"), ("my net", tmp_path / "scratch" / "models" / "m0")):
        said = f"cannot load '{place}/1/{FILES}/model.onnx' of {given.repository / name}: why"
        assert given.in_users_words(said) == f"cannot load '{folders[name]}/1/model.onnx' of {folders[name]}: why"


@pytest.mark.parametrize(
    "plant",
    [
        "triton_python_backend_stub",
        "1/triton_python_backend_stub",
        "libtriton_onnxruntime.so",
        "1/libtriton_onnxruntime.so",
        "1/libtriton_python.so",
        "1/batchstrategy.so",
    ],
)
def test_programs_and_libraries_beside_an_onnx_file_need_permission(tmp_path: Path, plant: str) -> None:
    folder = add(tmp_path / "models")
    (folder / plant).touch()
    with pytest.raises(PermissionNeededError, match=f"runs {Path(plant).name}"):
        mirror(tmp_path, CodeRule(verify=lambda path: [])).add(model(folder))
    allowed = mirror(tmp_path, CodeRule(allow=True))
    allowed.add(model(folder))
    assert (allowed.repository / "add" / plant).exists()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('model_operations { op_library_filename: "/tmp/evil.so" }', "the library /tmp/evil.so"),
        ('runtime: "weights.bin"', "the runtime weights.bin"),
        ('model_repository_agents { agents { name: "../../tmp/x" } }', "the library of ../../tmp/x"),
        ('parameters { key: "TRITON_BATCH_STRATEGY_PATH" value { string_value: "/tmp/x.so" } }', "TRITON_BATCH_STRATEGY_PATH"),
    ],
)
def test_a_configuration_that_loads_libraries_needs_permission(tmp_path: Path, text: str, what: str) -> None:
    folder = add(tmp_path / "models", config=ADD_CONFIG + text)
    with pytest.raises(PermissionNeededError, match=what):
        mirror(tmp_path, CodeRule(verify=lambda path: [])).add(model(folder))


def test_what_the_onnx_backend_does_not_read_does_not_reach_the_python_backend(tmp_path: Path) -> None:
    environment = 'parameters { key: "EXECUTION_ENV_PATH" value { string_value: "/tmp/$(touch EXECUTED)" } }'
    folder = add(tmp_path / "models", config=ADD_CONFIG + environment + ' runtime: "libtriton_onnxruntime.so"')
    given = mirror(tmp_path)
    given.add(model(folder))
    assert read_message(given.repository / "add" / "config.pbtxt") == read_message(add(tmp_path / "other") / "config.pbtxt")


def verify(folder: Path) -> list[str]:
    """Stand for portinf's manifest: the file as it was written first."""
    if not (folder / "model.py").is_file():
        raise UnreadableError(f"{folder}: no portinf.json in it")
    return [] if (folder / "model.py").read_text() == "print('as packaged')\n" else [f"{folder / 'model.py'}: changed"]


def test_python_runs_unchanged_or_by_permission(tmp_path: Path) -> None:
    folder = python_model(tmp_path / "models")
    with pytest.raises(PermissionNeededError, match=r"^runs Python code$"):
        mirror(tmp_path).add(model(folder))
    given = mirror(tmp_path, CodeRule(verify=verify))
    given.add(model(folder))
    (folder / "1" / "model.py").write_text("print('changed')\n")
    with pytest.raises(PermissionNeededError, match=r"^runs Python code \(.*models/code/1/model\.py: changed\)$"):
        given.add(model(folder))
    # What was verified is what is there, and stays when the change is refused.
    assert (given.repository / "code" / "1" / "model.py").read_text() == "print('as packaged')\n"
    assert not (given.repository / "code" / "1").is_symlink()
    allowed = mirror(tmp_path, CodeRule(allow=True))
    allowed.add(model(folder))
    assert (allowed.repository / "code" / "1").readlink() == folder / "1"


def test_of_verified_python_nothing_unverified_is_shown(tmp_path: Path) -> None:
    folder = python_model(tmp_path / "models")
    (folder / "1" / "__pycache__").mkdir()
    (folder / "1" / "__pycache__" / "model.cpython-311.pyc").write_bytes(b"other code")
    (folder / "helper.py").write_text("other code")
    shutil.copytree(folder / "1", folder / "2")
    given = mirror(tmp_path, CodeRule(verify=verify))
    given.add(model(folder))
    assert names(given.repository / "code") == ["2", "config.pbtxt"]
    assert names(given.repository / "code" / "2") == ["model.py"]
    shutil.rmtree(folder / "2")
    given.add(model(folder))
    assert names(given.repository / "code") == ["1", "config.pbtxt"]


def test_an_environment_for_python_is_code_that_no_manifest_knows(tmp_path: Path) -> None:
    folder = python_model(tmp_path / "models")
    environment = 'parameters { key: "EXECUTION_ENV_PATH" value { string_value: "$$TRITON_MODEL_DIRECTORY/e" } }'
    (folder / "config.pbtxt").write_text((folder / "config.pbtxt").read_text() + environment)
    with pytest.raises(PermissionNeededError, match="runs what the parameter EXECUTION_ENV_PATH names"):
        mirror(tmp_path, CodeRule(verify=verify)).add(model(folder))


def test_a_stub_of_the_models_own_needs_a_plain_name(tmp_path: Path) -> None:
    folder = python_model(tmp_path / "models", "my code")
    (folder / "triton_python_backend_stub").touch()
    with pytest.raises(ServingError, match="is started by a shell, by its path: give the model a name of ASCII letters"):
        mirror(tmp_path, CodeRule(allow=True)).add(model(folder))


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("my $(x)", "", r"its name, 'my \$\(x\)', reaches a shell"),
        ("code", 'default_model_filename: "a;b.py"', "default_model_filename, 'a;b.py'"),
        ("code", 'instance_group { name: "`x`" }', "the name of instance group 1, '`x`'"),
        ("code", 'parameters { key: "EXECUTION_ENV_PATH" value { string_value: "/a b" } }', "EXECUTION_ENV_PATH, '/a b'"),
    ],
)
@pytest.mark.parametrize("container", [False, True])
def test_another_servers_shell_is_given_no_such_text(tmp_path: Path, name: str, text: str, what: str, container: bool) -> None:
    folder = python_model(tmp_path / "models", name)
    (folder / "1" / "a;b.py").write_text("x")
    (folder / "config.pbtxt").write_text((folder / "config.pbtxt").read_text() + text)
    rule = CodeRule(allow=True)
    given = Original(tmp_path / "models", rule) if container else mirror(tmp_path, rule, own=False)
    with pytest.raises(ServingError, match=what):
        given.add(model(folder))
    given.add(model(add(tmp_path / "models", "my $(net)")))  # in C++, without a shell


def test_another_server_sees_an_onnx_model_as_it_is(tmp_path: Path) -> None:
    folder = add(tmp_path / "models", config=ADD_CONFIG.replace("KIND_CPU", "KIND_GPU"))
    given = mirror(tmp_path, own=False)
    given.add(model(folder))
    assert (given.repository / "add" / "1" / "model.onnx").samefile(folder / "1" / "model.onnx")
    assert read_message(given.repository / "add" / "config.pbtxt") == read_message(folder / "config.pbtxt")


def test_a_container_sees_the_folder_and_so_the_compiled_code_in_it(tmp_path: Path) -> None:
    folder = python_model(tmp_path / "models")
    given = Original(tmp_path / "models", CodeRule(verify=verify))
    given.add(model(folder))
    (folder / "1" / "__pycache__").mkdir()
    with pytest.raises(ServingError, match="1/__pycache__ holds compiled code that is not in the manifest: remove it"):
        given.add(model(folder))


def test_the_refusal_names_each_model_and_a_line_to_paste(tmp_path: Path) -> None:
    problems = [Problem(model="a\nb", reason="runs Python code"), Problem(model="c", reason="runs x.so")]
    error = code_refusal(tmp_path / "my $models", problems)
    assert error.exit_code == 4
    assert str(error) == (
        "2 models bring code of their own and are not unchanged packages of portinf: a\\nb runs Python code; c runs x.so; if you "
        f"trust that code: portinf serve-local '{tmp_path}/my $models' --allow-code"
    )


def test_an_onnx_model_and_an_ensemble_bring_no_code(tmp_path: Path) -> None:
    assert own_code(model(add(tmp_path))) == ()
    (tmp_path / "chain" / "1").mkdir(parents=True)
    (tmp_path / "chain" / "config.pbtxt").write_text('platform: "ensemble"')
    assert own_code(model(tmp_path / "chain")) == ()
