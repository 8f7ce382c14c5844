"""What an ONNX graph must compute and move at the least, and how fast this machine can: for `benchmarks/graph_networks.py`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from portinf.ort.trace import trace_onnx

MULTIPLY = {"Gemm", "MatMul", "Conv"}
FREE = {"Reshape", "Squeeze", "Unsqueeze", "Shape", "Constant", "Identity", "Flatten"}  # give another view of the same bytes
SIDE = 1024  # of the matrices that measure the arithmetic
COPIED = 64_000_000  # bytes that measure the memory


def one_thread(model: bytes | str) -> Any:
    """Open a model on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def machine() -> tuple[float, float]:
    """Return what one core reaches: FLOP/s of a large MatMul in ONNX Runtime, bytes/s read and written by a copy."""
    kind = onnx.TensorProto.FLOAT
    ends = [onnx.helper.make_tensor_value_info(name, kind, [SIDE, SIDE]) for name in "abc"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("MatMul", ["a", "b"], ["c"])], "g", ends[:2], ends[2:])
    opset = [onnx.helper.make_opsetid("", 18)]
    session = one_thread(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())
    given = {name: np.random.default_rng(1).normal(size=(SIDE, SIDE)).astype(np.float32) for name in "ab"}
    source, target = np.ones(COPIED // 4, np.float32), np.empty(COPIED // 4, np.float32)
    multiply = min(_seconds(lambda: session.run(None, given)) for _ in range(10))
    copy = min(_seconds(lambda: np.copyto(target, source)) for _ in range(10))
    return 2 * SIDE**3 / multiply, 2 * COPIED / copy


def _seconds(run: Any) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def limits(path: Path, inputs: Mapping[str, Any], flops: float, bandwidth: float) -> tuple[float, float]:
    """Return seconds that a graph takes at the least: by its multiplications alone, and operator by operator by the slower of its
    arithmetic and its traffic.

    Args:
        path: the ONNX file.
        inputs: one request.
        flops, bandwidth: from `machine`.
    """
    graph = onnx.load(str(path)).graph
    known: dict[str, Any] = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    known |= dict(inputs) | dict(trace_onnx(path, inputs, None, name=str(path)))
    arithmetic = together = 0.0
    for node in graph.node:
        outputs = [known[name] for name in node.output if name in known]
        if node.op_type in FREE or not outputs:
            continue
        read = [known[name] for name in node.input if name in known]
        if node.op_type in ("Gather", "GatherND"):
            read = [*read[1:], *outputs]  # as many rows as it writes
        work = outputs[0].size * (2.0 * _depth(node, read) if node.op_type in MULTIPLY else 1.0)
        moved = sum(array.nbytes for array in (*read, *outputs))
        arithmetic += work / flops if node.op_type in MULTIPLY else 0.0
        together += max(work / flops, moved / bandwidth)
    return arithmetic, together


def _depth(node: Any, read: list[Any]) -> int:
    """Return the number of products that make one element."""
    if node.op_type == "Conv":
        return int(np.prod(read[1].shape[1:]))
    transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return int(read[0].shape[0 if transposed else -1])
