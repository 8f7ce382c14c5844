"""A source in its framework, eager, behind the runners' contract."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

from portinf.core.batch import Array, Arrays
from portinf.core.errors import RunnerError
from portinf.core.signature import Signature
from portinf.runners.protocol import RunnerInfo
from portinf.sources.layers import Layer
from portinf.sources.process.parent import SourceProcess

__all__ = ["SourceRunner"]


class SourceRunner:
    """Answers with the source itself; an answer to the very same arrays is remembered, so that each size runs once.

    Args:
        process: the child that holds it; ended with the runner.
        name: as shown in reports.
        signature: as found from samples.
    """

    info = RunnerInfo()

    def __init__(self, process: SourceProcess, *, name: str, signature: Signature) -> None:
        self._process, self._name, self._signature = process, name, signature
        self._known: list[tuple[Mapping[str, Array], Arrays | RunnerError]] = []

    @property
    def name(self) -> str:
        """How reports call this side."""
        return self._name

    @property
    def signature(self) -> Signature:
        """Names, types and axes as found from samples."""
        return self._signature

    def remember(self, inputs: Mapping[str, Array]) -> Arrays:
        """Answer and keep the answer for the next call with these very arrays (by identity)."""
        try:
            outputs = self.infer(inputs)
        except RunnerError as error:
            self.keep(inputs, error)
            raise
        self.keep(inputs, outputs)
        return outputs

    def keep(self, inputs: Mapping[str, Array], answer: Arrays | RunnerError) -> None:
        """Take an answer of the source that is known already, for calls with these very arrays (by identity)."""
        if not any(known is inputs for known, _ in self._known):
            self._known.append((inputs, answer))

    def adopt(self, other: SourceRunner) -> None:
        """Take over the answers that another runner of the same process remembers."""
        self._known = other._known

    def infer(self, inputs: Mapping[str, Array]) -> Arrays:
        """Answer one request; see `portinf.runners.protocol.Runner.infer`."""
        for known, answer in self._known:
            if known is inputs:
                if isinstance(answer, RunnerError):
                    raise answer
                return answer
        return self._process.infer(inputs)

    def layers(self, inputs: Mapping[str, Array]) -> tuple[list[Layer], Arrays]:
        """Return the calls of the layers in the order in which they finish, and all they take and give by name."""
        return self._process.trace(inputs)

    def infer_double(self, inputs: Mapping[str, Array]) -> Arrays:
        """Answer one request in float64.

        Raises:
            RunnerError: the model fails on these inputs.
            CannotError: this source cannot compute in float64.
        """
        return self._process.infer(inputs, double=True)

    def __enter__(self) -> SourceRunner:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.close()
