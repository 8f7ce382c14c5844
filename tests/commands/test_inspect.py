"""Descriptions of files and packages."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from portinf.commands.inspect import inspect
from portinf.commands.inspect_text import WIDTH, render
from portinf.core.errors import UnreadableError
from portinf.core.signature import Axis, Role, Signature, TensorSpec
from portinf.onnx_graph.model_file import load_proto, read_onnx, write_onnx
from portinf.triton.inspection import axis_places
from portinf.triton.writer import Entry, write_entry
from tests.triton.models import honest, with_data_file


def model_folder(tmp_path: Path, versions: int = 1) -> Path:
    entry = Entry(
        name="m",
        artifact=read_onnx(honest(tmp_path / "net.onnx")),
        max_batch_size=8,
        validation={"verdict": "equal", "summary": "6 cases equal"},
        batching="rows are independent",
    )
    for _ in range(versions):
        write_entry(tmp_path / "models", entry)
    return tmp_path / "models" / "m"


def test_a_file(tmp_path: Path) -> None:
    found = inspect(str(honest(tmp_path / "net.onnx")))
    assert (found.artifact.opset, found.artifact.ir_version, found.package) == (17, 8, None)
    assert found.artifact.operators == {"MatMul": 1, "Tanh": 1}
    assert found.readers[0] == "23.05"
    text = render(found)
    for part in ("opset 17, IR 8", "x  float32  [batch, 4]", "tied: x[0], y[0]", "MatMul 1, Tanh 1", "23.05 to "):
        assert part in text


def test_the_size_counts_external_data(tmp_path: Path) -> None:
    path = with_data_file(tmp_path / "net.onnx")
    found = inspect(str(path))
    assert found.size == path.stat().st_size + (tmp_path / "net.data").stat().st_size
    assert "in 2 files" in render(found)


def test_a_package_is_its_newest_version(tmp_path: Path) -> None:
    model = model_folder(tmp_path, versions=10)
    assert inspect(str(model)).package == ("m", 10)
    assert inspect(str(model / "2")).package == ("m", 2)
    text = render(inspect(str(model)))
    for part in ("m, version 10", "verified  yes", "judged    equal: 6 cases equal", "max_batch_size 8: rows are"):
        assert part in text


def test_a_tampered_package_is_told(tmp_path: Path) -> None:
    model = model_folder(tmp_path)
    (model / "1" / "goldens.npz").write_bytes(b"other")
    found = inspect(str(model))
    assert found.problems is not None
    assert "changed after packaging" in found.problems[0]
    assert "verified  NO:" in render(found)


def test_a_repository_entry_of_others_has_nothing_to_verify(tmp_path: Path) -> None:
    model = model_folder(tmp_path)
    (model / "1" / "portinf.json").unlink()
    found = inspect(str(model))
    assert (found.package, found.problems) == (("m", 1), None)
    assert "no: there is no manifest" in render(found)


def test_roles_minimums_and_provenance_are_shown(tmp_path: Path) -> None:
    path = honest(tmp_path / "net.onnx")
    shape = (Axis(label="batch", minimum=2, multiple=2), Axis(size=4))
    spec = TensorSpec(name="x", dtype="float32", shape=shape, role=Role(kind="mask", of="n"), low=-1, high=2.5)
    signature = Signature(inputs=(spec,), outputs=read_onnx(path).signature.outputs)
    write_onnx(load_proto(path), path, path, signature, {"route": "by hand", "versions": {"torch": "2.13"}})
    text = render(inspect(str(path)))
    for part in ("mask:n -1 .. 2.5", "at least 2; a multiple of 2", "route", "by hand", "torch 2.13"):
        assert part in text


def test_odd_and_long_names_stay_whole_in_eighty_columns(tmp_path: Path) -> None:
    for number, name in enumerate(["[bold]x", "a:0", "jet_η/π", ":smile:", "long/" * 60]):
        found = inspect(str(honest(tmp_path / f"{number}.onnx", x=name, y="out/" + name)))
        text = render(found)
        assert max(len(line) for line in text.splitlines()) <= WIDTH
        if len(name) < 20:
            assert name in text
        assert json.loads(json.dumps(found.to_json()))["signature"]["inputs"][0]["name"] == name


def test_places_of_axes(tmp_path: Path) -> None:
    signature = read_onnx(honest(tmp_path / "net.onnx")).signature
    assert axis_places(signature) == {"batch": ("x[0]", "y[0]")}
    untied = replace(signature, outputs=())
    assert axis_places(untied) == {"batch": ("x[0]",)}


def test_what_is_of_no_known_kind_is_refused_in_one_line(tmp_path: Path) -> None:
    model_folder(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    for name, why in [
        ("notes.txt", "unknown format"),
        ("nothing", "no such file"),
        ("empty", "unknown kind of folder"),
        ("models", "a repository of 1 models; name one: m"),
    ]:
        with pytest.raises(UnreadableError, match=why) as caught:
            inspect(str(tmp_path / name))
        assert "\n" not in str(caught.value)
