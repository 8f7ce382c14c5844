"""Samples that do not say which number stands where: drawn rows are judged beside them, and every layer is tested on drawn rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from portinf.core.batch import Array, Batch, save_npz
from portinf.core.errors import DisagreementError, UsageError
from portinf.runners.onnx import OnnxRuntimeRunner
from portinf.targets.fpga.optimize import optimize_fpga
from portinf.targets.fpga.options import FpgaOptions
from portinf.targets.fpga.quantize.drawn_rows import filled_up
from portinf.targets.fpga.quantize.formats import automatic
from portinf.targets.fpga.quantize.layer_errors import check_layers
from portinf.targets.fpga.reader.layers import HANDLERS
from portinf.targets.fpga.reader.plan import read_graph
from portinf.targets.fpga.runners import open_fpga
from tests.models.fpga_graphs import Graph

pytest.importorskip("hls4ml", reason="hls4ml is not installed")
SHAPE = (4, 5, 3)


def normal(rows: int, *shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=(rows, *shape)).astype(np.float32)


def permuted(path: Path) -> Path:
    """Keras' Permute, a flattened image and a dense layer."""
    graph = Graph(SHAPE, 1)
    x = graph.node("Transpose", ["x"], "turned", perm=[0, 3, 1, 2])
    return graph.save(path, graph.dense(graph.node("Flatten", [x], "flat"), (60, 3), "out"))


KINDS: dict[str, Callable[[], Array]] = {
    "grey": lambda: np.broadcast_to(normal(200, 1, 1, 1), (200, *SHAPE)).copy(),
    "nearly grey": lambda: np.broadcast_to(normal(200, 1, 1, 1), (200, *SHAPE)) + 1e-5 * normal(200, *SHAPE, seed=1),
    "grey channels": lambda: np.broadcast_to(normal(200, 4, 5, 1), (200, *SHAPE)).copy(),
    "stripes": lambda: np.broadcast_to(normal(200, 4, 1, 3), (200, *SHAPE)).copy(),
    "one row": lambda: normal(1, *SHAPE),
    "one row again and again": lambda: np.repeat(normal(1, *SHAPE), 50, axis=0),
}


@pytest.mark.parametrize("kind", KINDS)
def test_flat_samples_are_found(kind: str) -> None:
    read, notes = filled_up(lambda: reading(x=KINDS[kind]().astype(np.float32)))
    drawn = next(read()).inputs["x"]
    assert len(notes) == 1
    assert len(drawn) == 256 and drawn.shape[1:] == SHAPE
    assert all(np.ptp(drawn, axis=axis).min() > 0 for axis in range(4))


@pytest.mark.parametrize("kind", ["grey", "one row"])
def test_a_folder_made_on_flat_samples_is_right_on_others(kind: str, tmp_path: Path) -> None:
    path = permuted(tmp_path / "m.onnx")
    save_npz(tmp_path / "x.npz", {"x": KINDS[kind]().astype(np.float32)})
    result = optimize_fpga(str(path), tmp_path / "out", FpgaOptions(inputs=[tmp_path / "x.npz"], csim=False))
    assert any("rows drawn within their range are tested as well" in note for note in result.notes)
    assert len(result.comparison.cases) == 2
    others = {"x": np.clip(normal(400, *SHAPE, seed=5), -1.9, 1.9)}
    with OnnxRuntimeRunner(path) as reference, open_fpga(tmp_path / "out") as emulator:
        expected, found = reference.infer(others)["out"], emulator.infer(others)["out"]
    assert (np.abs(found - expected) <= 0.01 + 0.01 * np.abs(expected)).mean() > 0.99


def reading(**inputs: Array) -> Iterator[Batch]:
    yield Batch(name="given", inputs=inputs)


def test_samples_that_vary_are_left_alone() -> None:
    digits = normal(50, 6, 6)
    digits[:, :2] = digits[:, :, 4:] = 0.0  # a border without a number in it
    columns = normal(50, 3, 2) * np.array([1.0, 50.0]) + np.array(
        [0.0, 1e6]
    )  # of very different size, one of them hardly varying
    read, notes = filled_up(lambda: reading(x=digits, mask=np.ones((50, 4), np.float32), columns=columns))
    assert notes == []
    assert [batch.name for batch in read()] == ["given"]


