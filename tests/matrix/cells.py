"""One cell of the tables of sources, architectures and routes: what is converted, and what is expected."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Cell", "Samples"]

Samples = Callable[[np.random.Generator], Sequence[Mapping[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One model to convert.

    Attributes:
        name: source and architecture, for people.
        source: ``FILE.py:factory`` below tests/models, or a file that a script of tests/models writes.
        inputs: makes samples, each an event; None for none.
        expect: ``equal``, or a part of the message that refuses it.
        code: the exit code.
        cure: what the user can do where it is refused; else empty.
        outputs: names of the outputs as the user knows them.
        options: more arguments of ``portinf convert``.
        golden: an npz below tests/models with inputs and, as ``answer``, what another program computed from them.
    """

    name: str
    source: str
    inputs: Samples | None = None
    expect: str = "equal"
    code: int = 0
    cure: str = ""
    outputs: Sequence[str] = ()
    options: Sequence[str] = ()
    golden: str = ""
