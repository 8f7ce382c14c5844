"""Calls the exporter directly, and nothing else: builds the model, exports it at the sample's size, writes the file.

Prints the CPU seconds used until then. Run by `benchmarks/conversion.py`:
``python benchmarks/direct_export.py MODEL SAMPLE.npz OUT.onnx NAME:AXIS ...``, with the dynamic axes.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

# so that `python benchmarks/direct_export.py` finds its models
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import conversion_models

OPSET = 18


def torch_direct(model: str, sample: Path, out: Path, dynamic: list[tuple[str, int]]) -> None:
    """Export with torch's dynamo exporter."""
    import torch

    module = getattr(conversion_models, model)()
    with np.load(sample) as arrays:
        example = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    shapes = {name: {axis: torch.export.Dim(f"s{k}") for k, (n, axis) in enumerate(dynamic) if n == name} for name in example}
    torch.onnx.export(
        module,
        (),
        str(out),
        kwargs=example,
        dynamo=True,
        dynamic_shapes=shapes,
        opset_version=OPSET,
        external_data=False,
        verbose=False,
    )


def keras_direct(model: str, sample: Path, out: Path, dynamic: list[tuple[str, int]]) -> None:
    """Export with tf2onnx."""
    import tensorflow as tf
    import tf2onnx

    network = getattr(conversion_models, model)()
    with np.load(sample) as arrays:
        specs = [
            tf.TensorSpec(
                [None if (n, k) in dynamic else s for k, s in enumerate(arrays[n].shape)], arrays[n].dtype.name, name=n
            )
            for n in arrays.files
        ]
    tf2onnx.convert.from_function(
        tf.function(lambda *tensors: network(*tensors, training=False), autograph=False),
        input_signature=specs,
        opset=OPSET,
        output_path=str(out),
    )


def main() -> None:
    """Read the command line."""
    model, sample, out, *axes = sys.argv[1:]
    dynamic = [(text.partition(":")[0], int(text.partition(":")[2])) for text in axes]
    export = keras_direct if model.startswith("keras") else torch_direct
    export(model, Path(sample), Path(out), dynamic)
    used = os.times()
    print(used.user + used.system)  # before the interpreter takes the framework down


if __name__ == "__main__":
    main()
