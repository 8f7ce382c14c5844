"""The place of the card's driver: not written and not run here.

Triton runs it in place of the emulation where config.pbtxt says ``portinf_executed_by`` = ``card``. Before the first request
the recorded requests (goldens.npz) are answered: a card whose bits differ from the emulation is not served.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["Card"]


class Card:
    """A card with this network in it.

    Args:
        folder: of the hand-over: ``network/network.json`` gives the format of every input and output.
    """

    def __init__(self, folder: Path) -> None:
        raise NotImplementedError(f"{__file__}: the card's driver is not written; not run here (see {folder / 'README.md'})")

    def run(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Answer rows: arrays by input name, shape (rows, ...) -> float64 arrays by output name.

        Numbers become raw fixed-point ones as the format of the input says (rounding, then overflow); an output is its raw
        number times 2 ** -fraction.
        """
        raise NotImplementedError
