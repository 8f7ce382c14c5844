"""A live local server answers as ONNX Runtime does, for every kind of tensor, and leaves the repository as it was."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from tritonclient.utils import InferenceServerException

from portinf.serving.client.snippet import snippet
from portinf.serving.server.launcher import Server
from tests.serving.live import ask, serving
from tests.serving.tiny_models import fingerprint, repository

RANDOM = np.random.default_rng(1)
CASES: list[tuple[str, dict[str, Any]]] = [
    ("add", {"a": RANDOM.normal(size=(5, 4)).astype(np.float32), "b": RANDOM.normal(size=(5, 4)).astype(np.float32)}),
    (
        "types",
        {
            "double": RANDOM.normal(size=(2, 3)),
            "half": RANDOM.normal(size=(2, 3)).astype(np.float16),
            "long": np.array([[2**62, -1, 0], [1, 2, -(2**63) + 1]], dtype=np.int64),
            "byte": np.array([[0, 127, 255], [1, 2, 3]], dtype=np.uint8),
            "truth": np.array([[True, False, True], [False, False, True]]),
        },
    ),
    ("strings", {"text": np.array([["plain", ""], ["Größe", "muon μ"]], dtype=object)}),
    ("length", {"hits": RANDOM.integers(-9, 9, size=(2, 7, 3)).astype(np.float32)}),
    ("length", {"hits": RANDOM.integers(-9, 9, size=(1, 1, 3)).astype(np.float32)}),
    ("length", {"hits": np.zeros((1, 0, 3), dtype=np.float32)}),
    ("optional", {"x": np.array([1, 2], dtype=np.float32)}),
    ("optional", {"x": np.array([1, 2], dtype=np.float32), "offset": np.array([3, 4], dtype=np.float32)}),
    ("bare", {"x": np.array([[1, 2, 3], [4, 5, 6]], dtype=np.float32)}),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository that is served."""
    return repository(tmp_path_factory.mktemp("serve") / "models")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    """One server for all tests of this file; at its end the folder must be as before and nothing be left."""
    before = fingerprint(folder)
    with serving(folder) as running:
        yield running
    assert fingerprint(folder) == before


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize(("model", "inputs"), CASES, ids=[f"{name}-{number}" for number, (name, _) in enumerate(CASES)])
def test_answers_are_those_of_onnxruntime(
    server: Server, folder: Path, model: str, inputs: dict[str, Any], protocol: str
) -> None:
    session = ort.InferenceSession(str(folder / model / "1" / "model.onnx"), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    found = ask(server, model, inputs, names, protocol)
    for name, expected in zip(names, session.run(names, inputs), strict=True):
        value = found[name]
        if value.dtype == object:
            value = np.array([item.decode() for item in value.reshape(-1)], dtype=object).reshape(value.shape)
        # A scalar comes back in the one-element shape of the configuration.
        np.testing.assert_array_equal(value, np.asarray(expected).reshape(value.shape))
        assert value.dtype == np.asarray(expected).dtype


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_scalars_have_one_element(server: Server, protocol: str) -> None:
    inputs = {"factor": np.array([3], dtype=np.float32), "values": np.array([1, 2, 3, 4], dtype=np.float32)}
    total = ask(server, "scalars", inputs, ["total"], protocol)["total"]
    assert total.shape == (1,)
    assert total[0] == 30


def test_joined_requests_get_their_own_rows(server: Server) -> None:
    rows = [RANDOM.normal(size=(size, 4)).astype(np.float32) for size in (1, 3, 2, 1) * 16]

    def one(values: Any) -> Any:
        return ask(server, "add", {"a": values, "b": np.ones_like(values)}, ["sum"], "grpc")["sum"]

    with ThreadPoolExecutor(16) as pool:
        for values, answer in zip(rows, pool.map(one, rows), strict=True):
            np.testing.assert_array_equal(answer, values + 1)
    statistics = _statistics(server, "add")
    assert statistics["execution_count"] < statistics["inference_count"]


def test_ragged_requests_of_different_lengths_are_joined(server: Server) -> None:
    lengths = [1, 5, 2, 9, 3, 3, 7, 4] * 6

    def one(length: int) -> dict[str, Any]:
        values = np.arange(length, dtype=np.float32).reshape(1, length)
        return ask(server, "ragged", {"values": values}, ["negated", "count"], "grpc")

    with ThreadPoolExecutor(16) as pool:
        for length, answer in zip(lengths, pool.map(one, lengths), strict=True):
            np.testing.assert_array_equal(answer["negated"], -np.arange(length, dtype=np.float32).reshape(1, length))
            assert answer["count"].tolist() == [[length]]
    statistics = _statistics(server, "ragged")
    assert statistics["execution_count"] < statistics["inference_count"]


def test_joined_strings_get_their_own_rows(server: Server) -> None:
    def one(number: int) -> list[bytes]:
        text = np.array([[f"first {number}", "é" * number]], dtype=object)
        return [bytes(item) for item in ask(server, "strings", {"text": text}, ["same"])["same"].reshape(-1)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(one, range(24)))
    assert answers == [[f"first {number}".encode(), ("é" * number).encode()] for number in range(24)]


def test_only_the_outputs_asked_for_come_back(server: Server) -> None:
    import tritonclient.http as triton

    values = np.ones((1, 4), dtype=np.float32)
    with triton.InferenceServerClient(server.http) as client:
        sent = [triton.InferInput(name, [1, 4], "FP32") for name in ("a", "b")]
        for tensor in sent:
            tensor.set_data_from_numpy(values)
        result = client.infer("add", sent, outputs=[triton.InferRequestedOutput("difference")])
    assert [output["name"] for output in result.get_response()["outputs"]] == ["difference"]


def test_configurations_are_completed_as_the_backend_does(server: Server) -> None:
    completed, bare = server.control.config("completed"), server.control.config("bare")
    assert completed["max_batch_size"] == 4
    assert "dynamic_batching" in completed
    assert completed["input"][0]["dims"] == [1]
    assert completed["input"][0]["reshape"] == {"shape": []}
    assert bare["max_batch_size"] == 0
    assert (bare["input"][0]["dims"], bare["output"][0]["dims"]) == ([-1, 3], [1])
    values = np.array([[1], [2]], dtype=np.float32)
    np.testing.assert_array_equal(ask(server, "completed", {"x": values}, ["y"])["y"], -values)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_snippets_can_be_pasted(server: Server, capsys: pytest.CaptureFixture[str], protocol: str) -> None:
    for model in server.models:
        address = server.http if protocol == "http" else server.grpc
        exec(compile(snippet(server.control.config(model), address, protocol), model, "exec"), {})
    printed = capsys.readouterr().out
    assert "sum [[0. 0. 0. 0.]]" in printed
    assert "same [[b'text' b'text']]" in printed


def test_bytes_that_are_no_text_are_refused(server: Server) -> None:
    text = np.array([[b"\xff\xfe", b"x"]], dtype=object)
    with pytest.raises(InferenceServerException, match="input 'text' holds bytes that are no UTF-8 text"):
        ask(server, "strings", {"text": text}, ["same"])
    good = np.array([[b"x", b"y"]], dtype=object)
    assert ask(server, "strings", {"text": good}, ["same"])["same"].tolist() == [[b"x", b"y"]]


def test_bad_bytes_do_not_harm_the_requests_they_are_joined_with(server: Server) -> None:
    def one(number: int) -> bool:
        text = np.array([[b"\xff" if number % 4 == 0 else b"good", b"x"]], dtype=object)
        try:
            return bool((ask(server, "strings", {"text": text}, ["same"], "grpc")["same"] == text).all())
        except InferenceServerException as error:
            assert "no UTF-8 text" in str(error)
            return False

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(one, range(48))) == [number % 4 != 0 for number in range(48)]


def test_a_wrong_shape_is_refused(server: Server) -> None:
    wrong = np.ones((1, 5), dtype=np.float32)
    with pytest.raises(InferenceServerException, match=r"\[-1,4\]"):
        ask(server, "add", {"a": wrong, "b": wrong}, ["sum"])


def _statistics(server: Server, model: str) -> dict[str, int]:
    import tritonclient.http as triton

    with triton.InferenceServerClient(server.http) as client:
        found = client.get_inference_statistics(model)["model_stats"][0]
    return {name: int(found[name]) for name in ("execution_count", "inference_count")}
