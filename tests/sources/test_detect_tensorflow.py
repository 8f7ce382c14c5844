"""TensorFlow's formats are told gap by content, whatever the suffix."""

from __future__ import annotations

from pathlib import Path

import pytest

from portinf.core.errors import UnreadableError
from portinf.sources.detect import detect


def _field(number: int, content: bytes) -> bytes:
    assert len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content


NODE = _field(1, _field(1, b"main_input") + _field(2, b"Placeholder"))
VERSIONS = _field(4, b"\x08\x01")


@pytest.mark.parametrize("content", [NODE, NODE + NODE + VERSIONS, NODE + b"\x18\x01", (NODE + VERSIONS)[:-1]])
def test_a_graph_even_if_cut_off(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "weights.onnx").write_bytes(content)
    assert detect(str(tmp_path / "weights.onnx")).format == "graphdef"


def test_tensorflow_lite(tmp_path: Path) -> None:
    (tmp_path / "model.h5").write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(50))
    assert detect(str(tmp_path / "model.h5")).format == "tflite"


def test_the_protobuf_of_a_saved_model_names_its_folder(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01" + _field(2, b"\x0a\x02xx"))
    with pytest.raises(UnreadableError, match="name its folder"):
        detect(str(tmp_path / "saved_model.pb"))


@pytest.mark.parametrize(
    "content", [b"hello, world", b"\x0a\x05hello", _field(1, _field(1, b"x") + _field(2, b"no operator")), b"\x0a\xff\xff\xff"]
)
def test_what_is_none_of_them(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "frozen.pb").write_bytes(content)
    with pytest.raises(UnreadableError, match="unknown format"):
        detect(str(tmp_path / "frozen.pb"))
