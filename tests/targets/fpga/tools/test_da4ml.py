"""Networks laid out by da4ml: every kind of layer and every cast, bit for bit as the emulator computes them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portinf.core.errors import CannotError, UnreadableError
from portinf.core.signature import Signature
from portinf.fixedpoint.casting import Cast
from portinf.fixedpoint.emulator import Emulator
from portinf.fixedpoint.formats import OVERFLOWS, ROUNDINGS, Format
from portinf.fixedpoint.network import Input, Layer, Network, save
from portinf.targets.fpga.runners.da4ml import DaisRunner, RtlRunner
from portinf.targets.fpga.runners.da4ml_interpreter import load_logic
from portinf.targets.fpga.tools import da4ml_layers as logic_layers
from portinf.targets.fpga.tools.da4ml import LogicOptions, network_logic, write_logic
from portinf.targets.fpga.tools.verilator import TOOLS, build_simulation, missing_tools
from portinf.targets.fpga.tools.yosys import family_of, mapped
from tests.fixedpoint.networks import everything

pytest.importorskip("da4ml", reason="da4ml is not installed")
needs_verilator = pytest.mark.skipif(bool(missing_tools("verilog")), reason=f"missing: {', '.join(missing_tools('verilog'))}")
needs_ghdl = pytest.mark.skipif(bool(missing_tools("vhdl")), reason=f"missing: {', '.join(missing_tools('vhdl'))}")
needs_yosys = pytest.mark.skipif(shutil.which("yosys") is None, reason="yosys is not installed")
NONE = Signature(inputs=(), outputs=())
OPTIONS = LogicOptions(part="xcvu13p-flga2577-2-e", clock=5.0)
F = Format.parse


def rows_of(network: Network, rows: int, seed: int = 0) -> dict[str, Any]:
    """Draw rows anywhere in the inputs' formats, the ends often."""
    draw = np.random.default_rng(seed)
    found = {}
    for item in network.inputs:
        anywhere = draw.integers(item.format.low, item.format.high + 1, (rows, *item.shape)) * item.format.step
        ends = draw.choice([item.format.smallest, item.format.largest], (rows, *item.shape))
        found[item.name] = np.where(draw.random((rows, 1)).reshape(rows, *[1] * len(item.shape)) < 0.1, ends, anywhere)
    return found


def one_layer(given: Format, layer: Mapping[str, Any], size: int = 3) -> Network:
    """Return a network of one layer on rows."""
    entry = Layer(**{"name": "layer", "inputs": ("x",), "shape": (size,), **layer})
    return Network(inputs=(Input(name="x", shape=(size,), axes=(0,), format=given),), layers=(entry,), outputs={"y": "layer"})


def written(network: Network, folder: Path, hdl: str = "verilog") -> Path:
    save(network, folder / "network")
    write_logic(folder / "network", folder / "rtl", replace(OPTIONS, hdl=hdl))
    return folder / "rtl"


def assert_equal(network: Network, runner: Any, rows: int, seed: int = 0) -> None:
    given = rows_of(network, rows, seed)
    expected, found = Emulator(network).run(given), runner.infer_double(given)
    for name, array in expected.items():
        assert np.array_equal(array, found[name]), name


def test_every_kind_of_layer_equals_the_emulator(tmp_path: Path) -> None:
    network = everything()
    folder = written(network, tmp_path)
    assert_equal(network, DaisRunner(folder, network, NONE, "da4ml"), 2000)
    assert str(tmp_path) not in "".join(path.read_text() for path in folder.rglob("*") if path.is_file())


def grids() -> st.SearchStrategy[Format]:
    """Formats of all modes, from a bit to 12, around the point."""
    return st.builds(
        Format, st.integers(1, 12), st.integers(-2, 9), st.booleans(), st.sampled_from(ROUNDINGS), st.sampled_from(OVERFLOWS)
    )


@settings(max_examples=150, deadline=None)
@given(source=st.builds(Format, st.integers(2, 12), st.integers(-2, 9), st.booleans()), requested=grids(), negate=st.booleans())
def test_casts_equal_those_of_the_emulator(
    tmp_path_factory: pytest.TempPathFactory, source: Format, requested: Format, negate: bool
) -> None:
    """Every number of a format into another, as it is and behind a change of sign."""
    from da4ml.trace import FixedVariableArray, HWConfig, comb_trace

    from portinf.targets.fpga.tools.da4ml_casts import cast

    bits = (int(source.signed), source.integer - source.signed, source.fraction)
    given = FixedVariableArray.from_kif(*(np.array([number]) for number in bits), hwconf=HWConfig(1, -1, -1))._vars
    logic = comb_trace(list(given), list(cast(-given if negate else given, requested, "layer")), keep_dead_inputs=True)
    path = tmp_path_factory.mktemp("cast") / "comb.json"
    logic.save(path)
    raw = np.arange(source.low, source.high + 1)
    sign = -1 if negate else 1
    ends = sorted((sign * source.low, sign * source.high))
    expected = Cast(source.fraction, (ends[0], ends[1]), requested, "layer")(sign * raw) * requested.step
    found = load_logic(path).predict((raw * source.step)[:, None])[:, 0]
    assert np.array_equal(found, expected)


