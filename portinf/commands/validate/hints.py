"""Why a comparison fails, where it can be seen from outside: another version is served, outputs were recorded in training mode."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from portinf.core.batch import Batch
from portinf.core.errors import first_line
from portinf.core.optional import require
from portinf.onnx_graph.model_file import load_proto
from portinf.validation import CheckResult, Tolerance
from portinf.validation.elementwise import differing

__all__ = ["recorded_in_training", "served_version"]

LARGEST = 64 << 20  # bytes of a model that is run in plain numpy for a hint


def served_version(model: str, recorded: int, served: Sequence[str], *, equal: bool) -> CheckResult | None:
    """Say that a server has another version of a model than the reference; None where it has the same, or the version is unknown.

    Args:
        model: name of the model.
        recorded: version of the reference.
        served: versions that the server names.
        equal: the numbers agree anyway.
    """
    if not served or str(recorded) in served:
        return None
    text = f"the endpoint serves version {', '.join(served)} of '{model}', the reference is version {recorded}"
    return CheckResult(name="served version", status="reported" if equal else "failed", text=text)


def recorded_in_training(path: Path, batches: Sequence[Batch], tolerance: Tolerance) -> CheckResult | None:
    """Say that recorded outputs are those of a model left in training mode: its batch norms took the batch's own statistics.

    Args:
        path: an ONNX file with BatchNormalization nodes; None is the answer for any other.
        batches: with recorded outputs that the file does not reproduce.
        tolerance: within which the outputs count as reproduced.
    """
    if path.stat().st_size > LARGEST:
        return None
    model = load_proto(path)
    norms = [node for node in model.graph.node if node.op_type == "BatchNormalization"]
    if not norms or next((entry.version for entry in model.opset_import if entry.domain == ""), 0) < 14:
        return None
    for node in norms:
        kept = [attribute for attribute in node.attribute if attribute.name != "training_mode"]
        del node.attribute[:]
        node.attribute.extend([*kept, require("onnx", "").helper.make_attribute("training_mode", 1)])
    try:
        evaluator = require("onnx.reference", "").ReferenceEvaluator(model)
        names = [output.name for output in model.graph.output]
        for batch in batches:
            found = dict(zip(names, evaluator.run(None, dict(batch.inputs)), strict=True))
            if differing(batch.expected or {}, found, tolerance=tolerance):
                return None
    except Exception as error:  # noqa: BLE001 (a hint is no reason to fail: the evaluator lacks operators)
        return CheckResult(name="training mode", status="not applicable", text=f"could not be tried: {first_line(error)}")
    text = (
        f"the recorded outputs are those of the model in training mode ({len(norms)} batch norms on the batch's own statistics)"
    )
    return CheckResult(name="training mode", status="failed", text=f"{text}: record them again after model.eval()")
