"""QONNX files: a jet tagger with ``Quant`` nodes, written without Brevitas or QKeras."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DOMAIN = "qonnx.custom_op.general"


class QuantGraph:
    """Collects nodes and weights."""

    def __init__(self, seed: int = 2) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def constant(self, name: str, values: Any) -> str:
        """Add an initializer."""
        self.weights.append(numpy_helper.from_array(np.asarray(values, np.float32), name))
        return name

    def quant(self, x: str, output: str, bits: float, scale: float, *, mode: str = "ROUND", **flags: int) -> str:
        """Add a Quant node."""
        names = [self.constant(f"{output}_{k}", value) for k, value in enumerate((scale, 0.0, bits))]
        self.nodes.append(
            helper.make_node(
                "Quant", [x, *names], [output], domain=DOMAIN, rounding_mode=mode, **{"signed": 1, "narrow": 0, **flags}
            )
        )
        return output

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node of ONNX."""
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def dense(self, x: str, sizes: tuple[int, int], output: str, *, gemm: bool) -> str:
        """Add a layer with weights and bias of some bits: as Gemm with turned weights, or as MatMul and Add."""
        drawn = self.rng.normal(0, 1.5 / np.sqrt(sizes[0]), sizes)
        weight = self.constant(f"{output}_w", drawn.T if gemm else drawn)
        weight = self.quant(weight, f"{output}_wq", 6, 2.0**-5, narrow=1)
        bias = self.quant(self.constant(f"{output}_b", self.rng.normal(0, 0.2, sizes[1])), f"{output}_bq", 8, 2.0**-6)
        if gemm:
            return self.node("Gemm", [x, weight, bias], output, transB=1)
        return self.node("Add", [self.node("MatMul", [x, weight], f"{output}_p"), bias], output)

    def save(self, path: Path, size: int, output: str, count: int) -> Path:
        """Write the file, with a batch of one row as exporters do."""
        given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, size])
        made = helper.make_tensor_value_info(output, TensorProto.FLOAT, [1, count])
        graph = helper.make_graph(self.nodes, "net", [given], [made], self.weights)
        sets = [helper.make_opsetid("", 13), helper.make_opsetid(DOMAIN, 1)]
        onnx.save(helper.make_model(graph, opset_imports=sets, ir_version=8), str(path))
        return path


def tagger(path: Path, sizes: Sequence[int] = (16, 64, 32, 32, 5)) -> Path:
    """Dense layers with activations of 8 bits without a sign, rounded to nearest even or cut off."""
    graph = QuantGraph()
    x = graph.quant("x", "x_q", 8, 2.0**-4)
    pairs = list(pairwise(sizes))
    for number, pair in enumerate(pairs[:-1]):
        x = graph.node("Relu", [graph.dense(x, pair, f"fc{number}", gemm=number % 2 == 0)], f"act{number}")
        x = graph.quant(x, f"act{number}_q", 8, 2.0**-5, signed=0, mode="ROUND" if number else "FLOOR")
    last = graph.quant(graph.dense(x, pairs[-1], "last", gemm=False), "y", 12, 2.0**-6)
    return graph.save(path, sizes[0], last, sizes[-1])
