"""The backend that runs in the serving environment: session settings and load-time checks, without a server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from portinf.serving.engines.pytriton import plan as engine_pytriton
from tests.serving.tiny_models import add, tensor, write

BACKEND = Path(engine_pytriton.__file__).parents[2] / "backends" / "onnxruntime"
ADD: dict[str, Any] = {
    "name": "add",
    "max_batch_size": 8,
    "input": [{"name": name, "data_type": "TYPE_FP32", "dims": [4]} for name in ("a", "b")],
    "output": [{"name": name, "data_type": "TYPE_FP32", "dims": [4]} for name in ("sum", "difference")],
}


@pytest.fixture(scope="module")
def modules() -> Iterator[tuple[ModuleType, ModuleType]]:
    """The two modules of the backend that need no server: settings and checks."""
    sys.path.insert(0, str(BACKEND))
    import portinf_onnx_checks
    import portinf_onnx_ragged
    import portinf_onnx_session

    assert portinf_onnx_ragged
    yield portinf_onnx_session, portinf_onnx_checks
    sys.path.remove(str(BACKEND))
    for name in ("portinf_onnx_checks", "portinf_onnx_ragged", "portinf_onnx_session"):
        del sys.modules[name]


def with_parameters(**values: str) -> dict[str, Any]:
    """Return a configuration with these parameters, as the server gives it."""
    return {"name": "m", "parameters": {name.replace("__", "."): {"string_value": value} for name, value in values.items()}}


def test_settings_are_those_of_the_configuration(modules: tuple[ModuleType, ModuleType]) -> None:
    session, _ = modules
    options = session.session_options(
        with_parameters(
            execution_mode="1",
            intra_op_thread_count="3",
            inter_op_thread_count="2",
            enable_mem_arena="false",
            enable_mem_pattern="0",
            session__use_device_allocator_for_initializers="1",
        )
    )
    assert options.execution_mode == ort.ExecutionMode.ORT_PARALLEL
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 2)
    assert (options.enable_cpu_mem_arena, options.enable_mem_pattern) == (False, False)
    assert options.get_session_config_entry("session.use_device_allocator_for_initializers") == "1"
    default = session.session_options({"name": "m"})
    assert default.execution_mode == ort.ExecutionMode.ORT_SEQUENTIAL
    assert (default.intra_op_num_threads, default.enable_cpu_mem_arena) == (0, True)


@pytest.mark.parametrize(
    ("level", "name"), [(-1, "BASIC"), (0, "ALL"), (1, "EXTENDED"), (2, "DISABLE"), (None, "ALL")], ids=str
)
def test_graph_level(modules: tuple[ModuleType, ModuleType], level: int | None, name: str) -> None:
    config = {"optimization": {"graph": {"level": level}}} if level is not None else {}
    assert name in str(modules[0].session_options(config).graph_optimization_level)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (with_parameters(execution_mode="2"), "execution_mode is 2, expected 0"),
        (with_parameters(intra_op_thread_count="many"), "intra_op_thread_count is 'many', expected a whole number"),
        (with_parameters(enable_mem_arena="maybe"), "enable_mem_arena is 'maybe', expected true or false"),
        (
            {"optimization": {"execution_accelerators": {"cpu_execution_accelerator": [{"name": "openvino"}]}}},
            "execution accelerator 'openvino'",
        ),
    ],
)
def test_wrong_settings_are_refused(modules: tuple[ModuleType, ModuleType], config: dict[str, Any], message: str) -> None:
    session, _ = modules
    with pytest.raises(session.ConfigurationError, match=message):
        session.session_options(config)


def test_run_options(modules: tuple[ModuleType, ModuleType]) -> None:
    session, _ = modules
    assert session.arena_shrinkage({"name": "m"}) is None
    made = session.arena_shrinkage(with_parameters(memory__enable_memory_arena_shrinkage="cpu:0"))
    assert made.get_run_config_entry("memory.enable_memory_arena_shrinkage") == "cpu:0"


def test_a_folder_holds_the_real_file(modules: tuple[ModuleType, ModuleType], tmp_path: Path) -> None:
    session, _ = modules
    with pytest.raises(session.ConfigurationError, match="unable to find"):
        session.model_file({"name": "m"}, tmp_path)
    (tmp_path / "model.onnx").mkdir()
    (tmp_path / "model.onnx" / "model.onnx").touch()
    assert session.model_file({"name": "m"}, tmp_path) == tmp_path / "model.onnx" / "model.onnx"


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"input": ADD["input"][:1]}, "expects 1 inputs, model provides 2"),
    (
        {"input": [ADD["input"][0], {**ADD["input"][1], "name": "c"}]},
        "unexpected inference input 'c', allowed inputs are: a, b",
    ),
    (
        {"input": [ADD["input"][0], {**ADD["input"][1], "data_type": "TYPE_INT8"}]},
        "TYPE_INT8 for input 'b', model provides TYPE_FP32",
    ),
    ({"input": [ADD["input"][0], {**ADD["input"][1], "dims": [4, 1]}]}, r"expects 2 dimensions .* specifies 3 dimensions"),
    ({"output": [{**ADD["output"][0], "dims": [-1]}]}, r"tensor 'sum'.*\[-1, -1\]"),
    ({"max_batch_size": 0}, r"expects 2 dimensions \(shape \[-1, 4\]\) .* specifies 1 dimensions"),
    ({"input": [*ADD["input"], {**ADD["input"][0], "optional": True}]}, "not supported for models that support batching"),
    ({"sequence_batching": {"state": [{"input_name": "s"}]}}, "implicit state .* cannot be served faithfully"),
    ({"input": [{**ADD["input"][0], "allow_ragged_batch": True}, ADD["input"][1]]}, r"shape \[-1\] for ragged input 'a'"),
    (
        {"max_batch_size": 0, "input": [{**entry, "allow_ragged_batch": True} for entry in ADD["input"]]},
        "needs a max_batch_size",
    ),
    ({"batch_input": [{"kind": "BATCH_ELEMENT_COUNT", "target_name": ["c"]}]}, "expects 3 inputs, model provides 2"),
    ({"input": ADD["input"][:1], "batch_input": [{"target_name": ["c"]}]}, "batch input 'c' is not provided by the model"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_a_configuration_that_does_not_fit_is_refused(
    modules: tuple[ModuleType, ModuleType], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    session, checks = modules
    opened = session.open_session(ADD, add(tmp_path) / "1")
    checks.check(ADD, opened)
    with pytest.raises(session.ConfigurationError, match=message):
        checks.check({**ADD, **change}, opened)


def test_a_free_input_size_may_be_fixed_by_the_configuration(modules: tuple[ModuleType, ModuleType], tmp_path: Path) -> None:
    session, checks = modules
    ends = [[tensor(name, TensorProto.FLOAT, ["n", "m"])] for name in ("x", "y")]
    write(tmp_path / "m", [helper.make_node("Neg", ["x"], ["y"])], ends[0], ends[1], None)
    opened = session.open_session({"name": "m"}, tmp_path / "m" / "1")
    entry = {"data_type": "TYPE_FP32", "dims": [3]}
    config = {"name": "m", "max_batch_size": 1, "input": [{"name": "x", **entry}]}
    checks.check({**config, "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": [-1]}]}, opened)
    with pytest.raises(session.ConfigurationError, match="tensor 'y'"):
        checks.check({**config, "output": [{"name": "y", **entry}]}, opened)


def test_sequence_controls_count_as_inputs(modules: tuple[ModuleType, ModuleType], tmp_path: Path) -> None:
    session, checks = modules
    nodes = [helper.make_node("Cast", ["start"], ["s"], to=1), helper.make_node("Add", ["x", "s"], ["y"])]
    inputs = [tensor("x", TensorProto.FLOAT, ["n", 1]), tensor("start", TensorProto.INT32, ["n", 1])]
    write(tmp_path / "m", nodes, inputs, [tensor("y", TensorProto.FLOAT, ["n", 1])], None)
    opened = session.open_session({"name": "m"}, tmp_path / "m" / "1")
    control = {"kind": "CONTROL_SEQUENCE_START", "int32_false_true": [0, 1], "fp32_false_true": [], "bool_false_true": []}
    config = {
        "name": "m",
        "max_batch_size": 1,
        "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [1]}],
        "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": [1]}],
        "sequence_batching": {"control_input": [{"name": "start", "control": [control]}]},
    }
    checks.check(config, opened)
    control["int32_false_true"], control["fp32_false_true"] = [], [0, 1]
    with pytest.raises(
        session.ConfigurationError,
        match=r"expects data-type TYPE_INT32 but .* TYPE_FP32",
    ):
        checks.check(config, opened)


def test_bfloat16_is_refused(modules: tuple[ModuleType, ModuleType], tmp_path: Path) -> None:
    session, checks = modules
    ends = [[tensor(name, TensorProto.BFLOAT16, [2])] for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "m", *ends)
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "model.onnx")
    opened = session.open_session({"name": "m"}, tmp_path)
    with pytest.raises(session.ConfigurationError, match=r"tensor 'x' has the type tensor\(bfloat16\)"):
        checks.inputs(opened)


RAGGED: dict[str, Any] = {
    "input": [{"name": "values", "data_type": "TYPE_FP32", "dims": [-1], "allow_ragged_batch": True}],
    "output": [
        {"name": "same", "data_type": "TYPE_FP32", "dims": [-1]},
        {"name": "rows", "data_type": "TYPE_FP32", "dims": [1], "reshape": {}},
    ],
    "batch_output": [
        {"target_name": ["same"], "source_input": ["values"], "kind": "BATCH_SCATTER_WITH_INPUT_SHAPE"},
    ],
}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("BATCH_ELEMENT_COUNT", [2, 6]),
        ("BATCH_ACCUMULATED_ELEMENT_COUNT", [2, 8]),
        ("BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO", [0, 2, 8]),
        ("BATCH_ITEM_SHAPE", [[2], [3], [3]]),
        ("BATCH_ITEM_SHAPE_FLATTEN", [2, 3, 3]),
        ("BATCH_MAX_ELEMENT_COUNT_AS_SHAPE", [0] * 6),
    ],
)
def test_ragged_requests_are_joined_flat(modules: tuple[ModuleType, ModuleType], kind: str, expected: list[Any]) -> None:
    entry = {"kind": kind, "target_name": ["made"], "data_type": "TYPE_INT32", "source_input": ["values"]}
    batching = sys.modules["portinf_onnx_ragged"].Batching({**RAGGED, "batch_input": [entry]})
    parts = [{"values": np.array([[1, 2]])}, {"values": np.array([[3, 4, 5], [6, 7, 8]])}]
    feeds = batching.join(parts)
    np.testing.assert_array_equal(feeds["values"], np.arange(1, 9))
    np.testing.assert_array_equal(feeds["made"], expected)
    assert feeds["made"].dtype == np.int32


def test_ragged_outputs_are_scattered_and_rows_split(modules: tuple[ModuleType, ModuleType]) -> None:
    batching = sys.modules["portinf_onnx_ragged"].Batching(RAGGED)
    parts = [{"values": np.zeros((1, 2))}, {"values": np.zeros((2, 3))}]
    first, second = batching.part({"same": np.arange(8), "rows": np.array([7, 8, 9])}, parts)
    assert (first["same"].tolist(), second["same"].tolist()) == ([[0, 1]], [[2, 3, 4], [5, 6, 7]])
    assert (first["rows"].tolist(), second["rows"].tolist()) == ([7], [8, 9])
    session, _ = modules
    with pytest.raises(session.ConfigurationError, match="output 'same' has 7 elements, fewer"):
        batching.part({"same": np.arange(7)}, parts)
    with pytest.raises(
        session.ConfigurationError, match=r"output 'rows' has shape \[2\], but its first axis must be the batch of 3"
    ):
        batching.part({"rows": np.array([7, 8])}, parts)
