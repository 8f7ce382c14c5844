"""The endpoint runner: what it asks, what it returns, and which error a wrong answer becomes."""

from __future__ import annotations

import socket
import time
from typing import Any

import grpc
import numpy as np
import pytest

from portinf.core.batch import Arrays
from portinf.core.errors import PortinfError, RunnerError, ServingError
from portinf.runners.endpoint.runner import EndpointRunner
from tests.runners import fake_grpc, fake_http
from tests.runners.fake_http import Script, tensor

X = np.arange(6, dtype=np.float32).reshape(3, 2)


def script(outputs: list[tuple[dict[str, Any], bytes | None]], **more: Any) -> Script:
    """Return a model of one input ``x`` whose outputs are what it answers."""
    named = [tensor(e["name"], e["datatype"], [-1] * len(e["shape"])) for e, _ in outputs]
    return Script(metadata={"name": "m", "inputs": [tensor("x", "FP32", [-1, 2])], "outputs": named}, outputs=outputs, **more)


def ask(given: Script, inputs: Arrays | None = None) -> Arrays:
    with fake_http.serve(given) as address, EndpointRunner(f"http://{address}/m") as runner:
        return runner.infer(inputs or {"x": X})


@pytest.mark.parametrize(
    "array",
    [
        np.array([True, False, True]),
        np.array([1.5, 65504.0], dtype=np.float16),
        np.array([[-(2**63), 2**63 - 1]], dtype=np.int64),
        np.array([2**64 - 1], dtype=np.uint64),
        np.array(7.25, dtype=np.float64),
        np.zeros((0, 3), dtype=np.float32),
    ],
    ids=lambda a: f"{a.dtype}{a.shape}",
)
def test_http_returns_types_shapes_and_values(array: Any) -> None:
    names = {"bool": "BOOL", "float16": "FP16", "int64": "INT64", "uint64": "UINT64", "float64": "FP64", "float32": "FP32"}
    found = ask(script([(tensor("y", names[str(array.dtype)], list(array.shape)), array.tobytes())]))["y"]
    assert found.dtype == array.dtype and found.shape == array.shape
    np.testing.assert_array_equal(found, array)


def test_http_strings_are_str_objects_both_ways() -> None:
    raw = b"".join(len(s).to_bytes(4, "little") + s for s in ("μ+".encode(), b""))
    given = script([(tensor("s", "BYTES", [2, 1]), raw)])
    given.metadata["inputs"] = [tensor("x", "BYTES", [-1])]
    found = ask(given, {"x": np.array(["jet", "τ"])})["s"]
    assert found.dtype == object and found.tolist() == [["μ+"], [""]]
    assert given.body == b"\x03\x00\x00\x00jet\x02\x00\x00\x00" + "τ".encode()


def test_http_asks_for_all_outputs_and_keeps_the_order_of_the_metadata() -> None:
    entry_a, entry_b = tensor("a", "FP32", [1]), tensor("b", "INT32", [1])
    given = script([(entry_a, np.float32(1).tobytes()), (entry_b, np.int32(2).tobytes())])
    given.outputs.reverse()
    found = ask(given)
    assert list(found) == ["a", "b"] and found["b"].tolist() == [2]
    assert [o["name"] for o in given.received["outputs"]] == ["a", "b"]


def test_http_reads_an_answer_in_json_form() -> None:
    assert ask(script([({**tensor("y", "FP32", [2]), "data": [1.0, 2.5]}, None)]))["y"].tolist() == [1.0, 2.5]


def test_http_sends_empty_tensors() -> None:
    given = script([(tensor("y", "FP32", [0]), b"")])
    assert ask(given, {"x": np.zeros((0, 2), np.float32)})["y"].shape == (0,)
    assert given.received["inputs"][0]["shape"] == [0, 2]


@pytest.mark.parametrize(
    ("datatype", "shape", "raw", "expected", "found"),
    [
        ("FP32", [3, 2], b"", "24 bytes", "found 0"),
        ("FP32", [3, 2], b"\0" * 20, "24 bytes", "found 20"),
        ("FP32", [0], b"\0" * 4, "0 bytes", "found 4"),
        ("BYTES", [2], b"", "at least 8 bytes", "found 0"),
    ],
)
def test_http_bytes_that_do_not_fit_the_shape(datatype: str, shape: list[int], raw: bytes, expected: str, found: str) -> None:
    with pytest.raises(RunnerError) as caught:
        ask(script([(tensor("y", datatype, shape), raw)]))
    assert all(part in str(caught.value) for part in ("'y'", expected, found))
    assert "\n" not in str(caught.value)


