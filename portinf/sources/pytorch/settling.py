"""Puts modules of known libraries, whose results depend on the number of calls, into one state."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["settle"]

WEAVER = "weaver.nn.model.ParticleTransformer"
TRIMMED = (
    "weaver's SequenceTrimmer switched off, in the reference and in the file, as for_inference=True does: it cuts the padding off "
    "from the sixth answer on (and with it what a mask with holes has further behind), and then fails on jets that are too small"
)


def settle(module: Any) -> list[str]:
    """Switch off what changes a module's answers from call to call in evaluation mode.

    weaver-core's ``SequenceTrimmer`` counts its calls, and from the sixth on shortens every batch to its longest jet.

    Args:
        module: an ``nn.Module``; changed in place.

    Returns:
        What was done, one line each.
    """
    weaver: Any = sys.modules.get(WEAVER)
    if weaver is None:
        return []
    trimmers = [part for part in module.modules() if isinstance(part, weaver.SequenceTrimmer) and part.enabled]
    for trimmer in trimmers:
        trimmer.enabled = False
    return [TRIMMED] if trimmers else []
