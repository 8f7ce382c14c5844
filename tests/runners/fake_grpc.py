"""A v2 gRPC server on loopback that answers exactly what a test tells it to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

Answer = Callable[[Any, Any], Any]


class Service(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """One model, ``m``: float input ``x`` and output ``y`` of shape [-1, 2], batched."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def ModelMetadata(self, request: Any, context: Any) -> Any:
        if request.name != "m":
            context.abort(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{request.name}' is not found")
        entry = service_pb2.ModelMetadataResponse.TensorMetadata
        return service_pb2.ModelMetadataResponse(
            name="m",
            inputs=[entry(name="x", datatype="FP32", shape=[-1, 2]), entry(name="n", datatype="INT64", shape=[-1, -1])],
            outputs=[entry(name="y", datatype="FP32", shape=[-1, 2])],
        )

    def ModelConfig(self, request: Any, context: Any) -> Any:
        config = model_config_pb2.ModelConfig(name="m", max_batch_size=8)
        config.input.add(name="n", optional=True)
        return service_pb2.ModelConfigResponse(config=config)

    def ModelReady(self, request: Any, context: Any) -> Any:
        return service_pb2.ModelReadyResponse(ready=True)

    def ModelInfer(self, request: Any, context: Any) -> Any:
        return self.answer(request, context)


def reply(shape: list[int], raw: bytes, name: str = "y", datatype: str = "FP32") -> Any:
    """Return an answer with one output."""
    response = service_pb2.ModelInferResponse(model_name="m")
    response.outputs.add(name=name, datatype=datatype, shape=shape)
    response.raw_output_contents.append(raw)
    return response


@contextmanager
def serve(answer: Answer) -> Iterator[str]:
    """Yield the address ``host:port`` of a running server."""
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2), options=options)
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Service(answer), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()