def test_http_truncated_strings_and_non_utf8_are_no_answers() -> None:
    for raw in (b"\x09\x00\x00\x00abc", b"\x01\x00\x00\x00\xff"):
        with pytest.raises(RunnerError, match="output 'y'"):
            ask(script([(tensor("y", "BYTES", [1]), raw)]))


def test_http_missing_output() -> None:
    given = script([(tensor("y", "FP32", [1]), b"\0" * 4)])
    given.metadata["outputs"].append(tensor("z", "FP32", [1]))
    with pytest.raises(ServingError, match="no output 'z'"):
        ask(given)


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (400, "unexpected shape for input 'x' for model 'm'. Expected [-1,2], got [3,3]", RunnerError),
        (500, "onnx runtime error 6: Non-zero status code returned while running Gather node", RunnerError),
        (400, "unexpected inference output 'y' requested for model 'm'", ServingError),
        (500, "Failed to process the request(s) for model 'm', message: Stub process 'm_0' is not healthy.", ServingError),
        (400, "Request for unknown model: 'm' has no available versions", ServingError),
        (503, "overloaded", ServingError),
        (403, "This API is restricted", ServingError),
    ],
)
def test_http_refusals_by_the_model_and_faults_of_the_server(status: int, text: str, kind: type[PortinfError]) -> None:
    with pytest.raises(PortinfError) as caught:
        ask(script([(tensor("y", "FP32", [1]), b"\0" * 4)], error=(status, text)))
    assert type(caught.value) is kind and text in str(caught.value)


def test_http_time_out() -> None:
    given = script([(tensor("y", "FP32", [1]), b"\0" * 4)], delay=1.5)
    with (
        fake_http.serve(given) as address,
        EndpointRunner(f"http://{address}/m", timeout=0.3) as runner,
        pytest.raises(ServingError, match=r"no answer within 0\.3 s"),
    ):
        runner.infer({"x": X})


def test_http_unknown_model_and_not_ready() -> None:
    given = script([])
    with fake_http.serve(given) as address:
        with pytest.raises(ServingError, match=r"unknown model.*404"):
            EndpointRunner(f"http://{address}/other")
        given.ready = False
        with pytest.raises(ServingError, match="not ready"):
            EndpointRunner(f"http://{address}/m")


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_connection_refused_is_one_clear_line(scheme: str) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        with pytest.raises(ServingError, match="no server answers at") as caught:
            EndpointRunner(f"{scheme}://127.0.0.1:{port}/m", timeout=5)
    assert "\n" not in str(caught.value)


def test_grpc_signature_and_answer() -> None:
    def double(request: Any, context: Any) -> Any:
        assert [o.name for o in request.outputs] == ["y"]
        values = np.frombuffer(request.raw_input_contents[0], np.float32) * 2
        return fake_grpc.reply(list(request.inputs[0].shape), values.tobytes())

    with fake_grpc.serve(double) as address, EndpointRunner(f"grpc://{address}/m/1") as runner:
        np.testing.assert_array_equal(runner.infer({"x": X})["y"], 2 * X)
        x, n = runner.signature.inputs
        assert (x.shape_text(), n.shape_text(), n.dtype, n.optional) == ("[batch>=1, 2]", "[batch>=1, n_1]", "int64", True)
        assert runner.name == f"grpc://{address}/m/1"


def test_grpc_large_messages() -> None:
    large = np.ones((2, 2 << 20), dtype=np.float32)  # 16 MiB, over gRPC's default of 4 MiB
    with (
        fake_grpc.serve(lambda request, _: fake_grpc.reply([2, 2 << 20], request.raw_input_contents[0])) as address,
        EndpointRunner(f"grpc://{address}/m") as runner,
    ):
        np.testing.assert_array_equal(runner.infer({"x": large})["y"], large)


