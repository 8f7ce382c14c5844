"""ONNX files and their metadata: hashes, external data, damaged and hostile files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from portinf.core.errors import CannotError, UnreadableError
from portinf.core.files import sha256
from portinf.onnx_graph.model_file import load_proto, read_onnx, signature_of, write_onnx


def _model() -> Any:
    weights = numpy_helper.from_array(np.ones((4, 4), np.float32), "w")
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [value("x", TensorProto.FLOAT, ["n", 4])],
        [value("y", TensorProto.FLOAT, ["n", 4])],
        [weights],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _with_data(folder: Path, location: str = "weights.bin") -> Path:
    model = _model()
    external_data_helper.convert_model_to_external_data(model, location=location, size_threshold=0)
    onnx.save(model, folder / "m.onnx")
    return folder / "m.onnx"


def test_what_is_written_is_read(tmp_path: Path) -> None:
    model = _model()
    onnx.save(model, tmp_path / "m.onnx")
    written = write_onnx(model, tmp_path / "m.onnx", tmp_path / "o.onnx", signature_of(model), {"source": "here"})
    assert written == read_onnx(tmp_path / "o.onnx")
    assert written.files == {"o.onnx": sha256(tmp_path / "o.onnx")}
    assert written.provenance == {"source": "here"}
    assert (written.opset, written.ir_version, dict(written.operators)) == (17, 8, {"MatMul": 1})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.onnx", "o.onnx"]


def test_external_data_goes_under_its_hash(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    path = _with_data(tmp_path)
    model = load_proto(path)
    written = write_onnx(model, path, tmp_path / "out" / "o.onnx", signature_of(model), {})
    data = [name for name in written.files if name.endswith(".data")]
    assert len(data) == 1
    assert sha256(tmp_path / "weights.bin")[:16] in data[0]
    assert onnx.load(tmp_path / "out" / "o.onnx").graph.initializer[0].raw_data


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/hostname", "a/../../weights.bin"])
def test_external_data_may_not_leave_the_folder(tmp_path: Path, location: str) -> None:
    path = _with_data(tmp_path)
    model = load_proto(path)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = location
    path.write_bytes(model.SerializeToString())
    with pytest.raises(CannotError, match="outside the model's folder"):
        read_onnx(path)


def test_links_out_of_the_folder_are_refused_too(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path = _with_data(tmp_path / "in")
    (tmp_path / "in" / "weights.bin").rename(tmp_path / "weights.bin")
    with pytest.raises(UnreadableError, match="missing"):
        read_onnx(path)
    (tmp_path / "in" / "weights.bin").symlink_to(tmp_path / "weights.bin")
    with pytest.raises(CannotError, match="outside the model's folder"):
        read_onnx(path)


def test_every_truncation_is_refused_or_read_in_one_line(tmp_path: Path) -> None:
    whole = _model().SerializeToString()
    for length in range(0, len(whole), 7):
        (tmp_path / "t.onnx").write_bytes(whole[:length])
        try:
            read_onnx(tmp_path / "t.onnx")
        except (UnreadableError, CannotError) as error:
            assert "t.onnx" in str(error) or "'" in str(error)


def test_a_file_changed_after_conversion_is_refused(tmp_path: Path) -> None:
    model = _model()
    onnx.save(model, tmp_path / "m.onnx")
    write_onnx(model, tmp_path / "m.onnx", tmp_path / "o.onnx", signature_of(model), {})
    changed = onnx.load(tmp_path / "o.onnx")
    changed.graph.input[0].name = "z"
    changed.graph.node[0].input[0] = "z"
    onnx.save(changed, tmp_path / "o.onnx")
    with pytest.raises(UnreadableError, match="changed after it was converted"):
        read_onnx(tmp_path / "o.onnx")


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    model = _model()
    onnx.save(model, tmp_path / "m.onnx")
    (tmp_path / "file").write_text("")
    with pytest.raises(UnreadableError, match="cannot be written"):
        write_onnx(model, tmp_path / "m.onnx", tmp_path / "file" / "o.onnx", signature_of(model), {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "m.onnx"]
