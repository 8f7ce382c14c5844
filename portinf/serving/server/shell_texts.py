"""Says which texts of a model another server's Python backend would hand to a shell: portinf's own has none (``starter``)."""

from __future__ import annotations

import re

from portinf.core.errors import printable
from portinf.serving.repository import ModelFolder

__all__ = ["for_a_shell"]

_PLAIN = re.compile(r"[A-Za-z0-9_.+/=,@-]+")
# Backends in C++; behind any other name there may be one in Python, which is started through a shell.
_NATIVE = ("onnxruntime", "tensorrt", "pytorch", "tensorflow", "openvino", "ensemble")


def for_a_shell(model: ModelFolder) -> str:
    """Return why a model cannot be given to a server that is not portinf's own, or an empty text."""
    config = model.config
    if model.backend in _NATIVE and (config is None or config.runtime != "model.py"):
        return ""
    texts = {"its name": model.name}
    if config is not None:
        environment = config.parameters["EXECUTION_ENV_PATH"].string_value if "EXECUTION_ENV_PATH" in config.parameters else ""
        texts["default_model_filename"] = config.default_model_filename
        texts["EXECUTION_ENV_PATH"] = environment.removeprefix("$$TRITON_MODEL_DIRECTORY")
        texts |= {f"the name of instance group {number}": group.name for number, group in enumerate(config.instance_group)}
    for what, text in texts.items():
        if text and not _PLAIN.fullmatch(text):
            return (
                f"{what}, '{printable(text)}', reaches a shell in Triton's Python backend: use ASCII letters, digits and _ . - there, or "
                "--engine pytriton"
            )
    return ""