def test_logic_wider_than_32_bits(tmp_path: Path) -> None:
    """da4ml 0.6.0's own interpreter is wrong there, so it is not what answers."""
    formats = {"weight": F("ap_fixed<15,2>"), "bias": F("ap_fixed<10,1>"), "accum": F("ap_fixed<40,14>")}
    numbers = {"weight": np.array([[8001, -7003], [3, 5001], [-8100, 77]]), "bias": np.array([5, -300])}
    layer = {
        "kind": "dense",
        "shape": (2,),
        "result": F("ap_fixed<16,7,AP_RND,AP_SAT>"),
        "formats": formats,
        "numbers": numbers,
    }
    network = one_layer(F("ap_fixed<20,7>"), layer)
    assert_equal(network, DaisRunner(written(network, tmp_path), network, NONE, "da4ml"), 3000)


def test_narrow_logic_is_what_da4ml_itself_computes(tmp_path: Path) -> None:
    network = everything()
    logic = network_logic(network)
    logic.save(tmp_path / "comb.json")
    given = rows_of(network, 500)
    flat = np.concatenate(
        [given[item.name].transpose(0, *(1 + axis for axis in item.axes)).reshape(500, -1) for item in network.inputs], axis=1
    )
    assert np.array_equal(load_logic(tmp_path / "comb.json").predict(flat), logic.predict(flat, n_threads=1))


@pytest.mark.parametrize(
    ("given", "layer", "message"),
    [
        (
            "ap_fixed<8,3>",
            {"kind": "fourier", "result": F("ap_fixed<8,3>")},
            "layer: a layer 'fourier' is not laid out; there are: add",
        ),
        (
            "ap_fixed<8,3>",
            {
                "kind": "dense",
                "result": F("ap_fixed<8,3>"),
                "formats": {"weight": F("ap_fixed<27,2>"), "bias": F("ap_fixed<4,1>"), "accum": F("ap_fixed<40,8>")},
                "numbers": {"weight": np.full((3, 3), (1 << 25) + 1), "bias": np.zeros(3, np.int64)},
            },
            "layer: a weight has more than 24 bits",
        ),
        (
            "ap_fixed<8,3>",
            {
                "kind": "scale",
                "result": F("ap_fixed<8,3>"),
                "formats": {"scale": F("ap_fixed<4,-32>"), "bias": F("ap_fixed<4,1>")},
                "numbers": {"scale": np.array([1, 2, 3]), "bias": np.zeros(3, np.int64)},
            },
            "layer: the constant .* has more than 32 fraction bits",
        ),
        (
            "ap_fixed<40,3>",
            {"kind": "linear", "result": F("ap_fixed<8,3>")},
            "an input of ap_fixed<40,3>: da4ml holds up to 32",
        ),
    ],
)
def test_what_is_not_laid_out_is_named(tmp_path: Path, given: str, layer: Mapping[str, Any], message: str) -> None:
    save(one_layer(F(given), layer), tmp_path / "network")
    with pytest.raises(CannotError, match=message):
        write_logic(tmp_path / "network", tmp_path / "rtl", OPTIONS)


def test_a_layer_of_too_many_products_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logic_layers, "MOST_PRODUCTS", 100)
    with pytest.raises(CannotError, match=r"conv_0: 1,620 products side by side; .* take --strategy latency or resource"):
        network_logic(everything())


@pytest.mark.parametrize("text", ["", "[1, 2]", "not json"])
def test_damaged_logic_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "comb.json").write_text(text)
    with pytest.raises(UnreadableError, match="missing, damaged or not computed here"):
        load_logic(tmp_path / "comb.json")


def test_the_family_of_a_part() -> None:
    assert [family_of(part) for part in ("xcvu13p-x", "xcku115-x", "xc7z020clg400-1", "xczu9eg-x")] == [
        "xcup",
        "xcu",
        "xc7",
        "xcup",
    ]
    with pytest.raises(CannotError, match="yosys does not map to the part ep4ce22"):
        family_of("ep4ce22")


def test_a_missing_tool_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from portinf.core.errors import MissingPackageError

    monkeypatch.setenv("PATH", str(tmp_path))
    assert missing_tools("vhdl") == list(TOOLS["vhdl"])
    with pytest.raises(MissingPackageError, match=r"verilator is not on PATH: .* \(Debian: apt install verilator\)"):
        build_simulation(tmp_path, "verilog", tmp_path / "cache")


