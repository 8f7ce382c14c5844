"""Walks the top-level fields of a protobuf message without its schema, to distinguish formats."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

__all__ = ["fields", "is_graphdef", "is_savedmodel"]

VARINT, BYTES = 0, 2
FIXED = {1: 8, 5: 4}
GRAPHDEF = {1: BYTES, 2: BYTES, 3: VARINT, 4: BYTES, 5: BYTES}  # tensorflow/core/framework/graph.proto
SAVEDMODEL = {1: VARINT, 2: BYTES}  # tensorflow/core/protobuf/saved_model.proto
SHORT = 4096  # bytes of a field that are kept


def _varint(stream: IO[bytes]) -> int:
    value = shift = 0
    while shift < 64:
        byte = stream.read(1)
        if not byte:
            raise ValueError("ends inside a number")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
        shift += 7
    raise ValueError("no number")


def fields(stream: IO[bytes], end: int) -> Iterator[tuple[int, int, bytes]]:
    """Yield number, wire type and the first bytes of each field up to position ``end``.

    Raises:
        ValueError: this is no protobuf message, or it is cut off.
    """
    while stream.tell() < end:
        tag = _varint(stream)
        number, wire = tag >> 3, tag & 7
        if wire == VARINT:
            _varint(stream)
            yield number, wire, b""
            continue
        if wire != BYTES and wire not in FIXED:
            raise ValueError(f"no wire type {wire}")
        length = FIXED[wire] if wire in FIXED else _varint(stream)
        start = stream.tell()
        if start + length > end:
            raise ValueError("ends inside a field")
        yield number, wire, stream.read(min(length, SHORT))
        stream.seek(start + length)


def is_graphdef(stream: IO[bytes], end: int) -> bool:
    """Say whether a file starts as a TensorFlow GraphDef does: a node with a name and an operator; it may still be cut off."""
    found = _first(stream, end)
    if found is None or found[:2] != (1, BYTES):
        return False
    return _known(stream, end, GRAPHDEF) and _is_node(found[2])


def is_savedmodel(stream: IO[bytes], end: int) -> bool:
    """Say whether a file is the protobuf inside a SavedModel: a schema version and meta graphs."""
    found = _first(stream, end)
    return found is not None and found[:2] == (1, VARINT) and _known(stream, end, SAVEDMODEL)


def _first(stream: IO[bytes], end: int) -> tuple[int, int, bytes] | None:
    stream.seek(0)
    try:
        return next(fields(stream, end), None)
    except ValueError:
        return None


def _known(stream: IO[bytes], end: int, schema: dict[int, int]) -> bool:
    """Say whether all fields, as far as the file goes, are those of a schema."""
    stream.seek(0)
    try:
        return all(schema.get(number) == wire for number, wire, _ in fields(stream, end))
    except ValueError:
        return True


def _is_node(head: bytes) -> bool:
    """Say whether bytes start as a NodeDef: name (1) and operator (2), an identifier."""
    if head[:1] != b"\x0a" or len(head) < 2 or (head[1] > 0x7F and len(head) < 3):
        return False
    length, start = (head[1], 2) if head[1] < 0x80 else ((head[1] & 0x7F) | head[2] << 7, 3)
    rest = head[start + length :]
    return len(rest) > 2 and rest[:1] == b"\x12" and rest[2 : 2 + rest[1]].decode("ascii", "replace").isidentifier()
