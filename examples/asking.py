"""Sends events to a served model and compares the answers with the framework's: part of the demonstration."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["ATOL", "RTOL", "Answered", "DemoError", "agreement", "ask", "print_table"]

RTOL, ATOL = 1e-4, 1e-5  # portinf's own for float32: other orders of summation, far below what a wrong weight changes
REPEATS = 15  # requests that are timed, for each event and protocol

Arrays: TypeAlias = Mapping[str, npt.NDArray[Any]]


class DemoError(Exception):
    """A step failed; the message says which and why."""


@dataclass(frozen=True, kw_only=True)
class Answered:
    """One event, asked over both protocols.

    Attributes:
        model: its name.
        event: its name.
        sizes: of its inputs, for the table.
        difference: largest absolute difference from the framework over both protocols; NaN where the shapes differ.
        agrees: whether all elements are within the tolerance.
        milliseconds: median time of a request by protocol.
    """

    model: str
    event: str
    sizes: str
    difference: float
    agrees: bool
    milliseconds: Mapping[str, float]


class Client(Protocol):
    """What both of tritonclient's clients offer, as far as it is needed here."""

    def infer(self, model_name: str, inputs: list[Any]) -> Any:
        """Send one request."""

    def close(self) -> None:
        """Close the connection."""


def ask(model: str, events: Sequence[Path], answers: Path, addresses: Mapping[str, str]) -> Iterator[Answered]:
    """Send every event over both protocols and hold the answers against the framework's.

    Args:
        model: its name on the server.
        events: npz files, one array per input.
        answers: npz file with the framework's answer to each event, under the stem of the event's file.
        addresses: host:port under ``grpc`` and ``http``.

    Raises:
        DemoError: the server refuses a request.
    """
    import tritonclient.grpc
    import tritonclient.http

    clients: list[tuple[str, Any, Client]] = [
        ("gRPC", tritonclient.grpc, tritonclient.grpc.InferenceServerClient(addresses["grpc"])),
        ("HTTP", tritonclient.http, tritonclient.http.InferenceServerClient(addresses["http"])),
    ]
    with np.load(answers) as expected:
        for path in events:
            with np.load(path) as arrays:
                inputs = dict(arrays)
            asked = {protocol: _ask(library, client, model, inputs) for protocol, library, client in clients}
            difference, agrees = agreement(expected[path.stem], [answer for answer, _ in asked.values()])
            yield Answered(
                model=model,
                event=path.stem,
                sizes=" ".join("x".join(map(str, array.shape)) for array in inputs.values()),
                difference=difference,
                agrees=agrees,
                milliseconds={protocol: seconds * 1e3 for protocol, (_, seconds) in asked.items()},
            )
    for _, _, client in clients:
        client.close()


def agreement(reference: npt.NDArray[Any], served: Sequence[npt.NDArray[Any]]) -> tuple[float, bool]:
    """Compare answers with the framework's.

    Returns:
        The largest absolute difference (0 for empty answers, NaN for NaN or another shape), and whether every answer has the
        framework's shape and lies within ``ATOL + RTOL * |reference|``.
    """
    if any(answer.shape != reference.shape for answer in served):
        return float("nan"), False
    differences = [np.abs(answer - reference).max(initial=0.0) for answer in served]
    return float(np.max(differences)), all(np.allclose(answer, reference, rtol=RTOL, atol=ATOL) for answer in served)


def print_table(answered: Sequence[Answered]) -> None:
    """Print one row for each event, within 80 columns."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    title = f"Served by Triton, against the framework (rtol {RTOL:g}, atol {ATOL:g})"
    table = Table(title=title, box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for heading in ("model", "event", "sizes"):
        table.add_column(heading, no_wrap=True)
    for heading in ("max |diff|", "verdict", "gRPC ms", "HTTP ms"):
        table.add_column(heading, justify="right", no_wrap=True)
    for answer in answered:
        times = [f"{answer.milliseconds[protocol]:.1f}" for protocol in ("gRPC", "HTTP")]
        verdict = "agrees" if answer.agrees else "DIFFERS"
        table.add_row(answer.model, answer.event, answer.sizes, f"{answer.difference:.1e}", verdict, *times)
    Console(width=80).print(table)


def _ask(library: Any, client: Client, model: str, inputs: Arrays) -> tuple[npt.NDArray[Any], float]:
    """Return the answer to one event and the median time of a request in seconds; the first request is not timed."""
    tensors = []
    for name, array in inputs.items():
        tensor = library.InferInput(name, array.shape, _triton_type(array.dtype))
        tensor.set_data_from_numpy(array)
        tensors.append(tensor)
    times: list[float] = []
    for _ in range(1 + REPEATS):
        start = time.perf_counter()
        try:
            response = client.infer(model, tensors)
        except Exception as error:
            raise DemoError(f"{model}: the server refused a request: {error}") from error
        times.append(time.perf_counter() - start)
    return response.as_numpy(_output_name(response)), float(np.median(times[1:]))


def _triton_type(dtype: np.dtype[Any]) -> str:
    """Return Triton's name of an element type."""
    from tritonclient.utils import np_to_triton_dtype

    return str(np_to_triton_dtype(dtype))


def _output_name(response: Any) -> str:
    """Return the name of the only output; gRPC answers with a message, HTTP with a dict."""
    content = response.get_response()
    return str(content["outputs"][0]["name"] if isinstance(content, dict) else content.outputs[0].name)
