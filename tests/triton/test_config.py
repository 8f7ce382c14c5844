"""Model configurations: typed, through the official protobuf, to text and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portinf.core.errors import CannotError, UnreadableError, UsageError
from portinf.core.signature import DTYPES, Axis, Signature, TensorSpec
from portinf.triton.config import (
    ModelConfig,
    TensorConfig,
    check_model_name,
    config_of,
    difference,
    from_text,
    safe_name,
    to_text,
)

BATCH = Axis(label="batch")
ODD_NAMES = ["a:0", "output/BiasAdd", "with space", 'quo"te', "apo'strophe", "back\\slash", "jet_η", "new\nline", "[x]", "#no"]

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
types = st.sampled_from([row.triton for row in DTYPES if row.triton != "TYPE_BF16"])
lengths = st.lists(st.one_of(st.just(-1), st.integers(1, 2**40)), min_size=1, max_size=5).map(tuple)
tensors = st.builds(
    TensorConfig,
    name=names,
    data_type=types,
    dims=lengths,
    reshape=st.one_of(st.none(), st.just(()), lengths),
)
inputs = st.builds(TensorConfig, name=names, data_type=types, dims=lengths, optional=st.booleans())
configs = st.builds(
    ModelConfig,
    name=names.map(safe_name),
    max_batch_size=st.integers(0, 2**31 - 1),
    inputs=st.lists(st.one_of(tensors, inputs), max_size=4).map(tuple),
    outputs=st.lists(tensors, max_size=4).map(tuple),
    dynamic_batching=st.booleans(),
)


def spec(name: str = "x", *shape: Axis, dtype: str = "float32", optional: bool = False) -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=shape, optional=optional)


def model(*inputs: TensorSpec, outputs: tuple[TensorSpec, ...] = ()) -> Signature:
    return Signature(inputs=inputs, outputs=outputs or (spec("y", BATCH, Axis(size=1)),))


@given(configs)
def test_text_and_back(config: ModelConfig) -> None:
    assert from_text(to_text(config)) == config
    assert difference(config, config) is None


@given(names)
def test_any_text_becomes_a_name_that_is_allowed(text: str) -> None:
    assert check_model_name(safe_name(text)) == safe_name(text)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_tensor_names_stay_byte_for_byte(name: str) -> None:
    config = config_of("m", model(spec(name, BATCH, Axis(size=3))), 4)
    assert from_text(to_text(config)).inputs[0].name == name


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "a b", "-rf", "é", "a\n", "x" * 201])
def test_names_that_are_no_folder_names_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"model name .*expected letters"):
        check_model_name(name)


def test_the_batch_axis_is_left_out_of_dims() -> None:
    signature = model(spec("x", BATCH, Axis(label="n"), Axis(size=3)))
    batched, whole = config_of("m", signature, 8), config_of("m", signature, 0)
    assert batched.inputs[0].dims == (-1, 3)
    assert batched.dynamic_batching
    assert whole.inputs[0].dims == (-1, -1, 3)
    assert not whole.dynamic_batching


def test_a_row_that_is_a_scalar_travels_as_one_element() -> None:
    config = config_of("m", model(spec("x", BATCH)), 8)
    assert (config.inputs[0].dims, config.inputs[0].reshape) == ((1,), ())
    assert "reshape {" in to_text(config)


def test_a_scalar_without_batching_has_no_reshape() -> None:
    """The server refuses an empty reshape without batching; its ONNX Runtime backend takes [1] for a scalar."""
    config = config_of("m", model(spec("x")), 0)
    assert (config.inputs[0].dims, config.inputs[0].reshape) == ((1,), None)


def test_every_type_has_its_name() -> None:
    for row in DTYPES:
        if row.triton != "TYPE_BF16":
            text = to_text(config_of("m", model(spec("x", BATCH, dtype=row.numpy)), 0))
            assert f"data_type: {row.triton}" in text


@pytest.mark.parametrize(
    ("tensor", "size", "message"),
    [
        (TensorSpec(name="x", dtype="float32", shape=None), 0, "'x': its rank is not known"),
        (spec("x", BATCH, dtype="bfloat16"), 0, "'x': .*no bfloat16; cast it"),
        (spec("x", BATCH, Axis(size=0)), 0, "'x': an axis of fixed length 0"),
        (spec("x", Axis(size=5)), 4, "'x' .5.: with batching, axis 0 is the batch"),
        (spec("x"), 4, "'x' ..: with batching"),
        (spec("x", BATCH, optional=True), 4, "'x' is optional"),
    ],
)
def test_what_cannot_be_served_is_named(tensor: TensorSpec, size: int, message: str) -> None:
    with pytest.raises(CannotError, match=message):
        config_of("m", model(tensor), size)


def test_a_negative_batch_size_is_refused() -> None:
    with pytest.raises(UsageError, match="max_batch_size -1"):
        config_of("m", model(spec("x", BATCH)), -1)


def test_optional_inputs_without_batching() -> None:
    assert "optional: true" in to_text(config_of("m", model(spec("x", BATCH, optional=True)), 0))


def test_a_config_of_the_field_is_read() -> None:
    text = """
    name: "facile"  # a comment
    platform: "onnxruntime_onnx"
    max_batch_size: 16000
    input [ { name: "x" data_type: TYPE_FP32 dims: [ 15 ] } ]
    output [ { name: "y" data_type: TYPE_FP32 dims: [ 1 ] label_filename: "labels.txt" } ]
    dynamic_batching { preferred_batch_size: [ 100 ] }
    optimization { graph { level: -1 } }
    model_repository_agents { agents { name: "checksum" parameters { key: "MD5:1/model.onnx" value: "0" } } }
    """
    config = from_text(text)
    assert (config.name, config.max_batch_size, config.dynamic_batching) == ("facile", 16000, True)
    assert config.inputs == (TensorConfig(name="x", data_type="TYPE_FP32", dims=(15,)),)


@pytest.mark.parametrize("text", ["name: 3", "nonsense: 1", "input { data_type: 99 }", "input { dims: [1,, }"])
def test_another_file_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(UnreadableError, match=r"m/config\.pbtxt: not a Triton model configuration") as caught:
        from_text(text, "m/config.pbtxt")
    assert "\n" not in str(caught.value)


def test_the_first_difference_is_named() -> None:
    def made(name: str, width: int, size: int) -> ModelConfig:
        return config_of("m", model(spec(name, BATCH, Axis(size=width))), size)

    old = made("x", 4, 8)
    assert difference(old, made("x", 4, 0)) == "max_batch_size is 8, now 0"
    assert difference(old, made("z", 4, 8)) == "inputs are x, now z"
    assert difference(old, made("x", 5, 8)) == "dims of input 'x' is [4], now [5]"


def test_how_requests_are_scheduled_may_be_tuned_by_hand() -> None:
    new = config_of("m", model(spec("x", BATCH, Axis(size=4))), 8)
    assert difference(from_text(to_text(new).replace("dynamic_batching {\n}", "")), new) is None


def test_largest_lengths_are_told_to_whoever_asks_the_server() -> None:
    tracks = Axis(label="tracks", maximum=200)
    config = config_of("m", model(spec("x", BATCH, tracks, Axis(size=4))), 8)
    assert config.inputs[0].dims == (-1, 4)
    assert config.parameters == {"portinf_maximum.x.1": "200"}
    assert from_text(to_text(config)) == config
    shorter = config_of("m", model(spec("x", BATCH, Axis(label="tracks", maximum=100), Axis(size=4))), 8)
    assert difference(config, shorter) == "parameter portinf_maximum.x.1 is '200', now '100'"
