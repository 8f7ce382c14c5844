"""The network of a packaged version -> its answers: by emulation, by the compiled C simulation, or by a card's own driver.

Run by itself (``python portinf_answers.py``) it answers the recorded requests and says whether every bit is as recorded.
It needs the standard library and numpy alone.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from portinf_fixedpoint.emulator import Emulator  # type: ignore[import-not-found]
from portinf_fixedpoint.network import Network, load  # type: ignore[import-not-found]
from portinf_library import Library, LibraryError  # type: ignore[import-not-found]

__all__ = ["EXECUTED_BY", "Answers"]

EXECUTED_BY = ("emulation", "c_simulation", "card")

Arrays = dict[str, Any]


class Answers:
    """A network ready to answer.

    Args:
        folder: the version's folder.
        executed_by: one of `EXECUTED_BY`; a card is run through ``fpga/driver/card.py``, which is not written here.

    Raises:
        ValueError: the network is damaged, or there is no such way to answer.
    """

    def __init__(self, folder: Path, executed_by: str) -> None:
        self._goldens = folder / "goldens.npz"
        handover = folder / "fpga"
        network = load(handover / "network")
        if executed_by == "emulation":
            self._of: Any = Emulator(network)
        elif executed_by == "c_simulation":
            record = json.loads((handover / "portinf-fpga.json").read_text(encoding="utf-8"))
            self._of = Simulation(network, handover / record["library"])
        elif executed_by == "card":
            self._of = _card(handover)
        else:
            raise ValueError(f"portinf_executed_by '{executed_by}': expected one of {', '.join(EXECUTED_BY)}")

    def run(self, inputs: Arrays) -> Arrays:
        """Answer rows: arrays by input name, shape (rows, ...) -> float64 arrays by output name, exact."""
        found: Arrays = self._of.run(inputs)
        return found

    def check(self) -> int:
        """Answer every recorded request and return their number.

        Raises:
            ValueError: an answer is not the recorded one, bit for bit.
        """
        cases = self._recorded()
        for case, (inputs, expected) in cases.items():
            found = self.run(inputs)
            for name, array in expected.items():
                if found[name].shape != array.shape or found[name].astype(array.dtype).tobytes() != array.tobytes():
                    raise ValueError(f"{self._goldens}: {case}: output '{name}' is not the recorded one, bit for bit")
        return len(cases)

    def examine(self) -> None:
        """See that nothing outside this folder is needed.

        Raises:
            ValueError: it is.
        """
        if isinstance(self._of, Simulation):
            self._of.examine(next(iter(self._recorded().values()))[0])

    def _recorded(self) -> dict[str, tuple[Arrays, Arrays]]:
        cases: dict[str, tuple[Arrays, Arrays]] = {}
        with np.load(self._goldens, allow_pickle=False) as archive:
            for key in archive.files:
                case, _, rest = key.partition("/")
                side, _, name = rest.partition("/")
                cases.setdefault(case, ({}, {}))[side == "output"][name] = archive[key]
        return cases

    def close(self) -> None:
        """End what belongs to it."""
        close = getattr(self._of, "close", None)
        if close is not None:
            close()


class Simulation:
    """The compiled C simulation in a process of its own, with the inputs and outputs of the network."""

    def __init__(self, network: Network, library: Path) -> None:
        self._network, self._path = network, library
        self._layers = list(dict.fromkeys(network.outputs.values()))
        self._given = [int(np.prod(item.shape)) for item in network.inputs]
        self._made = [int(np.prod(network.shape_of(layer))) for layer in self._layers]
        self._library = Library(library, self._given, self._made)

    def run(self, inputs: Arrays) -> Arrays:
        """Answer rows; see `Answers.run`."""
        flat = self._flat(inputs)
        made = self._library.run(len(flat[0]), [array.tobytes() for array in flat])
        return {name: self._shaped(name, made[self._layers.index(layer)]) for name, layer in self._network.outputs.items()}

    def examine(self, inputs: Arrays) -> None:
        """Run the library away from its folder: it must miss its weights there, or need no file at all.

        Raises:
            ValueError: it reads another folder, and would end its process once that is gone.
        """
        flat = [array[:1].tobytes() for array in self._flat(inputs)]
        with tempfile.TemporaryDirectory() as empty:
            copy = shutil.copy(self._path, empty)
            for closed in (False, True):
                alone = Library(Path(copy), self._given, self._made, folder=Path(empty), closed=closed)
                try:
                    alone.run(1, flat)
                except LibraryError as error:
                    if closed:
                        raise ValueError(
                            f"{self._path}: the compiled C simulation reads files outside its folder, and would end its "
                            "process once they are gone; run portinf optimize again"
                        ) from error
                    return  # it reads its own folder
                finally:
                    alone.close()

    def _flat(self, inputs: Arrays) -> list[Any]:
        flat = []
        for item in self._network.inputs:
            array = np.asarray(inputs[item.name])
            if array.ndim == 0 or array.shape[1:] != item.shape:
                raise ValueError(f"input '{item.name}': expected rows of shape {list(item.shape)}, found {list(array.shape)}")
            if not np.isfinite(array).all():
                raise ValueError(f"input '{item.name}': contains NaN or infinity, which fixed-point numbers cannot represent")
            turned = array.transpose(0, *(1 + axis for axis in item.axes))
            flat.append(np.ascontiguousarray(turned.reshape(len(array), int(np.prod(item.shape))), dtype=np.float64))
        return flat

    def _shaped(self, name: str, raw: bytes) -> Any:
        shape = self._network.shape_of(self._network.outputs[name])
        flat = np.frombuffer(raw, np.float64)
        array = flat.reshape(len(flat) // int(np.prod(shape)), *shape)
        axes = self._network.axes.get(name)
        return array.transpose(0, *(1 + axis for axis in axes)) if axes else array

    def close(self) -> None:
        """End the process."""
        self._library.close()


def _card(handover: Path) -> Any:
    path = handover / "driver" / "card.py"
    spec = importlib.util.spec_from_file_location("portinf_card", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ValueError(f"{path}: missing: the place of the card's driver")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Card(handover)


def main() -> int:
    """Check this folder by itself."""
    folder = Path(__file__).resolve().parent
    answers = None
    try:
        answers = Answers(folder, sys.argv[1] if len(sys.argv) > 1 else "emulation")
        count = answers.check()
        answers.examine()
        print(f"{count} recorded requests: every bit of the answers is as recorded")
        return 0
    except Exception as error:  # noqa: BLE001 - one line for whatever is wrong
        print(" ".join(str(error).split()) or type(error).__name__, file=sys.stderr)
        return 1
    finally:
        if answers is not None:
            answers.close()


if __name__ == "__main__":
    sys.exit(main())
