"""What a server says of a failed load becomes one clear line."""

from __future__ import annotations

import pytest

from portinf.serving.client.control import IndexEntry
from portinf.serving.server.messages import clean, failed, index_problems, last_error, loaded

LOG = """I1122 12:28:32.083096 5935 model_lifecycle.cc:472] "loading: flat:1"
E1122 12:28:32.082070 5935 server.cc:241] "CudaDriverHelper has not been initialized."
E1122 12:28:11.790386 5694 model_lifecycle.cc:642] "failed to load 'add' version 1: Invalid argument: something is wrong"
E1122 12:28:11.790400 5694 model_repository_manager.cc:460] "Poll failed for model directory 'gone': at least one version"
I1122 12:28:34.666346 5935 model_lifecycle.cc:839] "successfully loaded 'flat'"
| model_repository_path[0]         | repo
"""


def entry(name: str, state: str, reason: str = "") -> IndexEntry:
    """One version of a model in the index."""
    return IndexEntry(name=name, version="1", state=state, reason=reason)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Internal: ConfigurationError: unable to load model 'a', configuration expects datatype TYPE_FP64 for input 'x', model "
            "provides TYPE_FP32\n\nAt:\n  /tmp/portinf-serve-x/backends/onnxruntime/portinf_onnx_checks.py(91): check\n",
            "unable to load model 'a', configuration expects datatype TYPE_FP64 for input 'x', model provides TYPE_FP32; "
            "correct config.pbtxt",
        ),
        (
            "Internal: Unable to initialize shared memory key 'portinf_aa_1' to requested size (1048576 bytes). If you are running "
            "Triton inside docker, use '--shm-size' flag. Error: No space left on device",
            "no room for the 1048576 bytes of shared memory that each instance needs: free or enlarge /dev/shm",
        ),
        ("Invalid argument: plain reason", "plain reason"),
        ("load failed for model 'a': version 1 is at UNAVAILABLE state: Internal: why;\n", "why"),
    ],
)
def test_codes_and_tracebacks_go_and_advice_comes(text: str, expected: str) -> None:
    assert clean(text) == expected


def test_models_that_are_not_ready() -> None:
    entries = [entry("good", "READY"), entry("bad", "UNAVAILABLE", "Internal: why"), entry("old", "UNAVAILABLE", "unloaded")]
    problems = index_problems(entries, ["good", "bad", "add", "nothing"], LOG)
    assert [(problem.model, problem.reason) for problem in problems] == [
        ("add", "something is wrong"),
        ("bad", "why"),
        ("nothing", "it was not loaded, and the server gives no reason"),
    ]


def test_the_log() -> None:
    assert loaded(LOG) == ["flat"]
    assert failed("add", LOG) == "something is wrong"
    assert last_error(LOG).startswith("Poll failed for model directory 'gone'")
    assert (
        last_error('I1122 12:28:32.083096 5935 a.cc:1] "fine"\nE1122 1:2:3.4 5 server.cc:241] "CudaDriverHelper has not"\n')
        == ""
    )
    assert last_error("E cannot start /none: no such file\n") == "cannot start /none: no such file"
    assert last_error("bash: error while loading shared libraries: libx.so\n").endswith("libx.so")
