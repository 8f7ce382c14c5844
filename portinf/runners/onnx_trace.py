"""An ONNX file and inputs -> the inner tensors of its main graph by name, a bounded amount of them at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from portinf.artifact import load_proto
from portinf.lazy import require
from portinf.samples import Array, Arrays
from portinf.sources.onnx_session import OnnxSession

__all__ = ["trace_onnx"]

BUDGET = 256_000_000  # bytes of inner tensors that one run may hold
FIRST = 32  # tensors in the first run, before their sizes are known


def trace_onnx(
    path: Path, inputs: Mapping[str, Array], names: Collection[str] | None, *, name: str, budget: int = BUDGET
) -> Iterator[tuple[str, Array]]:
    """Yield what the nodes of the main graph give, in their order, with no rewriting by ONNX Runtime.

    Each run asks for as many tensors as are likely to fit into ``budget``, judged by the mean size of those before.
    Values that are no tensors (sequences, optionals) are left out.

    Args:
        path: the ONNX file, its external data beside it.
        inputs: arrays by input name.
        names: which tensors; None for all.
        name: how messages call this side.
        budget: bytes.

    Raises:
        RunnerError: ONNX Runtime fails.
        UnreadableError: it cannot load the graph as it stands.
    """
    model = load_proto(path)
    inner = list(dict.fromkeys(out for node in model.graph.node for out in node.output if out))
    wanted = [tensor for tensor in inner if names is None or tensor in names]
    count, seen, held = FIRST, 0, 0
    while wanted:
        part, wanted = wanted[:count], wanted[count:]
        found = _run(model, path, part, inputs, name)
        seen += len(part)
        held += sum(array.nbytes for array in found.values())
        mean = max(1, held // seen)
        count = max(1, min(4 * count, budget // mean))
        yield from found.items()


def _run(model: Any, path: Path, names: Sequence[str], inputs: Mapping[str, Array], name: str) -> Arrays:
    """Run a copy of the model whose outputs are these tensors."""
    onnx = require("onnx", "")
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = {value.name: value for value in model.graph.output}
    del copy.graph.output[:]
    for tensor in names:
        copy.graph.output.append(known.get(tensor) or onnx.ValueInfoProto(name=tensor))
    with tempfile.TemporaryDirectory(prefix="portinf-trace-") as folder:
        file = Path(folder) / "model.onnx"
        file.write_bytes(copy.SerializeToString())
        session = OnnxSession(file, level="none", threads=0, name=name, data=path.parent)
        try:
            return session.infer(inputs)
        finally:
            session.close()
