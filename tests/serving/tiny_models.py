"""Tiny ONNX models and their Triton configurations, for a model repository in a test."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

__all__ = ["ADD_CONFIG", "add", "fingerprint", "repository", "tensor", "write"]

ADD_CONFIG = """name: "add"
platform: "onnxruntime_onnx"
max_batch_size: 16
input [{ name: "a" data_type: TYPE_FP32 dims: [4] }, { name: "b" data_type: TYPE_FP32 dims: [4] }]
output [{ name: "sum" data_type: TYPE_FP32 dims: [4] }, { name: "difference" data_type: TYPE_FP32 dims: [4] }]
dynamic_batching { max_queue_delay_microseconds: 20000 }
instance_group [{ count: 1 kind: KIND_CPU }]
"""
_ONE = "instance_group [{ count: 1 kind: KIND_CPU }]\n"


def tensor(name: str, kind: int, shape: Sequence[int | str]) -> Any:
    """Return the description of one input or output."""
    return helper.make_tensor_value_info(name, kind, list(shape))


def write(
    folder: Path,
    nodes: Sequence[Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    config: str | None,
    initializers: Sequence[Any] = (),
    version: int = 1,
) -> None:
    """Write one model folder; ``config`` None leaves out config.pbtxt."""
    graph = helper.make_graph(nodes, folder.name, inputs, outputs, initializer=list(initializers))
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    onnx.checker.check_model(model)
    (folder / str(version)).mkdir(parents=True)
    onnx.save(model, folder / str(version) / "model.onnx")
    if config is not None:
        (folder / "config.pbtxt").write_text(config)


def add(root: Path, name: str = "add", config: str | None = ADD_CONFIG) -> Path:
    """Write the model ``sum, difference = a + b, a - b`` with a batch axis, and return its folder."""
    nodes = [helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("Sub", ["a", "b"], ["difference"])]
    ends = [[tensor(end, TensorProto.FLOAT, ["n", 4]) for end in pair] for pair in (("a", "b"), ("sum", "difference"))]
    text = config.replace('name: "add"', f'name: "{name}"') if config is not None else None
    write(root / name, nodes, ends[0], ends[1], text)
    return root / name


def repository(root: Path) -> Path:
    """Write a repository with one model for each thing that is served differently, and return it."""
    root.mkdir()
    add(root)
    _types(root)
    _strings(root)
    _scalars(root)
    _length(root)
    _optional(root)
    _completed(root)
    _ragged(root)
    return root


def fingerprint(root: Path) -> dict[str, str]:
    """Return the sha256 and time of every file, and the time of every folder, by relative path."""
    found = {}
    for path in sorted(root.rglob("*")):
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        found[str(path.relative_to(root))] = f"{content} {path.stat().st_mtime_ns} {path.is_symlink()}"
    return found


def _types(root: Path) -> None:
    kinds = {
        "double": (TensorProto.DOUBLE, "TYPE_FP64", "Neg"),
        "half": (TensorProto.FLOAT16, "TYPE_FP16", "Neg"),
        "long": (TensorProto.INT64, "TYPE_INT64", "Neg"),
        "byte": (TensorProto.UINT8, "TYPE_UINT8", "Identity"),
        "truth": (TensorProto.BOOL, "TYPE_BOOL", "Not"),
    }
    nodes = [helper.make_node(operator, [name], [f"{name}_out"]) for name, (_, _, operator) in kinds.items()]
    inputs = [tensor(name, kind, ["n", 3]) for name, (kind, _, _) in kinds.items()]
    outputs = [tensor(f"{name}_out", kind, ["n", 3]) for name, (kind, _, _) in kinds.items()]
    config = 'name: "types"\nbackend: "onnxruntime"\nmax_batch_size: 8\n' + _ONE
    for name, (_, kind, _) in kinds.items():
        config += f'input {{ name: "{name}" data_type: {kind} dims: [3] }}\n'
        config += f'output {{ name: "{name}_out" data_type: {kind} dims: [3] }}\n'
    write(root / "types", nodes, inputs, outputs, config)


def _strings(root: Path) -> None:
    config = (
        'name: "strings"\nbackend: "onnxruntime"\nmax_batch_size: 8\ndynamic_batching { max_queue_delay_microseconds: 5000 }\n'
        + _ONE
    )
    config += (
        'input { name: "text" data_type: TYPE_STRING dims: [2] }\noutput { name: "same" data_type: TYPE_STRING dims: [2] }\n'
    )
    ends = [[tensor(name, TensorProto.STRING, ["n", 2])] for name in ("text", "same")]
    write(root / "strings", [helper.make_node("Identity", ["text"], ["same"])], ends[0], ends[1], config)


def _scalars(root: Path) -> None:
    config = 'name: "scalars"\nbackend: "onnxruntime"\n' + _ONE
    config += 'input { name: "factor" data_type: TYPE_FP32 dims: [1] }\n'
    config += 'input { name: "values" data_type: TYPE_FP32 dims: [-1] }\n'
    config += 'output { name: "total" data_type: TYPE_FP32 dims: [1] }\n'
    nodes = [
        helper.make_node("Mul", ["factor", "values"], ["scaled"]),
        helper.make_node("ReduceSum", ["scaled"], ["total"], keepdims=0),
    ]
    inputs = [tensor("factor", TensorProto.FLOAT, []), tensor("values", TensorProto.FLOAT, ["n"])]
    write(root / "scalars", nodes, inputs, [tensor("total", TensorProto.FLOAT, [])], config)


def _length(root: Path) -> None:
    config = 'name: "length"\nplatform: "onnxruntime_onnx"\nmax_batch_size: 4\ndynamic_batching {}\n' + _ONE
    config += (
        'input { name: "hits" data_type: TYPE_FP32 dims: [-1, 3] }\noutput { name: "scores" data_type: TYPE_FP32 dims: [-1] }\n'
    )
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [2])
    node = helper.make_node("ReduceSum", ["hits", "axes"], ["scores"], keepdims=0)
    ends = [tensor("hits", TensorProto.FLOAT, ["n", "length", 3])], [tensor("scores", TensorProto.FLOAT, ["n", "length"])]
    write(root / "length", [node], ends[0], ends[1], config, [axes])


def _optional(root: Path) -> None:
    config = 'name: "optional"\nbackend: "onnxruntime"\n' + _ONE
    config += 'input { name: "x" data_type: TYPE_FP32 dims: [2] }\n'
    config += 'input { name: "offset" data_type: TYPE_FP32 dims: [2] optional: true }\n'
    config += 'output { name: "y" data_type: TYPE_FP32 dims: [2] }\n'
    offset = helper.make_tensor("offset", TensorProto.FLOAT, [2], [10.0, 20.0])
    inputs = [tensor("x", TensorProto.FLOAT, [2]), tensor("offset", TensorProto.FLOAT, [2])]
    node = helper.make_node("Add", ["x", "offset"], ["y"])
    write(root / "optional", [node], inputs, [tensor("y", TensorProto.FLOAT, [2])], config, [offset])


def _completed(root: Path) -> None:
    ends = [[tensor(name, TensorProto.FLOAT, ["n"])] for name in ("x", "y")]
    write(root / "completed", [helper.make_node("Neg", ["x"], ["y"])], ends[0], ends[1], 'backend: "onnxruntime"\n')
    node = helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)
    write(root / "bare", [node], [tensor("x", TensorProto.FLOAT, ["n", 3])], [tensor("y", TensorProto.FLOAT, [])], None)


def _ragged(root: Path) -> None:
    config = 'name: "ragged"\nbackend: "onnxruntime"\nmax_batch_size: 16\n' + _ONE
    config += "dynamic_batching { max_queue_delay_microseconds: 20000 }\n"
    config += 'input { name: "values" data_type: TYPE_FP32 dims: [-1] allow_ragged_batch: true }\n'
    config += 'batch_input { kind: BATCH_ELEMENT_COUNT target_name: "counts" data_type: TYPE_FP32 source_input: "values" }\n'
    config += 'output { name: "negated" data_type: TYPE_FP32 dims: [-1] }\n'
    config += 'output { name: "count" data_type: TYPE_FP32 dims: [1] reshape { shape: [] } }\n'
    config += 'batch_output { target_name: "negated" kind: BATCH_SCATTER_WITH_INPUT_SHAPE source_input: "values" }\n'
    nodes = [helper.make_node("Neg", ["values"], ["negated"]), helper.make_node("Identity", ["counts"], ["count"])]
    inputs = [tensor("values", TensorProto.FLOAT, ["total"]), tensor("counts", TensorProto.FLOAT, ["n"])]
    outputs = [tensor("negated", TensorProto.FLOAT, ["total"]), tensor("count", TensorProto.FLOAT, ["n"])]
    write(root / "ragged", nodes, inputs, outputs, config)
