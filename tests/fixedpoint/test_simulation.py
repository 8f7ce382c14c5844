"""The emulator equals hls4ml's C simulation bit for bit, on every kind of layer; builds are kept by what went into them."""

from __future__ import annotations

import ctypes
import shutil
from pathlib import Path

import numpy as np
import pytest

from portinf.core.errors import CannotError, RunnerError
from portinf.fixedpoint.emulator import OPERATIONS, Emulator
from portinf.fixedpoint.formats import Format
from portinf.fixedpoint.network import save
from portinf.targets.fpga.quantize.formats import quantised, uniform
from portinf.targets.fpga.reader.layers import HANDLERS
from portinf.targets.fpga.reader.plan import read_graph
from portinf.targets.fpga.tools import compile as hls4ml_build
from portinf.targets.fpga.tools.compile import LIBRARY, build
from portinf.targets.fpga.tools.hls4ml import ProjectOptions, write_project
from tests.fixedpoint import networks
from tests.fixedpoint.compiled import ap_types, library
from tests.fixedpoint.conftest import Built
from tests.models import fpga_graphs

ROWS = 3000


def rows(count: int, seed: int = 0) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    rng = np.random.default_rng(seed)
    return {"image": rng.normal(size=(count, 3, 7, 6)) * 3, "row": rng.normal(size=(count, 10)) * 2}


def test_every_kind_of_layer_equals_the_simulation(built: Built) -> None:
    assert {layer.kind for layer in built.network.layers} | {"linear"} == set(OPERATIONS)
    given = rows(ROWS)
    simulated, emulated = built.simulation().infer_double(given), Emulator(built.network).run(given)
    for name, expected in simulated.items():
        np.testing.assert_array_equal(emulated[name], expected, err_msg=built.network.outputs[name])
    assert len(np.unique(simulated["out_17"], axis=0)) > ROWS / 2


