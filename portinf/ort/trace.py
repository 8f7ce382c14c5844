"""An ONNX file and inputs -> the inner tensors of its main graph by name, a bounded amount of them at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from portinf.core.batch import Array, Arrays
from portinf.core.optional import require
from portinf.onnx_graph.model_file import load_proto
from portinf.ort.opening import OnnxSession

if TYPE_CHECKING:
    import onnx


__all__ = ["OpenedGraph", "trace_onnx"]

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
    requested = [tensor for tensor in inner if names is None or tensor in names]
    count, seen, held = FIRST, 0, 0
    while requested:
        part, requested = requested[:count], requested[count:]
        with OpenedGraph(model, path.parent, part, name) as graph:
            found = graph.see(inputs)
        seen += len(part)
        held += sum(array.nbytes for array in found.values())
        mean = max(1, held // seen)
        count = max(1, min(4 * count, budget // mean))
        yield from found.items()


class OpenedGraph:
    """A session that gives inner tensors, with no rewriting by ONNX Runtime; a context manager.

    Args:
        model: the parsed file.
        folder: where its external data lies.
        names: of the tensors.
        name: how messages call this side.

    Raises:
        UnreadableError: ONNX Runtime cannot load the graph as it stands.
    """

    def __init__(self, model: onnx.ModelProto, folder: Path, names: Sequence[str], name: str) -> None:
        onnx = require("onnx", "")
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        known = {value.name: value for value in model.graph.output}
        del copy.graph.output[:]
        for tensor in names:
            copy.graph.output.append(known.get(tensor) or onnx.ValueInfoProto(name=tensor))
        self._folder = tempfile.TemporaryDirectory(prefix="portinf-trace-")
        try:
            file = Path(self._folder.name) / "model.onnx"
            file.write_bytes(copy.SerializeToString())
            self._session = OnnxSession(file, level="none", threads=0, name=name, data=folder)
        except BaseException:
            self._folder.cleanup()
            raise

    def see(self, inputs: Mapping[str, Array]) -> Arrays:
        """Return the tensors for one request.

        Raises:
            RunnerError: ONNX Runtime fails.
        """
        return self._session.infer(inputs)

    def __enter__(self) -> OpenedGraph:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()
        self._folder.cleanup()
