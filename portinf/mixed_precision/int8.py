"""A graph and the ranges of its tensors -> the graph with 8-bit integers between QuantizeLinear and DequantizeLinear.

The recipe ``cpu`` is what ONNX Runtime's CPU kernels are fast at: uint8 activations, int8 weights by channel, biases in int32, and the
results of additions, poolings and moves in 8 bits too. Weights take 7 of their 8 bits: on processors without VNNI the
kernels add two products in 16 bits and saturate without a word, which 2 * 255 * 64 cannot reach. The recipe ``tensorrt`` is symmetric int8
for both, with a pair of its own before every operand of a convolution or matrix product, and float biases.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from portinf.core.errors import CannotError, first_line
from portinf.core.optional import require
from portinf.mixed_precision.model import FLOAT, copied, types_of
from portinf.mixed_precision.quantized_nodes import HEAVY
from portinf.mixed_precision.ranges import Ranges

if TYPE_CHECKING:
    import onnx


__all__ = ["Flavour", "count_quantised", "quantisable", "quantise"]

Flavour = Literal["cpu", "tensorrt"]
LEAST_OPSET = 13  # scales by channel
_WEIGHTED = ("MatMul", "Gemm", "Conv", "ConvTranspose")
_OPERATORS = {
    "cpu": (
        *_WEIGHTED,
        "Add",
        "Relu",
        "MaxPool",
        "AveragePool",
        "GlobalAveragePool",
        "Concat",
        "Flatten",
        "Reshape",
        "Transpose",
    ),
    "tensorrt": _WEIGHTED,
}
_OPTIONS: dict[str, dict[str, Any]] = {
    "cpu": {"WeightSymmetric": True, "ActivationSymmetric": False, "MatMulConstBOnly": True},
    "tensorrt": {
        "WeightSymmetric": True,
        "ActivationSymmetric": True,
        "DedicatedQDQPair": True,
        "QuantizeBias": False,
        "MatMulConstBOnly": True,
        "OpTypesToExcludeOutputQuantization": list(_WEIGHTED),
    },
}


def quantisable(model: onnx.ModelProto, ranges: Ranges, flavour: Flavour) -> tuple[list[str], list[str]]:
    """Return the nodes that may take 8-bit operands, in their order, and those of them that multiply by weights.

    A node is left out where one of its tensors has no finite range.

    Args:
        model: of `portinf.mixed_precision.load_whole`.
        ranges: of the tensors of this model.
        flavour: which operators.

    Raises:
        CannotError: there is no node with float32 weights to quantise.
    """
    opset = next((int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if opset < LEAST_OPSET:
        raise CannotError(f"int8: the file has opset {opset}, scales by channel need {LEAST_OPSET}: convert it again")
    types = types_of(model)
    weights = {tensor.name for tensor in model.graph.initializer if tensor.data_type == FLOAT}
    nodes, weighted = [], []
    for node in model.graph.node:
        data = [name for name in (*node.input[:2], *node.output) if types.get(name) == FLOAT and name not in weights]
        if node.op_type not in _OPERATORS[flavour] or node.domain not in ("", "ai.onnx") or not data:
            continue
        if not all(np.isfinite(ranges.by_tensor.get(name, (np.inf, np.inf))).all() for name in data):
            continue
        if node.op_type in _WEIGHTED:
            if node.input[1] not in weights:
                continue
            weighted.append(node.name)
        nodes.append(node.name)
    if not weighted:
        found = sorted({node.op_type for node in model.graph.node})
        raise CannotError(
            f"int8: nothing to quantise: no {', '.join(_WEIGHTED)} with float32 weights; it has {', '.join(found)}"
        )
    return nodes, weighted


def quantise(model: onnx.ModelProto, ranges: Ranges, nodes: Collection[str], flavour: Flavour) -> Any:
    """Return a copy of a model in which these nodes take 8-bit operands.

    Args:
        model: of `portinf.mixed_precision.load_whole`.
        ranges: of the tensors of this model, seen on samples.
        nodes: from `quantisable`.
        flavour: of the recipe.

    Raises:
        CannotError: ONNX Runtime's quantiser fails, or leaves every weight as it was.
    """
    quantizer_module = require("onnxruntime.quantization.qdq_quantizer", "")
    calibrate, kinds = require("onnxruntime.quantization.calibrate", ""), require("onnxruntime.quantization", "").QuantType
    data = {
        name: calibrate.TensorData(lowest=np.float32(low), highest=np.float32(high))
        for name, (low, high) in ranges.by_tensor.items()
    }
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # the quantiser warns of what is decided here
    try:
        quantizer = quantizer_module.QDQQuantizer(
            copied(model),
            True,  # by channel
            flavour == "cpu",  # 7 bits of the weights
            kinds.QInt8,
            kinds.QUInt8 if flavour == "cpu" else kinds.QInt8,
            calibrate.TensorsData(calibrate.CalibrationMethod.MinMax, data),
            list(nodes),
            [],
            list(_OPERATORS[flavour]),
            dict(_OPTIONS[flavour]),
        )
        quantizer.quantize_model()
        quantizer.model.clean_initializers()
        quantizer.model.topological_sort()
    except Exception as error:
        raise CannotError(f"int8: ONNX Runtime's quantiser fails: {first_line(error)}") from error
    finally:
        root.setLevel(level)
    made = quantizer.model.model
    del made.metadata_props[:]
    made.metadata_props.extend(model.metadata_props)
    return made


def count_quantised(model: onnx.ModelProto) -> int:
    """Return how many products take both operands from 8 bits: what a quantiser really did."""
    made = {name: node.op_type for node in model.graph.node for name in node.output}
    return sum(
        node.op_type in HEAVY and all(made.get(name) == "DequantizeLinear" for name in node.input[:2])
        for node in model.graph.node
    )
