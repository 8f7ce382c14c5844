"""The accelerator's parameters by Triton release: one that a release does not read would fail the load."""

from __future__ import annotations

from dataclasses import replace

import pytest

from portinf.core.errors import CannotError
from portinf.core.signature import Axis, Signature, TensorSpec
from portinf.targets.tensorrt.accelerator import accepted, check_parameters, tensorrt_accelerator
from portinf.triton.config import Accelerator, config_of, from_text, to_text
from portinf.triton.releases import release, releases

SHAPES = {"min": "x:1x4", "opt": "x:8x4", "max": "x:64x4"}


def made(name: str, precision: str = "fp16", flags: bool = True) -> tuple[Accelerator, list[str]]:
    return tensorrt_accelerator(release(name), precision=precision, flags=flags, cache_path="/cache", shapes=SHAPES)


@pytest.mark.parametrize(
    ("name", "count"), [("22.01", 6), ("24.03", 6), ("24.04", 32), ("26.02", 32)], ids=lambda value: str(value)
)
def test_parameters_by_release(name: str, count: int) -> None:
    assert len(accepted(name)[0]) == count


def test_no_release_is_given_what_it_does_not_read() -> None:
    for row in releases():
        for precision in ("fp32", "fp16", "int8"):
            check_parameters(row.name, made(row.name, precision)[0].parameters)


def test_shape_ranges_from_24_04_on() -> None:
    assert made("24.04")[0].parameters["trt_profile_max_shapes"] == "x:64x4"
    older, notes = made("24.03")
    assert set(older.parameters) == {"precision_mode", "trt_engine_cache_enable", "trt_engine_cache_path"}
    assert any("reads no shape ranges" in note for note in notes)


def test_unknown_parameters_and_modes_are_refused() -> None:
    with pytest.raises(CannotError, match=r"does not read 'trt_cuda_graph_enable'.*from 24.04 on"):
        check_parameters("24.03", {"trt_cuda_graph_enable": "1"})
    with pytest.raises(CannotError, match="in no known release"):
        check_parameters("26.02", {"do_copy_in_default_stream": "1"})  # of CUDA, not of TensorRT
    with pytest.raises(CannotError, match="precision_mode BF16 is not one of FP16, FP32, INT8"):
        made("26.01", "bf16")
    assert made("26.02", "bf16")[0].parameters["precision_mode"] == "BF16"


def test_precision_is_a_parameter_only_while_tensorrt_has_flags() -> None:
    assert "precision_mode" not in made("26.06", "fp16", flags=False)[0].parameters
    assert "precision_mode" not in made("24.08", "fp32")[0].parameters


def test_a_release_whose_source_was_not_looked_at_says_so() -> None:
    assert not any("newest release whose source" in note for note in made("26.06")[1])
    assert any("newest release whose source was checked" in note for note in made("26.08")[1])


def test_the_configuration_is_read_back() -> None:
    spec = TensorSpec(name="x", dtype="float32", shape=(Axis(label="batch"), Axis(size=4)))
    config = replace(config_of("net", Signature(inputs=(spec,), outputs=(spec,)), 64), accelerator=made("24.08")[0])
    assert from_text(to_text(config)) == config
