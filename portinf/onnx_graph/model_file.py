"""Files of one model with their hashes, format, signature and provenance; kept as versioned JSON in the ONNX metadata."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from portinf.core.errors import CannotError, UnreadableError, first_line
from portinf.core.files import sha256, whole_file
from portinf.core.optional import require
from portinf.core.signature import Axis, Signature, TensorSpec, dtype_by_onnx

if TYPE_CHECKING:
    import onnx


__all__ = [
    "SCHEMA",
    "Artifact",
    "external_files",
    "load_proto",
    "needs_one_thread",
    "opset_of",
    "read_onnx",
    "signature_of",
    "write_onnx",
]

METADATA_KEY = "portinf"
SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """One model on disk.

    Attributes:
        root: folder that holds the files.
        files: sha256 of each file by its path relative to ``root``, the main file first.
        format: ``onnx``, ...
        signature: names, types, axes and roles.
        provenance: where it came from: plain data for JSON; empty for a foreign file.
        opset: version of the default ONNX domain.
        ir_version: version of the file format.
        operators: how often each operator occurs (``domain::Name`` outside the default domain).
        one_thread: it is correct on one intra-op thread only; see `needs_one_thread`.
    """

    root: Path
    files: Mapping[str, str]
    format: str
    signature: Signature
    provenance: Mapping[str, Any]
    opset: int
    ir_version: int
    operators: Mapping[str, int]
    one_thread: bool = False

    @property
    def path(self) -> Path:
        """The main file."""
        return self.root / next(iter(self.files))


def load_proto(path: Path) -> Any:
    """Parse an ONNX file without its external data.

    Raises:
        UnreadableError: missing, or not an ONNX file.
    """
    onnx = require("onnx", "")
    if not path.is_file():
        raise UnreadableError(f"{path}: no such file; expected an ONNX model")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:
        raise UnreadableError(f"{path}: not an ONNX file, or damaged: {first_line(error)}") from error
    if not model.ir_version or not model.graph.output:
        raise UnreadableError(f"{path}: not an ONNX model, or truncated: it has no graph with outputs")
    return model


def external_files(model: onnx.ModelProto, path: Path) -> list[str]:
    """Return the data files that an ONNX model points to, relative to its folder.

    Raises:
        CannotError: a path leaves the model's folder.
        UnreadableError: a file is missing.
    """
    names: dict[str, None] = {}
    for tensor in _tensors(model.graph):
        location = next((entry.value for entry in tensor.external_data if entry.key == "location"), None)
        if tensor.data_location == 1 and location is not None:
            names[location] = None
    for name in names:
        pure = PurePosixPath(name)
        target = path.parent / name
        inside = not pure.is_absolute() and ".." not in pure.parts
        if not inside or not target.resolve().is_relative_to(path.parent.resolve()):
            raise CannotError(f"{path}: its external data '{name}' lies outside the model's folder: refused")
        if not target.is_file():
            raise UnreadableError(f"{path}: its external data file '{name}' is missing beside it")
    return list(names)


def _tensors(graph: onnx.GraphProto) -> Iterable[Any]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from _tensors(inner)


def _operators(graph: onnx.GraphProto, counts: dict[str, int]) -> dict[str, int]:
    for node in graph.node:
        name = f"{node.domain}::{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type
        counts[name] = counts.get(name, 0) + 1
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                _operators(inner, counts)
    return counts


def needs_one_thread(graph: onnx.GraphProto) -> bool:
    """Say whether ONNX Runtime's CPU computes a graph rightly on one intra-op thread only.

    ScatterND with a reduction runs there on several threads without a lock, and loses updates of equal indices
    (https://github.com/microsoft/onnxruntime/issues/18048; seen up to 1.31.1).
    """
    for node in graph.node:
        if node.op_type == "ScatterND" and any(a.name == "reduction" and a.s != b"none" for a in node.attribute):
            return True
        for attribute in node.attribute:
            inner = [attribute.g] if attribute.HasField("g") else attribute.graphs
            if any(needs_one_thread(other) for other in inner):
                return True
    return False


def _spec(value: Any, optional: bool) -> TensorSpec:
    if not value.type.HasField("tensor_type"):
        raise CannotError(f"'{value.name}' is not a plain tensor (sequence, map or optional type): not supported")
    tensor = value.type.tensor_type
    shape = None
    if tensor.HasField("shape"):
        shape = tuple(_axis(dim, f"{value.name}_{number}") for number, dim in enumerate(tensor.shape.dim))
    return TensorSpec(name=value.name, dtype=dtype_by_onnx(tensor.elem_type).numpy, shape=shape, optional=optional)


def _axis(dim: Any, fallback: str) -> Axis:
    if dim.HasField("dim_value") and dim.dim_value >= 0:
        return Axis(size=dim.dim_value)
    return Axis(label=dim.dim_param or fallback)


def signature_of(model: onnx.ModelProto) -> Signature:
    """Read names, types and axes off an ONNX graph; inputs with an initializer of the same name are optional.

    Raises:
        CannotError: an input or output is no plain tensor, or of an unknown element type.
    """
    defaults = {tensor.name for tensor in model.graph.initializer}
    constants = defaults if model.ir_version < 4 else set()
    return Signature(
        inputs=tuple(_spec(v, v.name in defaults) for v in model.graph.input if v.name not in constants),
        outputs=tuple(_spec(v, False) for v in model.graph.output),
    )


def opset_of(model: onnx.ModelProto) -> int:
    """Return the version of the default domain that a parsed ONNX model uses, 0 for none."""
    return next((int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)


def _metadata(model: onnx.ModelProto, path: Path) -> Mapping[str, Any]:
    text = next((entry.value for entry in model.metadata_props if entry.key == METADATA_KEY), None)
    if text is None:
        return {}
    try:
        data: Mapping[str, Any] = json.loads(text)
        schema = data["schema"]
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableError(f"{path}: its '{METADATA_KEY}' metadata is damaged: {first_line(error)}") from error
    if schema != SCHEMA:
        raise CannotError(
            f"{path}: its '{METADATA_KEY}' metadata has schema {schema}, this version reads {SCHEMA}: update portinf"
        )
    return data


def _held_against_graph(path: Path, stored: Signature, graph: Signature) -> Signature:
    for ours, theirs in ((stored.inputs, graph.inputs), (stored.outputs, graph.outputs)):
        if [(s.name, s.dtype) for s in ours] != [(s.name, s.dtype) for s in theirs]:
            raise UnreadableError(
                f"{path}: its '{METADATA_KEY}' metadata names {[s.name for s in ours]}, its graph {[s.name for s in theirs]}: "
                "the file was changed after it was converted; convert again"
            )
    return stored


def read_onnx(path: Path) -> Artifact:
    """Describe an ONNX file: hashes, signature (from portinf's metadata where present), provenance, operators.

    Raises:
        UnreadableError: missing, damaged, or changed after conversion.
        CannotError: external data outside its folder, or tensors of unsupported kinds.
    """
    return _described(load_proto(path), path)


def _described(model: onnx.ModelProto, path: Path) -> Artifact:
    """Describe a file by what was parsed from it, or written to it."""
    data = _metadata(model, path)
    signature = signature_of(model)
    if data:
        try:
            stored = Signature.from_json(data["signature"])
        except (KeyError, TypeError, ValueError) as error:
            raise UnreadableError(f"{path}: its '{METADATA_KEY}' metadata is damaged: {first_line(error)}") from error
        signature = _held_against_graph(path, stored, signature)
    names = [path.name, *external_files(model, path)]
    return Artifact(
        root=path.parent,
        files={name: sha256(path.parent / name) for name in names},
        format="onnx",
        signature=signature,
        provenance=data.get("provenance", {}),
        opset=opset_of(model),
        ir_version=model.ir_version,
        operators=_operators(model.graph, {}),
        one_thread=needs_one_thread(model.graph),
    )


def write_metadata(model: onnx.ModelProto, signature: Signature, provenance: Mapping[str, Any]) -> None:
    """Put signature and provenance into a parsed ONNX model, in place of what was there."""
    kept = [entry for entry in model.metadata_props if entry.key != METADATA_KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    entry = model.metadata_props.add()
    entry.key = METADATA_KEY
    entry.value = json.dumps({"schema": SCHEMA, "signature": signature.to_json(), "provenance": provenance}, sort_keys=True)


def write_onnx(
    model: onnx.ModelProto, source: Path, out: Path, signature: Signature, provenance: Mapping[str, Any]
) -> Artifact:
    """Write a model with its metadata; its external data files first, the file that points to them last.

    Args:
        model: parsed without external data.
        source: the file that it was parsed from: external data lies beside it.
        out: where to write; an existing file is replaced in one rename.
        signature: stored in the metadata.
        provenance: stored in the metadata.

    Raises:
        UnreadableError: the folder cannot be written to.
    """
    write_metadata(model, signature, provenance)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _place_external(model, source, out)
    except OSError as error:
        raise UnreadableError(f"{out}: cannot be written: {error.strerror}") from error
    with whole_file(out) as stream:
        stream.write(model.SerializeToString())
    return _described(model, out)


def _place_external(model: onnx.ModelProto, source: Path, out: Path) -> None:
    """Copy the one external data file beside ``out``, under its hash, and let the model point to it."""
    names = external_files(model, source)
    if not names:
        return
    if len(names) > 1:
        raise CannotError(f"{source}: its external data lies in {len(names)} files; expected one")
    data = source.parent / names[0]
    name = f"{out.stem}.{sha256(data)[:16]}.data"
    target = out.parent / name
    if not target.exists():
        with data.open("rb") as old, whole_file(target) as new:
            shutil.copyfileobj(old, new, 1 << 24)
    for tensor in _tensors(model.graph):
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = name
