"""Writes the small models and samples that the recorded commands are run on: every number comes from a fixed seed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

from portinf.core.batch import save_npz

__all__ = ["DAMAGED", "NETS", "write_inputs"]

DAMAGED = "cut.onnx"  # no ONNX file, although its name says so

# Sources whose numbers do not depend on a training library's version: weights are drawn with numpy.
NETS = '''"""Sources of the recorded commands."""
import numpy as np


def _draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32") * 0.5


def mlp():
    import torch

    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3), torch.nn.Sigmoid())
    with torch.no_grad():
        for number, parameter in enumerate(net.parameters()):
            parameter.copy_(torch.from_numpy(_draw(*parameter.shape, seed=number)))
    return net.eval()


def edges():
    import torch

    class Edges(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.from_numpy(_draw(6, 5, seed=9)))

        def forward(self, x, edge_index):
            pairs = torch.cat([x[edge_index[0]], x[edge_index[1]]], 1)
            messages = (pairs @ self.weight).relu()
            return torch.zeros(x.shape[0], 5).index_add(0, edge_index[1], messages)

    return Edges().eval()


def branch():
    import torch

    class Branch(torch.nn.Module):
        def forward(self, x):
            return x * 2 if float(x.sum()) > 0 else x * 3

    return Branch().eval()


def dense():
    import keras

    inputs = keras.Input((4,), name="x")
    hidden = keras.layers.Dense(8, activation="relu")(inputs)
    outputs = keras.layers.Dense(2, name="y")(hidden)
    model = keras.Model(inputs, outputs)
    model.set_weights([_draw(*weight.shape, seed=number) for number, weight in enumerate(model.get_weights())])
    return model


def function():
    import tensorflow as tf

    weight = tf.constant(_draw(4, 3))

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
    def f(x):
        return {"y": tf.tanh(x @ weight)}

    return f


def forest():
    from sklearn.ensemble import GradientBoostingClassifier

    rows = np.random.default_rng(4).normal(size=(200, 4)).astype("float32")
    return GradientBoostingClassifier(n_estimators=4, max_depth=2, random_state=0).fit(rows, rows[:, 0] > rows[:, 1])
'''


def _model(path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: Mapping[str, Any]) -> None:
    graph = h.make_graph(nodes, path.stem, inputs, outputs, [nh.from_array(array, name) for name, array in weights.items()])
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), path)


def _mlp(path: Path, *, shift: float = 0.0, dtype: Any = np.float32) -> None:
    draw = np.random.default_rng(1)
    weights = {
        "w": draw.normal(size=(4, 8)).astype(dtype),
        "b": draw.normal(size=8).astype(dtype),
        "v": draw.normal(size=(8, 2)).astype(dtype),
        "c": (draw.normal(size=2) + shift).astype(dtype),
    }
    kind = h.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes = [
        h.make_node("Gemm", ["x", "w", "b"], ["first"]),
        h.make_node("Relu", ["first"], ["hidden"]),
        h.make_node("Gemm", ["hidden", "v", "c"], ["y"]),
    ]
    value = h.make_tensor_value_info
    _model(path, nodes, [value("x", kind, ["n", 4])], [value("y", kind, ["n", 2])], weights)


def _convolution(path: Path) -> None:
    draw = np.random.default_rng(2)
    weights = {"w": draw.normal(size=(3, 1, 3, 3)).astype("f"), "v": draw.normal(size=(3, 2)).astype("f")}
    nodes = [
        h.make_node("Conv", ["image", "w"], ["a"], pads=[1, 1, 1, 1]),
        h.make_node("Relu", ["a"], ["b"]),
        h.make_node("GlobalAveragePool", ["b"], ["c"]),
        h.make_node("Flatten", ["c"], ["d"]),
        h.make_node("MatMul", ["d", "v"], ["y"]),
    ]
    value = h.make_tensor_value_info
    _model(path, nodes, [value("image", T.FLOAT, ["n", 1, 6, 6])], [value("y", T.FLOAT, ["n", 2])], weights)


def _softmax_of_batch(path: Path) -> None:
    value = h.make_tensor_value_info
    nodes = [h.make_node("Softmax", ["x"], ["y"], axis=0)]
    _model(path, nodes, [value("x", T.FLOAT, ["n", 4])], [value("y", T.FLOAT, ["n", 4])], {})


def write_inputs(folder: Path) -> None:
    """Fill a folder with models (``.onnx``, ``nets.py``) and samples.

    Args:
        folder: exists, and is empty.
    """
    (folder / "nets.py").write_text(NETS, encoding="utf-8")
    _mlp(folder / "mlp.onnx")
    _mlp(folder / "shifted.onnx", shift=0.01)
    _mlp(folder / "double.onnx", dtype=np.float64)
    _convolution(folder / "conv.onnx")
    _softmax_of_batch(folder / "mixes_rows.onnx")
    draw = np.random.default_rng(3)
    x = draw.normal(size=(60, 4)).astype("f")
    truth = (x[:, 0] > 0).astype("f")
    save_npz(folder / "x.npz", {"x": x})
    save_npz(folder / "x_few.npz", {"x": x[:7]})
    save_npz(folder / "labelled.npz", {"x": x, "is_signal": truth, "energy": x[:, 1] * 2})
    save_npz(folder / "x64.npz", {"x": x.astype(np.float64)})
    save_npz(folder / "torch.npz", {"input": x})
    save_npz(folder / "torch_few.npz", {"input": x[:9]})
    save_npz(folder / "image.npz", {"image": draw.normal(size=(20, 1, 6, 6)).astype("f")})
    save_npz(folder / "unknown_name.npz", {"z": x})
    save_npz(folder / "narrow.npz", {"x": x[:, :3]})
    for number, (nodes, links) in enumerate(((6, 11), (9, 14))):
        arrays = {"x": draw.normal(size=(nodes, 3)).astype("f"), "edge_index": draw.integers(0, nodes, (2, links))}
        save_npz(folder / f"event_{number}.npz", arrays)
    (folder / "notes.txt").write_text("no model\n", encoding="utf-8")
    (folder / DAMAGED).write_bytes((folder / "mlp.onnx").read_bytes()[:150])
