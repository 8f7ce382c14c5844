"""A QONNX file and samples -> a network with the file's own bits, which must answer exactly as the file does."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from portinf.core.batch import Batch
from portinf.core.errors import CannotError, DisagreementError
from portinf.core.signature import Signature
from portinf.fixedpoint.emulator import Emulator
from portinf.targets.fpga.options import EXACT
from portinf.targets.fpga.quantize.choose import EMULATED, SEEN, Judged, Read, judge
from portinf.targets.fpga.quantize.layer_errors import layer_errors
from portinf.targets.fpga.reader.qonnx import qonnx_network
from portinf.targets.fpga.runners.emulator import EmulatorRunner

__all__ = ["judge_qonnx"]


def judge_qonnx(model: Path, plain: Path, signature: Signature, read: Read) -> Judged:
    """Hold the network against the file on all rows.

    Args:
        model: the QONNX file.
        plain: the same in ONNX's own operators, as `portinf.targets.fpga.reader.qonnx.plain_model` wrote it.
        signature: its inputs and outputs.
        read: reads the samples.

    Raises:
        CannotError: something is not read from QONNX, or is too wide to be exact.
        DisagreementError: one number differs.
    """
    network = qonnx_network(model)
    runner = EmulatorRunner(network, signature, EMULATED)
    comparison = judge(plain, runner, read, EXACT)
    if comparison.verdict != "equal":
        raise DisagreementError(f"{model}: the exact emulation differs from the file: {comparison.reason}")
    batches = list(read())
    if not batches:
        raise CannotError(f"{model}: there are no rows in the samples")
    samples = {name: np.concatenate([batch.inputs[name] for batch in batches])[:SEEN] for name in batches[0].inputs}
    ranges = {name: (float(array.min()), float(array.max())) for name, array in samples.items()}
    ranges |= {name: (float(a.min()), float(a.max())) for name, a in Emulator(network).trace(samples)}
    errors = layer_errors(runner, plain, [Batch(name="samples", inputs=samples)])
    return Judged(
        network=network,
        emulated=True,
        why_not="",
        comparison=comparison,
        ranges=ranges,
        errors=errors,
        samples=samples,
        read=read,
    )
