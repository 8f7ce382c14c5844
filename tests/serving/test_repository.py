"""What is read of a repository before a server starts, and the links that are made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from portinf.errors import ServingError, UnreadableError
from portinf.serving.mirror import link_model, needs_mirror
from portinf.serving.repository import ModelFolder, Problem, load_config, read_model, read_repository, refusal
from tests.serving.tiny_models import ADD_CONFIG, add, fingerprint


def model(path: Path) -> ModelFolder:
    """Read a model that is well."""
    found = read_model(path)
    assert isinstance(found, ModelFolder), found
    return found


def problem(path: Path) -> str:
    """Read a model that is not, and return the reason."""
    found = read_model(path)
    assert isinstance(found, Problem), found
    return found.reason


def test_backend_and_completeness(tmp_path: Path) -> None:
    full = model(add(tmp_path, "full"))
    assert (full.backend, full.complete, full.versions) == ("onnxruntime", True, (1,))
    bare = model(add(tmp_path, "bare", None))
    assert (bare.backend, bare.complete, bare.config) == ("onnxruntime", False, None)
    partial = model(add(tmp_path, "partial", 'backend: "onnxruntime"\n'))
    assert not partial.complete


def test_models_and_problems_are_told_apart(tmp_path: Path) -> None:
    add(tmp_path, "good")
    (tmp_path / "empty").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "notes.txt").touch()
    models, problems = read_repository(tmp_path)
    assert [found.name for found in models] == ["good"]
    assert [found.model for found in problems] == ["empty"]


def test_no_repository(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match=r"none is not a folder; expected a model repository: NAME/config\.pbtxt"):
        read_repository(tmp_path / "none")
    with pytest.raises(ServingError, match="is empty: it holds no model folder"):
        read_repository(tmp_path)


def test_only_served_versions_need_their_file(tmp_path: Path) -> None:
    folder = add(tmp_path)
    (folder / "2").mkdir()
    assert problem(folder).endswith("2/model.onnx is missing; put the ONNX model there")
    policy = ADD_CONFIG + "version_policy { specific { versions: [1] } }\n"
    (folder / "config.pbtxt").write_text(policy)
    assert model(folder).versions == (1, 2)
    (folder / "config.pbtxt").write_text(ADD_CONFIG + "version_policy { all {} }\n")
    assert "2/model.onnx is missing" in problem(folder)


def test_another_file_name(tmp_path: Path) -> None:
    folder = add(tmp_path, config=ADD_CONFIG + 'default_model_filename: "net.onnx"\n')
    assert "net.onnx is missing" in problem(folder)
    (folder / "1" / "model.onnx").rename(folder / "1" / "net.onnx")
    assert model(folder).backend == "onnxruntime"


def test_a_python_model_needs_its_file(tmp_path: Path) -> None:
    """Without it the server would wait for ever for the model to be loaded."""
    folder = tmp_path / "made"
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text('name: "made"\nbackend: "python"')
    assert problem(folder).endswith("1/model.py is missing; put the Python model there")
    (folder / "1" / "model.py").write_text("")
    assert problem(folder).endswith("1/model.py is empty; write the Python model again")


def test_a_damaged_configuration_names_the_place(tmp_path: Path) -> None:
    (tmp_path / "config.pbtxt").write_text('name: "x"\nmax_batch_sise: 3\n')
    with pytest.raises(UnreadableError, match=r"config\.pbtxt is no model configuration: 2:1.*max_batch_sise"):
        load_config(tmp_path / "config.pbtxt")


def test_equal_reasons_are_told_once(tmp_path: Path) -> None:
    problems = [Problem(model=name, reason=reason) for name, reason in (("b", "full"), ("c", "other"), ("a", "full"))]
    message = str(refusal(tmp_path, problems))
    assert message == f"3 models cannot be served from {tmp_path}: a, b: full; c: other"


def test_the_mirror_changes_only_the_kind_of_instance(tmp_path: Path) -> None:
    folder = add(tmp_path / "models", config=ADD_CONFIG.replace("KIND_CPU", "KIND_GPU gpus: [0]"))
    plain = add(tmp_path / "models", "plain")
    before = fingerprint(tmp_path / "models")
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    assert needs_mirror(model(folder))
    assert not needs_mirror(model(plain))
    for path in (folder, plain):
        link_model(model(path), mirror)
    local = load_config(mirror / "add" / "configs" / "local.pbtxt")
    expected = load_config(plain / "config.pbtxt")
    expected.name = "add"
    assert local == expected
    assert (mirror / "add" / "1").resolve() == folder / "1"
    assert (mirror / "plain").resolve() == plain
    assert fingerprint(tmp_path / "models") == before


def test_the_mirror_follows_new_and_removed_versions(tmp_path: Path) -> None:
    folder = add(tmp_path / "models", config=ADD_CONFIG.replace("KIND_CPU", "KIND_GPU"))
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    link_model(model(folder), mirror)
    (folder / "1").rename(folder / "2")
    link_model(model(folder), mirror)
    assert sorted(path.name for path in (mirror / "add").iterdir()) == ["2", "config.pbtxt", "configs"]
