"""Small networks that lose something in fp16, with named nodes; ``x`` is [rows, 8], ``y`` is [rows, 3]."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from portinf.core.batch import Batch, save_npz
from portinf.core.signature import Axis, Signature, TensorSpec
from portinf.onnx_graph.model_file import write_onnx

__all__ = ["SIGNATURE", "cancelling", "overflowing", "plain", "samples", "trees", "underflowing", "write_samples"]

SIGNATURE = Signature(
    inputs=(TensorSpec(name="x", dtype="float32", shape=(Axis(label="rows"), Axis(size=8))),),
    outputs=(TensorSpec(name="y", dtype="float32", shape=(Axis(label="rows"), Axis(size=3))),),
)


def _written(path: Path, inner: Sequence[Any], weights: dict[str, Any]) -> Path:
    """Write ``x`` -> first layer -> ``h`` -> the inner nodes -> ``z`` -> last layer -> ``y``, with portinf's metadata."""
    rng = np.random.default_rng(4)
    layers = {"w1": rng.normal(size=(8, 16)) / 3, "b1": rng.normal(size=16), "w2": rng.normal(size=(16, 3)) / 4}
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h0"], name="first"),
        helper.make_node("Relu", ["h0"], ["h"], name="relu"),
        *inner,
        helper.make_node("MatMul", ["z", "w2"], ["s"], name="last"),
        helper.make_node("Sigmoid", ["s"], ["y"], name="answer"),
    ]
    given = [numpy_helper.from_array(np.asarray(array, np.float32), name) for name, array in {**layers, **weights}.items()]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", n]) for name, n in (("x", 8), ("y", 3))]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], given)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    raw = path.with_suffix(".raw")
    onnx.save(model, raw)
    write_onnx(model, raw, path, SIGNATURE, {"steps": [{"from": "a test"}]})
    return path


def plain(path: Path) -> Path:
    """Nothing is lost but digits."""
    return _written(path, [helper.make_node("Mul", ["h", "k"], ["z"], name="scale")], {"k": [1.5]})


def overflowing(path: Path) -> Path:
    """A norm whose squares leave fp16: 1000 * 1000 > 65504."""
    nodes = [
        helper.make_node("Mul", ["h", "k"], ["large"], name="scale"),
        helper.make_node("Mul", ["large", "large"], ["squares"], name="square"),
        helper.make_node("ReduceMean", ["squares", "axes"], ["mean"], name="mean"),
        helper.make_node("Sqrt", ["mean"], ["norm"], name="root"),
        helper.make_node("Div", ["large", "norm"], ["z"], name="normalise"),
    ]
    path = _written(path, nodes, {"k": [1000.0]})
    return _with_axes(path)


def _with_axes(path: Path) -> Path:
    model = onnx.load(path)
    model.graph.initializer.append(numpy_helper.from_array(np.array([1]), "axes"))
    path.write_bytes(model.SerializeToString())
    return path


def underflowing(path: Path) -> Path:
    """Multiplied by 1e-9 and by 1e9: fp16 keeps nothing between them."""
    nodes = [
        helper.make_node("Mul", ["h", "small"], ["tiny"], name="shrink"),
        helper.make_node("Mul", ["tiny", "grow"], ["z"], name="grow back"),
    ]
    return _written(path, nodes, {"small": [1e-9], "grow": [1e9]})


def cancelling(path: Path) -> Path:
    """An offset of 2000 and back: in range, but fp16 has steps of 1 there."""
    nodes = [
        helper.make_node("Add", ["h", "offset"], ["far"], name="far"),
        helper.make_node("Sub", ["far", "offset"], ["near"], name="back"),
        helper.make_node("Tanh", ["near"], ["z"], name="tanh"),
    ]
    return _written(path, nodes, {"offset": [2000.0]})


def trees(path: Path) -> Path:
    """One tree of ai.onnx.ml; it has no weights to quantise."""
    settings = {
        "n_targets": 3,
        "nodes_falsenodeids": [2, 0, 0],
        "nodes_featureids": [0, 0, 0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_nodeids": [0, 1, 2],
        "nodes_treeids": [0, 0, 0],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_values": [0.1, 0.0, 0.0],
        "target_ids": [0, 1],
        "target_nodeids": [1, 2],
        "target_treeids": [0, 0],
        "target_weights": [0.5, 0.7],
    }
    node = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", **settings)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", n]) for name, n in (("x", 8), ("y", 3))]
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(
        helper.make_model(helper.make_graph([node], "g", values[:1], values[1:]), opset_imports=opsets, ir_version=8), path
    )
    return path


def samples(rows: int = 64, seed: int = 0) -> Batch:
    """Return one batch."""
    rng = np.random.default_rng(seed)
    return Batch(name=f"sample {seed}", inputs={"x": rng.normal(size=(rows, 8)).astype(np.float32)})


def write_samples(path: Path) -> Path:
    """Write one batch with labels ``signal``."""
    batch = samples(400)
    save_npz(path, {**batch.inputs, "signal": (batch.inputs["x"][:, 0] > 0).astype(np.int64)})
    return path