def test_only_flat_inputs_are_drawn_anew() -> None:
    flat, other = np.repeat(np.arange(40, dtype=np.float32)[:, None], 3, axis=1), normal(40, 5)
    read, notes = filled_up(lambda: reading(flat=flat, other=other))
    drawn, given = read()
    assert notes == [
        "the samples do not distinguish all inputs (those of input 'flat' are constant along axis 1): 256 rows drawn within their "
        "range are tested as well"
    ]
    assert given.inputs["flat"] is flat
    assert set(np.unique(drawn.inputs["flat"])) <= set(range(40))
    assert np.ptp(drawn.inputs["flat"], axis=1).max() > 0
    assert {tuple(row) for row in drawn.inputs["other"]} <= {tuple(row) for row in other}


def test_samples_of_one_number_are_refused() -> None:
    with pytest.raises(
        UsageError, match="--inputs: every number of the samples is 1: formats cannot be chosen or judged on them"
    ):
        filled_up(lambda: reading(x=np.ones((10, 4), np.float32)))


def test_a_layer_that_was_read_wrongly_is_named(tmp_path: Path) -> None:
    """Whatever the samples are: an exchanged axis, a slope of another sign, a weight that was left out."""
    graph = Graph((4, 4), 1)
    x = graph.node("LeakyRelu", [graph.node("Transpose", ["x"], "turned", perm=[0, 2, 1])], "leaky", alpha=0.3)
    path = graph.save(tmp_path / "m.onnx", graph.dense(graph.node("Flatten", [x], "flat"), (16, 3), "out"))
    plan = read_graph(path, tmp_path, HANDLERS)
    samples = {"x": np.zeros((3, 4, 4), np.float32)}
    check_layers(plan, path, samples)
    wrong = replace(plan, inputs=(replace(plan.inputs[0], axes=plan.inputs[0].axes[::-1]),))
    with pytest.raises(
        DisagreementError, match=r"layer leaky_relu_1 \(tensor 'leaky'\): the layer as read differs from the model"
    ):
        check_layers(wrong, path, samples)
    for name, role in [("leaky_relu_1", "alpha"), ("dense_1", "bias")]:
        layers = tuple(
            replace(layer, weights={**layer.weights, role: layer.weights[role] - 2.0}) if layer.name == name else layer
            for layer in plan.layers
        )
        with pytest.raises(DisagreementError, match=rf"layer {name} .*: not supported on --target hls4ml"):
            check_layers(replace(plan, layers=layers), path, samples)


def test_a_slope_keeps_its_bits_where_the_samples_do_not_show_it(tmp_path: Path) -> None:
    """All of them positive: the search would take every bit of the slope away."""
    graph = Graph((4,), 1)
    path = graph.save(tmp_path / "m.onnx", graph.node("LeakyRelu", ["x"], "out", alpha=0.01))
    save_npz(tmp_path / "x.npz", {"x": np.abs(normal(300, 4))})
    optimize_fpga(str(path), tmp_path / "out", FpgaOptions(inputs=[tmp_path / "x.npz"], csim=False))
    plan = read_graph(path, tmp_path, HANDLERS)
    choice = automatic(plan, {"x": (0.0, 3.0), "leaky_relu_1": (0.0, 3.0)}, 4, 0.01)
    assert (
        abs(round(0.01 / choice.weights["leaky_relu_1/alpha"].step) * choice.weights["leaky_relu_1/alpha"].step / 0.01 - 1)
        < 1e-3
    )
    top = (tmp_path / "out" / "project" / "firmware" / "portinf_model.cpp").read_text()
    rough = optimize_fpga(
        str(path), tmp_path / "out", FpgaOptions(inputs=[tmp_path / "x.npz"], csim=False, precision="ap_fixed<12,4>")
    )
    assert "layer leaky_relu_1 (tensor 'out'): its slope 0.01 becomes 0.0117188 in ap_fixed<12,4>" in rough.notes
    slope = float(top.partition("nnet::leaky_relu")[2].partition("(in_x, ")[2].partition(",")[0])
    assert abs(slope / 0.01 - 1) < 1e-3
