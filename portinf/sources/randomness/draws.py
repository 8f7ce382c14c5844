"""Random numbers that a model draws while it answers: where in the user's code, and the sentence that refuses the model for it."""

from __future__ import annotations

import linecache
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import portinf.core.errors

__all__ = ["Draw", "frames_from", "line_of", "refusal"]

# frames of these packages are passed over on the way to the user's own line
LIBRARIES = ("torch", "torch_geometric", "keras", "tf_keras", "tensorflow", "numpy", "sklearn", "onnx", "onnxscript")


@dataclass(frozen=True, kw_only=True)
class Draw:
    """One operation that draws random numbers.

    Attributes:
        what: the operation, as its framework calls it.
        layer: name of the layer that runs it; empty where that is not known, or is the model itself.
        place: ``net.py, line 8: `code` `` of the user's own line; empty where that is not known.
        advice: what to do, where the operation does not say that by itself.
    """

    what: str
    layer: str = ""
    place: str = ""
    advice: str = ""

    @property
    def text(self) -> str:
        """Name the operation and where it is."""
        layer = f" in layer '{self.layer}'" if self.layer else ""
        return f"{self.what}{layer}{f' ({self.place})' if self.place else ''}"

    @property
    def cure(self) -> str:
        """Say what to do."""
        code = self.place.partition("`")[2]
        torch = self.what.startswith("aten.")
        if self.advice:
            return self.advice
        if "training=True" in code and not torch:
            return "remove training=True"
        if "rrelu" in code + self.what:
            return "give F.rrelu(..., training=self.training)"
        dropout = re.search(r"([\w.]*dropout\w*)\(", code)
        if dropout is not None:
            return f"give {dropout[1]}(..., training=self.training)" if torch else f"call {dropout[1]} in training only"
        example = ", as in forward(self, x, noise)" if torch else ""
        return f"pass the random numbers as an input of the model{example}, or use their mean in evaluation"


def refusal(draws: Sequence[Draw]) -> str:
    """Say why a model whose answer depends on these draws cannot be converted, and what to do; empty for none."""
    if not draws:
        return ""
    texts = list(dict.fromkeys(draw.text for draw in draws))
    more = f" and {len(texts) - 3} more" if len(texts) > 3 else ""
    drawn = "draws" if len(texts) == 1 else "draw"
    cures = list(dict.fromkeys(draw.cure for draw in draws))
    return (
        f"the model is random, its results differ from call to call: {', '.join(texts[:3])}{more} {drawn} random numbers "
        f"in evaluation mode: {'; '.join(cures[:2])}"
    )


def line_of(frames: Iterable[tuple[str, int]]) -> str:
    """Return the first line that is the user's own, ``net.py, line 8: `code` ``; empty where there is none.

    Args:
        frames: file and line, the innermost call first.
    """
    roots = [Path(portinf.core.errors.__file__).resolve().parents[1]]
    files = [getattr(sys.modules.get(name), "__file__", None) for name in LIBRARIES]
    roots += [Path(file).parent for file in files if file]
    for file, number in frames:
        path = Path(file)
        standard = Path(linecache.__file__).parent in path.parents and "site-packages" not in path.parts
        if file.startswith("<") or standard or any(root in path.parents for root in roots) or not path.is_file():
            continue
        return f"{path.name}, line {number}: `{linecache.getline(file, number).strip()[:100]}`"
    return ""


def frames_from(frame: Any) -> Iterable[tuple[str, int]]:
    """Yield file and line of a frame and of those that called it."""
    while frame is not None:
        yield frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
