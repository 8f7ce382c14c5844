"""Opens an ONNX file in ONNX Runtime, and runs it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from portinf.core.batch import Array, Arrays
from portinf.core.errors import RunnerError, UnreadableError, UsageError, first_line
from portinf.core.optional import require

__all__ = ["PlainSession"]


class PlainSession:
    """One session.

    Args:
        path: the ONNX file, its external data beside it.
        level: ``none``, ``basic``, ``extended`` or ``all``: how far ONNX Runtime may rewrite the graph.
        threads: intra-op threads; 0 lets ONNX Runtime choose.
        name: how messages call this side; "" for one that puts its own name before them.
        provider: execution provider, by its name in ONNX Runtime or shortened.
        data: folder of the external data where it does not lie beside the file.

    Raises:
        UsageError: this ONNX Runtime has no such provider.
        UnreadableError: it cannot load the file.
    """

    def __init__(
        self,
        path: Path,
        *,
        level: str,
        threads: int,
        name: str,
        provider: str = "cpu",
        data: Path | None = None,
    ) -> None:
        ort = require("onnxruntime", "")
        providers = _providers(ort, provider)
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = threads
        options.graph_optimization_level = getattr(
            ort.GraphOptimizationLevel, "ORT_DISABLE_ALL" if level == "none" else f"ORT_ENABLE_{level.upper()}"
        )
        model: str | bytes = str(path)
        if data is not None:
            options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(data.resolve()))
            model = path.read_bytes()  # the folder is looked at for models that come as bytes
        try:
            self._session: Any = ort.InferenceSession(model, options, providers=providers)
        except Exception as error:
            raise UnreadableError(f"{path}: ONNX Runtime {ort.__version__} cannot load it: {first_line(error)}") from error
        self._name, self.providers = name, tuple(providers)
        self._outputs = [output.name for output in self._session.get_outputs() if output.type.startswith("tensor")]

    def infer(self, inputs: Mapping[str, Array]) -> Arrays:
        """Answer one request.

        Raises:
            RunnerError: ONNX Runtime fails.
        """
        try:
            values = self._session.run(self._outputs, dict(inputs))
        except Exception as error:
            raise RunnerError(f"{self._name}: {first_line(error)}".removeprefix(": ")) from error
        return {name: np.asarray(value) for name, value in zip(self._outputs, values, strict=True)}

    def close(self) -> None:
        """Give the session up."""
        self._session = None


def _providers(ort: Any, name: str) -> list[str]:
    """Return the provider meant, and the CPU behind it for what it does not run."""
    present = ort.get_available_providers()
    full = next((p for p in present if name.lower() in (p.lower(), p.lower().removesuffix("executionprovider"))), None)
    if full is None:
        short = ", ".join(p.removesuffix("ExecutionProvider").lower() for p in present)
        raise UsageError(
            f"--provider {name}: this ONNX Runtime has {short}; install the build that has it (onnxruntime-gpu, ...)"
        )
    return list(dict.fromkeys([full, "CPUExecutionProvider"]))
