"""What is read of a repository before a server starts."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from portinf.core.errors import ServingError, UnreadableError
from portinf.serving.repository import ModelFolder, Problem, read_model, read_repository, refusal
from tests.serving.tiny_models import ADD_CONFIG, add


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
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "config.pbtxt").write_text('name: "x"\nmax_batch_sise: 3\n')
    assert "made/config.pbtxt: not a Triton model configuration: 2:1" in problem(folder)
    assert problem(folder).endswith('max_batch_sise".; correct that line')
    (folder / "config.pbtxt").write_bytes(b"name: \xff")
    assert "made/config.pbtxt: cannot be read: " in problem(folder)


def test_equal_reasons_are_told_once(tmp_path: Path) -> None:
    problems = [Problem(model=name, reason=reason) for name, reason in (("b", "full"), ("c", "other"), ("a", "full"))]
    message = str(refusal(tmp_path, problems))
    assert message == f"3 models cannot be served from {tmp_path}: a, b: full; c: other"


def test_a_name_that_is_no_text_is_named(tmp_path: Path) -> None:
    folder = add(tmp_path, "plain", None)
    folder.rename(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    models, problems = read_repository(tmp_path)
    assert models == []
    message = str(refusal(tmp_path, problems))
    assert message.endswith("caf\\udce9: its folder name is not UTF-8, which Triton's protocol requires: rename it")
    message.encode()


def test_a_name_in_two_unicode_forms(tmp_path: Path) -> None:
    folder = add(tmp_path, "caf\u00e9")
    folder.rename(tmp_path / "cafe\u0301")
    assert problem(tmp_path / "cafe\u0301").endswith("the name of its folder (the same letters in another Unicode form)")


def test_versions_have_ascii_digits(tmp_path: Path) -> None:
    folder = add(tmp_path)
    for name in ("\u0661", "\u00b2", "01", "1 "):
        shutil.copytree(folder / "1", folder / name)
    assert model(folder).versions == (1,)


def test_control_characters_are_shown_as_escapes(tmp_path: Path) -> None:
    message = str(refusal(tmp_path, [Problem(model="a\nb\x1b[31m", reason="why")]))
    assert message.endswith(r"a\nb\x1b[31m: why")