def test_grpc_zero_bytes_and_missing_output() -> None:
    for answer, kind, expected in (
        (fake_grpc.reply([3, 2], b""), RunnerError, r"output 'y', shape \[3, 2\].*expected 24 bytes of FP32, found 0"),
        (fake_grpc.reply([3, 2], b"\0" * 24, name="z"), ServingError, "no output 'y'"),
    ):
        with (
            fake_grpc.serve(lambda *_, answer=answer: answer) as address,  # type: ignore[misc]
            EndpointRunner(f"grpc://{address}/m") as runner,
            pytest.raises(kind, match=expected),
        ):
            runner.infer({"x": X})


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, "unexpected shape for input 'x'", RunnerError),
        (grpc.StatusCode.INTERNAL, "onnx runtime error 2", RunnerError),
        (grpc.StatusCode.INTERNAL, "Stub process 'm_0' is not healthy.", ServingError),
        (grpc.StatusCode.NOT_FOUND, "Request for unknown model: 'm' is not found", ServingError),
        (grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size", ServingError),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "Received message larger than max", ServingError),
    ],
)
def test_grpc_refusals_by_the_model_and_faults_of_the_server(code: Any, text: str, kind: type[PortinfError]) -> None:
    with (
        fake_grpc.serve(lambda _, context: context.abort(code, text)) as address,
        EndpointRunner(f"grpc://{address}/m") as runner,
        pytest.raises(PortinfError) as caught,
    ):
        runner.infer({"x": X})
    assert type(caught.value) is kind and text in str(caught.value)


def test_grpc_time_out_and_unknown_model() -> None:
    with fake_grpc.serve(lambda *_: time.sleep(1.0)) as address:
        with EndpointRunner(f"grpc://{address}/m", timeout=0.3) as runner, pytest.raises(ServingError, match=r"within 0\.3 s"):
            runner.infer({"x": X})
        with pytest.raises(ServingError, match="unknown model: 'other'"):
            EndpointRunner(f"grpc://{address}/other")


def test_more_rows_than_the_batch_size_are_split_and_joined() -> None:
    sizes = []

    def echo(request: Any, context: Any) -> Any:
        sizes.append(request.inputs[0].shape[0])
        return fake_grpc.reply(list(request.inputs[0].shape), request.raw_input_contents[0])

    rows = np.arange(38, dtype=np.float32).reshape(19, 2)
    with fake_grpc.serve(echo) as address, EndpointRunner(f"grpc://{address}/m") as runner:
        np.testing.assert_array_equal(runner.infer({"x": rows})["y"], rows)
    assert sizes == [8, 8, 3]


def test_reshape_of_the_configuration_is_undone_both_ways() -> None:
    given = script([(tensor("y", "FP32", [3, 1]), X[:, 0].tobytes())])
    given.metadata.update(inputs=[tensor("x", "FP32", [-1, 1])], outputs=[tensor("y", "FP32", [-1, 1])])
    given.config = {
        "max_batch_size": 4,
        "input": [{"name": "x", "dims": [1], "reshape": {"shape": []}}],
        "output": [{"name": "y", "dims": ["1"], "reshape": {}}],
    }
    with fake_http.serve(given) as address, EndpointRunner(f"http://{address}/m") as runner:
        assert runner.infer({"x": X[:, 0]})["y"].shape == (3,)
        assert given.received["inputs"][0]["shape"] == [3, 1]
        assert runner.signature.outputs[0].shape_text() == "[batch>=1]"


def test_a_scalar_is_sent_as_one_number_where_there_is_no_batching() -> None:
    given = script([(tensor("y", "FP32", [1]), b"\0" * 4)])
    ask(given, {"x": np.array(1.5, np.float32)})
    assert given.received["inputs"][0]["shape"] == [1]


def test_largest_lengths_are_read_from_the_configuration() -> None:
    told = {"portinf_maximum.x.0": {"string_value": "200"}}
    given = script([(tensor("y", "FP32", [3]), np.zeros(3, np.float32).tobytes())])
    for size, text in ((0, "[x_0<=200, 2]"), (8, "[1<=batch<=200, 2]")):
        given.config = {"max_batch_size": size, "parameters": told}
        with fake_http.serve(given) as address, EndpointRunner(f"http://{address}/m") as runner:
            assert runner.signature.inputs[0].shape_text() == text
