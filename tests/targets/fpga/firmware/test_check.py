"""What hls4ml wrote is read back: one digit changed anywhere is refused with layer, constant, what was asked and what was found."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from portinf.core.errors import CannotError
from portinf.fixedpoint.emulator import OPERATIONS
from portinf.fixedpoint.formats import Format
from portinf.fixedpoint.network import Input, Layer, Network, save
from portinf.targets.fpga.firmware.check import CHECKS, check_firmware
from portinf.targets.fpga.reader.numbers import NUMBERS
from portinf.targets.fpga.tools.hls4ml import PROJECT, ProjectOptions, write_project
from tests.fixedpoint.networks import Maker, everything

pytest.importorskip("hls4ml", reason="hls4ml is not installed")
F = Format.parse
TOP = f"{PROJECT}.cpp"
KEPT = {"nnet_code_gen.h"}  # of hls4ml's headers: the others are the same in every project


def written(network: Network, folder: Path, **options: object) -> Path:
    save(network, folder / "network")
    write_project(folder / "network", folder / "project", ProjectOptions(**options))  # type: ignore[arg-type]
    return folder / "project"


def changed(project: Path, folder: Path, file: str, old: str, new: str) -> Path:
    """Return a copy in which the first place that a pattern matches is another text."""
    copy = folder / "copy"
    shutil.copytree(
        project,
        copy,
        ignore=lambda _, names: {name for name in names if name.startswith(("ap_", "nnet_")) and name[-2:] == ".h"} - KEPT,
    )
    path = copy / "firmware" / file
    text = path.read_text()
    other = re.sub(old, new, text, count=1)
    assert other != text
    path.write_text(other)
    return copy


def checked(network: Network, project: Path) -> None:
    names = {item.name: f"in_{item.name}" for item in network.inputs}
    check_firmware(network, project, PROJECT, names)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(everything(), tmp_path_factory.mktemp("firmware"))


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("defines.h", r"18,1> leaky_relu_1_param_t", "16,6> leaky_relu_1_param_t",
         r"layer leaky_relu_1: ASKED alpha type from ap_fixed<18,1> to ap_fixed<16,6>"),
        ("defines.h", r"ap_fixed<11,4> input_t", "ap_fixed<11,5> input_t", r"image: ASKED type from ap_fixed<11,4> to ap_fixed<11,5>"),
        ("defines.h", r"12,5,AP_RND,AP_SAT,0> layer3_t", "12,5,AP_TRN,AP_SAT,0> layer3_t", r"layer conv_0: ASKED result type .*AP_RND"),
        ("defines.h", r"12,5,AP_RND,AP_SAT,0> layer3_t", "12,5,AP_RND,AP_SAT_SYM,0> layer3_t", r"layer conv_0: ASKED .*AP_SAT_SYM"),
        ("defines.h", r"20,6> conv_0_accum_t", "20,7> conv_0_accum_t", r"layer conv_0: ASKED accum type from ap_fixed<20,6>"),
        ("defines.h", r"ap_ufixed<9,4> dense_9_bias_t", "ap_fixed<9,4> dense_9_bias_t", r"dense_9: ASKED bias type from ap_ufixed<9,4>"),
        ("defines.h", r"16,6> pool_3_accum_t", "16,5> pool_3_accum_t", r"layer pool_3: ASKED accum type"),
        ("defines.h", r"14,1(,AP_RND,AP_SAT,0> table_15_table_t)", r"14,2\1", r"layer table_15: ASKED table type"),
        ("defines.h", r"17,3(,AP_RND,AP_SAT,0> softmax_18_exp_table_t)", r"18,3\1", r"layer softmax_18: ASKED exp_table type"),
        ("defines.h", r"11,4(,AP_RND,AP_SAT,0> softmax_18_inp_norm_t)", r"11,5\1", r"layer softmax_18: ASKED inp_norm type"),
        ("parameters.h", r"(table_15.*?table_size = )2048", r"\g<1>1024", r"layer table_15: ASKED table_size from 2048 to 1024"),
        ("parameters.h", r"exp_table_size = 2048", "exp_table_size = 4096", r"layer softmax_18: ASKED exp_table_size from 2048"),
        ("parameters.h", r"exp_scale = 1\.0", "exp_scale = 0.5", r"layer softmax_18: ASKED exp_scale from 1.0 to 0.5"),
        ("parameters.h", r"softmax_implementation::stable", "softmax_implementation::legacy", r"layer softmax_18: .* implementation"),
        ("parameters.h", r"nnet::Average", "nnet::Max", r"layer pool_3: ASKED pool_op from Average to Max"),
        ("parameters.h", r"pool_height = 3", "pool_height = 2", r"layer pool_3: ASKED pool_height from 3 to 2"),
        ("parameters.h", r"count_pad = false", "count_pad = true", r"layer pool_2: ASKED count_pad from false to true"),
        ("parameters.h", r"stride_width = 2", "stride_width = 1", r"layer conv_0: ASKED stride_width from 2 to 1"),
        ("parameters.h", r"product::mult", "product::weight_ternary", r"layer conv_0: ASKED product"),
        ("parameters.h", r"perm\[3\] = \{2, 0, 1\}", "perm[3] = {0, 2, 1}", r"layer transpose_5: ASKED perm from 2, 0, 1 to 0, 2, 1"),
        ("parameters.h", r"axis = 1;", "axis = 2;", r"layer concatenate_17: ASKED axis from 1 to 2"),
        (TOP, r"layer3_out, 0\.28", "layer3_out, 0.29", r"layer leaky_relu_1: ASKED alpha from 0.2823.* to 0.2923"),
        (TOP, r"(leaky_relu<layer3_t, )leaky_relu_1_param_t", r"\1model_default_t", r"layer leaky_relu_1: .* type of the call's alpha"),
        (TOP, r"\(layer15_out, layer13", "(layer13_out, layer15", r"layer subtract_13: ASKED input from multiply_12 to dense_10"),
        (TOP, r"nnet::subtract", "nnet::add", r"layer subtract_13: ASKED function from subtract to add"),
        (TOP, r"nnet::tanh", "nnet::sigmoid", r"layer table_15: ASKED function from tanh to sigmoid"),
        (TOP, r"\n[^\n]*// table_16", "", r"cannot be read back: nothing computes its variable layer19_out"),
        (TOP, r"(layer10_out\); // relu_7)", r"\g<1>7", r"hls4ml wrote a step of its own, relu \(relu_77\)"),
        (TOP, r"\n[^\n]*// softmax_20", "", r"hls4ml dropped layer softmax_20 \(softmax\)"),
        (TOP, r"nnet::relu", "relu", r"cannot be read back: the top function has the line 'relu<"),
        ("weights/w12.h", r"(= \{[^}]*?)0\.1484375", r"\g<1>0.1484385", r"layer dense_9: ASKED weight \[0, 4\] from .* to -0.1484385"),
        ("weights/w12.txt", r"0\.1484375", "0.1485", r"layer dense_9: ASKED weight \[0, 4\] from -0.1484375 to -0.1485"),
        ("weights/b3.h", r"\{-?\d", "{7", r"layer conv_0: ASKED bias \[0\]"),
        ("weights/s17.h", r"\{-?\d", "{7", r"layer scale_14: ASKED scale \[0\]"),
        ("weights/b17.txt", r"^-?\d", "7", r"layer scale_14: ASKED bias \[0\]"),
        ("weights/w3.txt", r", [^,]*$", "", r"cannot be read back: weights/w3.h: expected 135 numbers"),
        (TOP, r"\n[^\n]*w12.txt[^\n]*", "", r"cannot be read back: weights/w12.h: the C simulation does not load it"),
        ("nnet_utils/nnet_code_gen.h", r"data\[7\]", "data[8]", r"layer conv_0: hls4ml takes other numbers into its windows"),
    ],
)  # fmt: skip
def test_one_change_is_refused_by_name(project: Path, tmp_path: Path, file: str, old: str, new: str, message: str) -> None:
    with pytest.raises(CannotError, match=message.replace("ASKED", "hls4ml changed the")):
        checked(everything(), changed(project, tmp_path, file, f"(?s:{old})" if ".*?" in old else old, new))


def test_every_kind_of_layer_is_compared() -> None:
    assert set(CHECKS) == set(OPERATIONS) - {"reshape"}  # which only hands numbers on
    assert set(NUMBERS) == set(OPERATIONS) - {"linear"}  # which no float model has


def test_an_untouched_project_passes(project: Path) -> None:
    checked(everything(), project)


def test_the_slope_has_the_type_that_was_asked_for(project: Path) -> None:
    """hls4ml's default for it is ap_fixed<16,6>, which cuts 0.01."""
    top = (project / "firmware" / f"{PROJECT}.cpp").read_text()
    assert "nnet::leaky_relu<layer3_t, leaky_relu_1_param_t, layer4_t, leakyrelu_config4>" in top