@pytest.mark.long
def test_100_000_rows_of_every_kind_of_layer_equal_the_simulation(built: Built) -> None:
    given = rows(100_000, seed=1)
    simulated, emulated = built.simulation().infer_double(given), Emulator(built.network).run(given)
    assert all(np.array_equal(emulated[name], simulated[name]) for name in simulated)


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sequence", ProjectOptions()),
        ("sequence", ProjectOptions(strategy="resource", reuse=2)),
        ("jet", ProjectOptions(stream=True)),
        ("facile", ProjectOptions(strategy="resource", reuse=4, stream=True)),
        ("image", ProjectOptions(stream=True)),
        ("image", ProjectOptions(strategy="resource", reuse=2)),
    ],
)
def test_other_ways_to_build_equal_the_emulation(name: str, options: ProjectOptions, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    if name in ("sequence", "everything"):
        network = getattr(networks, name)()
        given = {item.name: rng.normal(size=(2000, *item.shape)) * 3 for item in network.inputs}
    else:
        plan = read_graph(getattr(fpga_graphs, name)(tmp_path / "m.onnx"), tmp_path, HANDLERS)
        network = quantised(plan, uniform(plan, Format(20, 9), 0.01))
        given = {"x": fpga_graphs.samples(name, 2000)}
    save(network, tmp_path / "network")
    write_project(tmp_path / "network", tmp_path / "project", options)
    build(tmp_path / "project", tmp_path / "cache")
    simulated = Built(network, tmp_path / "project", tmp_path / "cache", True).simulation().infer_double(given)
    emulated = Emulator(network).run(given)
    assert all(np.array_equal(emulated[output], array) for output, array in simulated.items())


def test_saturating_sums_in_another_order_are_refused(built: Built, tmp_path: Path) -> None:
    save(built.network, tmp_path / "network")
    with pytest.raises(
        CannotError, match=r"layer dense_10: its sums saturate \(ap_fixed<11,5,AP_RND,AP_SAT>\), and --strategy resource"
    ):
        write_project(tmp_path / "network", tmp_path / "project", ProjectOptions(strategy="resource"))


def test_a_library_is_compiled_once(built: Built, tmp_path: Path) -> None:
    assert built.fresh
    copy = tmp_path / "elsewhere"
    shutil.copytree(built.project, copy)
    (copy / LIBRARY).unlink()
    assert not build(copy, built.cache)
    assert (copy / LIBRARY).read_bytes() == (built.project / LIBRARY).read_bytes()
    (copy / "firmware" / "defines.h").write_text("#include <not_there.h>\n")
    with pytest.raises(CannotError, match=r"g\+\+ cannot compile the C simulation: .*error"):
        build(copy, built.cache)
    assert len(list(built.cache.iterdir())) == 1


def test_an_interrupted_build_leaves_nothing(built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(command: list[str], **_: object) -> None:
        Path(command[-1]).write_bytes(b"half a library")
        raise KeyboardInterrupt

    monkeypatch.setattr(hls4ml_build, "run_program", interrupted)
    copy, cache = tmp_path / "project", tmp_path / "cache"
    shutil.copytree(built.project, copy)
    (copy / LIBRARY).unlink()
    with pytest.raises(KeyboardInterrupt):
        build(copy, cache)
    assert list(cache.iterdir()) == []
    assert not (copy / LIBRARY).exists()


def test_a_simulation_that_ends_its_process_is_one_line(built: Built, tmp_path: Path) -> None:
    copy = tmp_path / "moved"
    shutil.copytree(built.project, copy)
    runner = Built(built.network, copy, built.cache, False).simulation()
    few = rows(3)
    expected = built.simulation().infer_double(few)
    assert all(np.array_equal(array, expected[name]) for name, array in runner.infer_double(few).items())  # relocatable
    shutil.rmtree(copy / "firmware" / "weights")
    with pytest.raises(RunnerError, match=r"the C simulation crashed \(exit code 1\): ERROR: file .* does not exist"):
        runner.infer_double(few)


def test_the_simulation_of_no_rows(built: Built) -> None:
    found = built.simulation().infer_double(rows(0))
    assert {name: array.shape for name, array in found.items()} == {
        name: (0, *built.network.shape_of(layer)) for name, layer in built.network.outputs.items()
    }


def test_layers_come_out_by_name(built: Built) -> None:
    emulator = Emulator(built.network)
    given = rows(5)
    found = dict(emulator.trace(given))
    assert list(found) == [layer.name for layer in built.network.layers]
    assert all(found[layer.name].shape == (5, *layer.shape) for layer in built.network.layers)
    assert dict(emulator.trace(given, ["scale_14"])).keys() == {"scale_14"}
    assert np.array_equal(found["concatenate_17"], emulator.run(given)["out_17"])


def test_tables_are_those_of_the_compiler(tmp_path: Path) -> None:
    """The four functions, entry by entry, at the finest format that a float fills."""
    from portinf.fixedpoint import tables

    fine, address = Format(40, 4), Format(14, 4, False)
    nnet = ap_types().parent / "nnet_utils"
    code = f"""
#include "{nnet}/nnet_activation.h"
struct C : nnet::activ_config {{
  typedef {fine} table_t; typedef {fine} exp_table_t; typedef ap_fixed<40,20,AP_RND,AP_SAT> inv_table_t;
  static const unsigned exp_table_size = 4096; static const unsigned inv_table_size = 4096;
  static constexpr float exp_scale = 1.0;
}};
static {fine} t[4096]; static ap_fixed<40,20,AP_RND,AP_SAT> u[4096];
extern "C" void fill(int which, long long *out) {{
  if (which == 0) nnet::init_sigmoid_table<C, 4096>(t);
  if (which == 1) nnet::init_tanh_table<C, 4096>(t);
  if (which == 2) nnet::init_exp_table<{address}, C>(t, true);
  if (which == 3) nnet::init_invert_table<{address}, C>(u);
  for (int k = 0; k < 4096; k++) out[k] = which == 3 ? u[k].range().to_int64() << 24 >> 24 : t[k].range().to_int64() << 24 >> 24;
}}"""
    fill = library(tmp_path, code).fill
    wide = Format(40, 20, True, "RND", "SAT")
    made = [tables.sigmoid(4096, fine), tables.tanh(4096, fine)]
    made += [tables.exponentials(address, 4096, fine, negative=True), tables.reciprocals(address, 4096, wide)]
    for which, expected in enumerate(made):
        out = np.zeros(4096, np.int64)
        fill(which, ctypes.c_void_p(out.ctypes.data))
        np.testing.assert_array_equal(out, expected, err_msg=str(which))
