"""Opens anything that can answer a request: an ONNX file, a folder for an FPGA, or a live endpoint."""

from __future__ import annotations

from pathlib import Path

from portinf.runners.protocol import Runner
from portinf.targets.fpga.folder import named_way

__all__ = ["is_endpoint", "open_runner"]


def is_endpoint(uri: str) -> bool:
    """Say whether a name is the address of a live model."""
    return uri.partition("://")[0].removesuffix("+shm") in ("grpc", "http", "grpcs", "https") and "://" in uri


def open_runner(uri: str) -> Runner:
    """Open an ONNX file, a folder for an FPGA or a live endpoint, for use as a context manager.

    Args:
        uri: path of an ``.onnx`` file or of the folder, behind which may stand who answers for it (``DIR@rtl``), or
            ``grpc://host:port/model[/version]`` or ``http://...``.

    Raises:
        UnreadableError: the file is missing or damaged.
        ServingError: the endpoint does not answer.
    """
    if is_endpoint(uri):
        from portinf.runners.endpoint.runner import EndpointRunner

        return EndpointRunner(uri)
    fixed = named_way(uri)
    if fixed is not None:
        from portinf.targets.fpga.runners import open_fpga

        return open_fpga(*fixed)
    from portinf.runners.onnx import OnnxRuntimeRunner

    return OnnxRuntimeRunner(Path(uri))