def dense(weight: list[list[int]], bias: list[int]) -> Network:
    formats = {"weight": F("ap_fixed<8,3>"), "bias": F("ap_fixed<8,3>"), "accum": F("ap_fixed<24,12>")}
    numbers = {"weight": np.array(weight), "bias": np.array(bias)}
    layer = Layer(
        name="dense_1",
        kind="dense",
        inputs=("x",),
        shape=(len(bias),),
        result=F("ap_fixed<16,8>"),
        formats=formats,
        numbers=numbers,
    )
    given = Input(name="x", shape=(len(weight),), axes=(0,), format=F("ap_fixed<10,4>"))
    return Network(inputs=(given,), layers=(layer,), outputs={"y": "dense_1"})


def test_the_sums_of_distributed_arithmetic_are_read_from_its_code(tmp_path: Path) -> None:
    pytest.importorskip("da4ml", reason="da4ml is not installed")
    network = dense([[37, -5, 0], [64, 127, 0], [-128, 3, 0]], [11, -90, 40])
    project = written(network, tmp_path, strategy="distributed_arithmetic")
    code = "nnet_utils/nnet_code_gen.h"
    text = (project / "firmware" / code).read_text()
    shift = re.search(r"bit_shift<(-?\d+)>", text)
    assert shift is not None
    cases = [
        (shift[0], f"bit_shift<{int(shift[1]) + 1}>", r"layer dense_1: (hls4ml changed the weight \[\d, \d\]|.*does not hold)"),
        (r"ap_u?fixed<(\d+),(-?\d+)>( v\d+ = v)", r"ap_fixed<\1,1>\3", r"layer dense_1: .*does not hold a number between"),
        (r"v0 = model_inp\[0\]", "v0 = model_inp[1]", r"layer dense_1: hls4ml changed the weight \[0, \d\] from .* to"),
        (r"void dense_da_2", "void dense_da_3", r"layer dense_1: .*there is no function dense_da_2"),
    ]
    for number, (old, new, message) in enumerate(cases):
        with pytest.raises(CannotError, match=message):
            checked(network, changed(project, tmp_path / str(number), code, old, new))
    narrow = replace(network.layers[0], formats={**network.layers[0].formats, "accum": F("ap_fixed<14,5>")})
    with pytest.raises(CannotError, match=r"layer dense_1: ap_fixed<14,5> does not hold all of its sums"):
        checked(replace(network, layers=(narrow,)), project)


