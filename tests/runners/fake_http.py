"""A v2 HTTP server on loopback that answers exactly what a test tells it to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def tensor(name: str, datatype: str, shape: list[int]) -> dict[str, Any]:
    """Return one entry of a model's metadata."""
    return {"name": name, "datatype": datatype, "shape": shape}


@dataclass(kw_only=True)
class Script:
    """What the server answers.

    Attributes:
        metadata: of the model ``m``; any other model is unknown.
        config: of the model.
        outputs: entries of the answer with their raw bytes, or None for the JSON form.
        error: status and text of a refusal of infer.
        delay: seconds before an answer to infer.
        received: header and body of the last infer request.
    """

    metadata: dict[str, Any]
    config: dict[str, Any] = field(default_factory=lambda: {"max_batch_size": 0})
    outputs: list[tuple[dict[str, Any], bytes | None]] = field(default_factory=list)
    error: tuple[int, str] | None = None
    delay: float = 0.0
    ready: bool = True
    received: dict[str, Any] = field(default_factory=dict)
    body: bytes = b""


def _handler(script: Script) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent."""

        def send(self, status: int, body: bytes, header_length: int | None = None) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if header_length is not None:
                self.send_header("Inference-Header-Content-Length", str(header_length))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            if not self.path.startswith("/v2/models/m"):
                self.send(404, b'{"error": "Request for unknown model: not found"}')
            elif self.path.endswith("/ready"):
                self.send(200 if script.ready else 400, b"")
            else:
                data = script.config if self.path.endswith("/config") else script.metadata
                self.send(200, json.dumps(data).encode())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            length = int(self.headers.get("Inference-Header-Content-Length", len(body)))
            script.received, script.body = json.loads(body[:length]), body[length:]
            time.sleep(script.delay)
            if script.error is not None:
                self.send(script.error[0], json.dumps({"error": script.error[1]}).encode())
                return
            entries = []
            for entry, raw in script.outputs:
                entries.append(entry if raw is None else {**entry, "parameters": {"binary_data_size": len(raw)}})
            header = json.dumps({"model_name": "m", "model_version": "1", "outputs": entries}).encode()
            self.send(200, header + b"".join(raw or b"" for _, raw in script.outputs), len(header))

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gave up waiting is part of a test."""


@contextmanager
def serve(script: Script) -> Iterator[str]:
    """Yield the address ``host:port`` of a running server."""
    server = _Server(("127.0.0.1", 0), _handler(script))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
