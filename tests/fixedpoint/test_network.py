"""Networks are plain files; the package runs with numpy alone; what cannot be exact is refused by name."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from portinf.fixedpoint.emulator import Emulator
from portinf.fixedpoint.formats import FixedPointError, Format
from portinf.fixedpoint.network import FILE, Layer, Network, load, save
from tests.conftest import ROOT
from tests.fixedpoint import exact
from tests.fixedpoint.networks import everything, sequence

ALONE = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from pathlib import Path
from portinf.fixedpoint.emulator import Emulator
from portinf.fixedpoint.network import load
given = dict(np.load(sys.argv[3]))
np.savez(sys.argv[4], **Emulator(load(Path(sys.argv[2]))).run(given))
others = {name.partition(".")[0] for name in sys.modules} & {"onnx", "onnxruntime", "hls4ml", "click", "jinja2", "platformdirs"}
assert not others, others
"""


def rows(count: int) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    rng = np.random.default_rng(3)
    return {"image": rng.normal(size=(count, 3, 7, 6)) * 3, "row": rng.normal(size=(count, 10)) * 2}


def test_the_package_runs_by_itself(tmp_path: Path) -> None:
    """Copied out of portinf, with its folder and numpy and nothing else."""
    shutil.copytree(ROOT / "portinf" / "fixedpoint", tmp_path / "lib" / "portinf" / "fixedpoint")
    save(everything(), tmp_path / "network")
    np.savez(tmp_path / "rows.npz", **rows(40))  # type: ignore[arg-type]
    places = [str(tmp_path / name) for name in ("lib", "network", "rows.npz", "out.npz")]
    subprocess.run([sys.executable, "-I", "-c", ALONE, *places], check=True, timeout=60)
    expected = Emulator(everything()).run(rows(40))
    with np.load(tmp_path / "out.npz") as found:
        assert all(np.array_equal(found[name], array) for name, array in expected.items())


def test_files_hold_all_of_a_network(tmp_path: Path) -> None:
    for number, network in enumerate((everything(), sequence())):
        save(network, tmp_path / str(number))
        found = load(tmp_path / str(number))
        assert (found.inputs, found.outputs, found.axes) == (network.inputs, network.outputs, network.axes)
        for one, two in zip(found.layers, network.layers, strict=True):
            assert replace(one, numbers={}) == replace(two, numbers={}, options=json.loads(json.dumps(two.options)))
            assert all(np.array_equal(one.numbers[role], two.numbers[role]) for role in two.numbers)


@pytest.mark.parametrize("content", ["", "{}", '{"schema": 9}', '{"schema": 1, "inputs": 3}', "[1]"])
def test_damaged_files_are_refused(tmp_path: Path, content: str) -> None:
    save(sequence(), tmp_path)
    (tmp_path / FILE).write_text(content)
    with pytest.raises(FixedPointError, match=r"not a network of portinf|schema 9, expected 1"):
        load(tmp_path)
    with pytest.raises(FixedPointError, match="No such file"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "no input 'steps'; found: none"),
        ({"steps": np.zeros((2, 9, 2))}, r"input 'steps': expected shape \[rows, 2, 9\], found \[2, 9, 2\]"),
        ({"steps": np.full((2, 2, 9), np.nan)}, "contains NaN or infinity"),
    ],
)
def test_rows_that_do_not_fit(given: dict[str, np.ndarray], message: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(FixedPointError, match=message):
        Emulator(sequence()).run(given)


def test_no_rows_and_blocks_of_rows() -> None:
    emulator = Emulator(sequence())
    steps = np.random.default_rng(0).normal(size=(9000, 2, 9))
    whole = emulator.run({"steps": steps})["out"]
    assert emulator.run({"steps": steps[:0]})["out"].shape == (0, 3)
    parts = [emulator.run({"steps": part})["out"] for part in np.array_split(steps, 7)]
    assert np.array_equal(np.concatenate(parts), whole)


def widened(bits: int) -> Network:
    """Return a dense layer whose sums need many bits."""
    network = sequence()
    wide = Format(bits, 20)
    numbers = {"weight": np.full((2, 2), wide.high), "bias": np.zeros(2, np.int64)}
    formats = {"weight": wide, "bias": wide, "accum": Format(60, 28)}
    dense = Layer(name="big", kind="dense", inputs=("steps",), shape=(9, 2), result=wide, formats=formats, numbers=numbers)
    return replace(network, layers=(dense,), outputs={"out": "big"})


def test_sums_beyond_a_float_are_exact_in_whole_numbers() -> None:
    network = widened(44)
    steps = np.random.default_rng(0).normal(size=(50, 2, 9))
    found = Emulator(network).run({"steps": steps})["out"]
    wide, given = network.layers[0].result, network.inputs[0].format
    raw = [[[exact.cast(int(x * 2**40), 40, given) for x in step] for step in row.T] for row in steps]
    sums = [[sum(step) * wide.high for step in row] for row in raw]
    assert max(abs(value) for row in sums for value in row) > 2**53
    expected = [[exact.cast(value, given.fraction + wide.fraction, wide) for value in row] for row in sums]
    assert [[int(value / wide.step) for value in row] for row in found[..., 0]] == expected


def test_sums_beyond_whole_numbers_are_refused_by_name() -> None:
    with pytest.raises(FixedPointError, match=r"big: needs integers of \d+ bits; at most 62 bits are computed exactly"):
        Emulator(widened(58))


def test_an_unknown_layer_is_refused_by_name() -> None:
    network = sequence()
    odd = replace(network.layers[0], kind="lstm")
    with pytest.raises(FixedPointError, match="conv_0: a layer 'lstm' is not emulated; there are: add, "):
        Emulator(replace(network, layers=(odd, *network.layers[1:])))