def test_streams_that_do_not_compute_a_layer_are_refused(tmp_path: Path) -> None:
    """Without the C simulation nothing else would say so: it ends at these, or takes numbers that are not there."""
    network = everything()
    with pytest.raises(CannotError, match=r"layer pool_2: hls4ml's streams pool without padding.*use --io parallel"):
        written(network, tmp_path / "pool", stream=True)
    m = Maker(1)
    flat = m.add("reshape", "image", (12,), "ap_fixed<11,4>")
    m.add("relu", flat, (12,), "ap_fixed<11,4>")
    image = Input(name="image", shape=(2, 2, 3), axes=(0, 1, 2), format=F("ap_fixed<11,4>"))
    flattened = Network(inputs=(image,), layers=tuple(m.layers), outputs={"y": "relu_1"})
    with pytest.raises(
        CannotError, match=r"layer relu_1 \(relu\): hls4ml's streams hand it \[3\] numbers at a time and take 12"
    ):
        written(flattened, tmp_path / "flat", stream=True)


def test_a_reshape_that_two_layers_read_keeps_its_format_in_streams(tmp_path: Path) -> None:
    """hls4ml gives the copies its default of 16 bits, 6 of them before the point."""
    m = Maker(1)
    turned = m.add("reshape", "x", (4, 3), "ap_fixed<21,2>")
    m.add("relu", turned, (4, 3), "ap_fixed<21,2>")
    m.add("relu", turned, (4, 3), "ap_fixed<20,2>")
    given = Input(name="x", shape=(2, 6), axes=(0, 1), format=F("ap_fixed<21,2>"))
    network = Network(inputs=(given,), layers=tuple(m.layers), outputs={"y": "relu_1", "z": "relu_2"})
    project = written(network, tmp_path, stream=True)
    assert "ap_fixed<16,6>" not in (project / "firmware" / "defines.h").read_text()


def test_a_scale_of_one_is_not_dropped(tmp_path: Path) -> None:
    """It still changes the format: what was rounded there stays rounded."""
    m = Maker(1)
    formats = {"scale": "ap_fixed<4,2>", "bias": "ap_fixed<4,2>"}
    one = {"scale": np.full(3, 4), "bias": np.zeros(3, np.int64)}
    scale = m.add("scale", "x", (3,), "ap_fixed<8,4>", formats=formats, numbers=one)
    m.add("relu", scale, (3,), "ap_fixed<20,4>")
    given = Input(name="x", shape=(3,), axes=(0,), format=F("ap_fixed<21,4>"))
    network = Network(inputs=(given,), layers=tuple(m.layers), outputs={"y": "relu_1"})
    written(network, tmp_path)
