"""Loads each HDF5 file named and says how far its answers are from those recorded: {stem: [error, notes or message]}."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from portinf.core.errors import PortinfError
from portinf.sources.keras.h5 import load_h5


def _error(path: Path) -> list[Any]:
    try:
        model, notes = load_h5(path, allow_code=False)
    except PortinfError as error:
        return [type(error).__name__, str(error)]
    arrays = dict(np.load(path.with_suffix(".npz")))
    answer = arrays.pop("answer")
    inputs = list(arrays.values())
    found = model(inputs if len(inputs) > 1 else inputs[0], training=False).numpy()
    return [float(np.abs(found - answer).max()), notes]


print(json.dumps({Path(name).stem: _error(Path(name)) for name in sys.argv[1:]}))