def test_constants_of_deep_networks_are_on_their_own_grid() -> None:
    """Behind several layers da4ml's powers of two pile up; it wrote such constants on a grid of 2**31, and the RTL was wrong."""
    formats = {"weight": F("ap_fixed<15,2>"), "bias": F("ap_fixed<10,1>"), "accum": F("ap_fixed<38,14>")}
    layers = []
    for number in range(4):
        weight = np.random.default_rng(number).integers(-9000, 9000, (3, 3))
        layers.append(
            Layer(
                name=f"dense_{number}",
                kind="dense",
                inputs=(layers[-1].name if layers else "x",),
                shape=(3,),
                result=F("ap_fixed<20,7,AP_RND,AP_SAT>"),
                formats=formats,
                numbers={"weight": weight, "bias": np.array([5, -300, 17])},
            )
        )
    given = Input(name="x", shape=(3,), axes=(0,), format=F("ap_fixed<20,7>"))
    logic = network_logic(Network(inputs=(given,), layers=tuple(layers), outputs={"y": "dense_3"}))
    constants = [step.data for step in logic.ops if step.opcode == 5]
    assert constants
    assert all(number % 2 or number == 0 for number in constants)


def small() -> Network:
    """Return a network with a table and a sum, quick to build."""
    formats = {"weight": F("ap_fixed<6,2>"), "bias": F("ap_fixed<6,2>"), "accum": F("ap_fixed<16,6>")}
    numbers = {"weight": np.array([[9, -7], [3, 5], [-8, 31]]), "bias": np.array([5, -30])}
    layer = {"kind": "dense", "shape": (2,), "result": F("ap_fixed<7,3,AP_RND,AP_SAT>"), "formats": formats, "numbers": numbers}
    network = one_layer(F("ap_fixed<8,3>"), layer)
    from portinf.fixedpoint import tables

    grid = F("ap_ufixed<10,1,AP_RND,AP_SAT>")
    sigmoid = Layer(
        name="sigmoid",
        kind="table",
        inputs=("layer",),
        shape=(2,),
        result=F("ap_ufixed<9,1>"),
        formats={"table": grid},
        options={"span": 16, "function": "sigmoid"},
        numbers={"table": tables.sigmoid(1024, grid)},
    )
    return replace(network, layers=(*network.layers, sigmoid), outputs={"y": "sigmoid"})


# Verilator's options go into a Makefile, and what yosys is told into a script of its own, in which ! starts a shell.
ODD = "a $(touch EXECUTED) 'b\"; !touch EXECUTED; `touch EXECUTED`; zürich"


@needs_verilator
def test_rtl_equals_the_emulator_and_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, place = small(), tmp_path / ODD
    (place / "tmp").mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(place / "tmp"))
    monkeypatch.chdir(place)
    folder = written(network, place)
    assert build_simulation(folder, "verilog", place / "cache")
    assert_equal(network, RtlRunner(folder, network, NONE, "rtl"), 5000)
    monkeypatch.setattr("portinf.targets.fpga.tools.verilator._built", None)  # not called again
    assert not build_simulation(folder, "verilog", place / "cache")
    (place / "rtl").rename(place / "moved")
    assert_equal(network, RtlRunner(place / "moved", network, NONE, "rtl"), 10)
    assert not list(tmp_path.rglob("EXECUTED"))


@needs_verilator
def test_an_interrupted_build_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> Path:
        raise KeyboardInterrupt

    folder = written(small(), tmp_path)
    monkeypatch.setattr("portinf.targets.fpga.tools.verilator._built", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build_simulation(folder, "verilog", tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    with pytest.raises(UnreadableError, match="the RTL simulation was not built; install Verilator"):
        RtlRunner(folder, small(), NONE, "rtl")


@needs_verilator
def test_a_build_that_fails_is_one_line(tmp_path: Path) -> None:
    folder = written(small(), tmp_path)
    (folder / "src" / "portinf_model.v").write_text("module portinf_model(; endmodule\n")
    with pytest.raises(CannotError, match="verilator cannot build the RTL simulation: %Error"):
        build_simulation(folder, "verilog", tmp_path / "cache")


@pytest.mark.long
@needs_verilator
@needs_ghdl
def test_rtl_in_vhdl(tmp_path: Path) -> None:
    network = small()
    folder = written(network, tmp_path, "vhdl")
    build_simulation(folder, "vhdl", tmp_path / "cache")
    assert_equal(network, RtlRunner(folder, network, NONE, "rtl"), 5000)


@pytest.mark.long
@pytest.mark.timeout(1800)
@needs_verilator
def test_rtl_of_every_kind_of_layer(tmp_path: Path) -> None:
    network = everything()
    folder = written(network, tmp_path)
    build_simulation(folder, "verilog", tmp_path / "cache")
    assert_equal(network, RtlRunner(folder, network, NONE, "rtl"), 10_000)


@pytest.mark.long
@needs_yosys
def test_yosys_counts(tmp_path: Path) -> None:
    (tmp_path / ODD).mkdir()
    counts = mapped(written(small(), tmp_path / ODD), OPTIONS.part)
    assert not list(tmp_path.rglob("EXECUTED"))
    assert counts["LUT"] > 20
    assert counts["FF"] >= 24  # the inputs are registered
    assert counts["DSP"] == 0
