"""Answers the demonstration's events with a model in its own framework: what the served answers are compared with.

    python -m examples.reference keras  MODEL.keras  ANSWERS.npz EVENTS.npz...
    python -m examples.reference tracks WEIGHTS.pt   ANSWERS.npz EVENTS.npz...

One process per framework, and neither portinf nor ONNX in it. ``ANSWERS.npz`` holds one array per file of events, under the
file's name without its suffix.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Answer", "answer_with_keras", "answer_with_torch"]

Arrays: TypeAlias = Mapping[str, npt.NDArray[Any]]
Answer: TypeAlias = Callable[[Arrays], npt.NDArray[Any]]


def answer_with_keras(model: Path) -> Answer:
    """Load a ``.keras`` file; the answer to ``{"channels": [channel, 15]}`` is the energy [channel, 1]."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras

    loaded = keras.saving.load_model(model, compile=False)
    return lambda inputs: np.asarray(loaded(inputs["channels"], training=False))


def answer_with_torch(weights: Path) -> Answer:
    """Build the track-finding network with these weights; the answer to ``x`` and ``edge_index`` is the score [edge]."""
    import torch

    from examples.tracking.model import build

    network = build()
    network.load_state_dict(torch.load(weights, weights_only=True))

    def answer(inputs: Arrays) -> npt.NDArray[Any]:
        with torch.no_grad():
            found = network(**{name: torch.from_numpy(array) for name, array in inputs.items()})
        return np.asarray(found.numpy())

    return answer


def main() -> None:
    """Answer every file of events on the command line."""
    framework, model, answers, *events = sys.argv[1:]
    answer = {"keras": answer_with_keras, "tracks": answer_with_torch}[framework](Path(model))
    found: dict[str, Any] = {}
    for path in map(Path, events):
        with np.load(path) as arrays:
            found[path.stem] = answer(dict(arrays))
    np.savez(answers, **found)


if __name__ == "__main__":
    main()
