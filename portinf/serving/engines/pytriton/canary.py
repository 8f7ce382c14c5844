"""Makes the serving environment and tries it: a tiny model must answer with the right number of bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from portinf.core.errors import ServingError
from portinf.core.scratch import scratch_folder
from portinf.serving.engines.pytriton.environment import ServingEnvironment, environment
from portinf.triton.config import ModelConfig, TensorConfig, to_text
from portinf.triton.manifest import CONFIG

__all__ = ["prepare"]

_TIMEOUT_SECONDS = 120.0
_SIZE = 3


def prepare(folder: Path | None, report: Callable[[str], None]) -> ServingEnvironment:
    """Return the complete serving environment, making it first where it is missing.

    Raises:
        CannotError: it cannot be made on this machine.
        ServingError: its server does not answer rightly.
    """
    return environment(folder, report, _canary)


def _canary(made: ServingEnvironment) -> None:
    from portinf.serving.client.control import Control
    from portinf.serving.engines import EngineRequest
    from portinf.serving.engines.pytriton.command import command_for
    from portinf.serving.server.loading import await_ready, refuse_unready
    from portinf.serving.server.ports import Ports, choose_ports
    from portinf.serving.server.process import ServerProcess
    from portinf.serving.server.shared_memory import new_prefix

    with scratch_folder("portinf-canary-") as scratch:
        repository = scratch / "repository"
        _write_model(repository / "canary")
        ports = choose_ports(Ports(http=0, grpc=0, metrics=0))
        request = EngineRequest(
            repository=repository,
            models=("canary",),
            scratch=scratch,
            ports=ports,
            prefix=new_prefix(),
            complete=True,
            image=None,
            serving_env=made.folder,
            report=lambda line: None,
        )
        process = ServerProcess(command_for(made, request), request.prefix, scratch)
        try:
            control = Control(ports.http, ports.grpc)
            await_ready(process, control, 1, _TIMEOUT_SECONDS, request.report)
            refuse_unready(process, control, repository, ["canary"], str)
            _ask(ports.http)
        finally:
            process.stop(1)


def _write_model(folder: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    node = helper.make_node("Neg", ["x"], ["y"])
    inputs, outputs = ([helper.make_tensor_value_info(name, TensorProto.FLOAT, [_SIZE])] for name in ("x", "y"))
    graph = helper.make_graph([node], "canary", inputs, outputs)
    (folder / "1").mkdir(parents=True)
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), folder / "1" / "model.onnx")
    x, y = (TensorConfig(name=name, data_type="TYPE_FP32", dims=(_SIZE,)) for name in ("x", "y"))
    config = ModelConfig(name="canary", max_batch_size=0, inputs=(x,), outputs=(y,), platform="", backend="onnxruntime")
    (folder / CONFIG).write_text(to_text(config), encoding="utf-8")


def _ask(port: int) -> None:
    import numpy as np
    import tritonclient.http as triton

    from portinf.serving.server.ports import HOST

    values = np.arange(1, _SIZE + 1, dtype=np.float32)
    tensor = triton.InferInput("x", [_SIZE], "FP32")
    tensor.set_data_from_numpy(values)
    client = triton.InferenceServerClient(f"{HOST}:{port}")
    try:
        answer = client.infer("canary", [tensor]).as_numpy("y")
    except triton.InferenceServerException as error:
        raise ServingError(f"the canary request to the new serving environment failed: {error}") from error
    finally:
        client.close()
    if answer is None or answer.nbytes != values.nbytes or not np.array_equal(answer, -values):
        raise ServingError(
            f"the canary request to the new serving environment was answered with {answer}, expected {-values}: "
            "its Python packages do not fit its server; remove it and try again"
        )
