"""Talks to a running server about its models: readiness, the repository index, configurations, load and unload."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from portinf.core.errors import ServingError
from portinf.core.optional import require
from portinf.serving.server.ports import HOST

__all__ = ["Control", "IndexEntry", "in_a_url"]


# No proxy: the server listens on this machine only. The reason of a failed load comes as metadata, and may be long.
_CHANNEL = [("grpc.enable_http_proxy", 0), ("grpc.max_metadata_size", 1 << 20)]


@dataclass(frozen=True, kw_only=True)
class IndexEntry:
    """One model version in the server's repository index; version and state are empty where the server gives none."""

    name: str
    version: str
    state: str
    reason: str


def in_a_url(model: str) -> bool:
    """Say whether HTTP can name a model: Triton takes the path of a URL as it is, with the escapes of other characters in it."""
    return quote(model, safe="") == model


class Control:
    """The two sides of one server on the loopback address: HTTP, and gRPC for models that a URL cannot name."""

    def __init__(self, http_port: int, grpc_port: int) -> None:
        self._base = f"http://{HOST}:{http_port}/v2"
        self._grpc = f"{HOST}:{grpc_port}"
        # No proxy: the server listens on this machine only.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def is_ready(self) -> bool:
        """Say whether the server answers and is ready."""
        try:
            self._ask("GET", "/health/ready", timeout=2)
        except ServingError:
            return False
        return True

    def index(self) -> list[IndexEntry]:
        """Return every model version the server knows of."""
        entries = self._ask("POST", "/repository/index", timeout=10)
        return [
            IndexEntry(
                name=entry["name"],
                version=entry.get("version", ""),
                state=entry.get("state", ""),
                reason=entry.get("reason", ""),
            )
            for entry in entries
        ]

    def ready_versions(self, model: str) -> list[int]:
        """Return the versions of a model that are ready, ascending."""
        return sorted(int(entry.version) for entry in self.index() if entry.name == model and entry.state == "READY")

    def config(self, model: str) -> dict[str, Any]:
        """Return the configuration of a loaded model as the server sees it."""
        answer: dict[str, Any]
        if in_a_url(model):
            answer = self._ask("GET", f"/models/{model}/config", timeout=10)
        else:
            answer = self._call(lambda client: client.get_model_config(model, as_json=True, client_timeout=10))["config"]
        return answer

    def load(self, model: str, timeout: float) -> None:
        """Load a model, or load again what has changed of it; returns when it is ready."""
        self._order("load", model, timeout)

    def unload(self, model: str) -> None:
        """Unload all versions of a model."""
        self._order("unload", model, 30)

    def _order(self, verb: str, model: str, timeout: float) -> None:
        if in_a_url(model):
            self._ask("POST", f"/repository/models/{model}/{verb}", timeout=timeout)
        else:
            self._call(lambda client: getattr(client, f"{verb}_model")(model, client_timeout=timeout))

    def _call(self, ask: Callable[[Any], Any]) -> Any:
        api = require("tritonclient.grpc", "")
        with api.InferenceServerClient(self._grpc, channel_args=_CHANNEL) as client:
            try:
                return ask(client)
            except api.InferenceServerException as error:
                raise ServingError(str(error.message())) from error

    def _ask(self, method: str, path: str, timeout: float) -> Any:
        request = urllib.request.Request(self._base + path, method=method, data=b"" if method == "POST" else None)
        try:
            with self._opener.open(request, timeout=timeout) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise ServingError(_reason(error.read())) from error
        except (OSError, http.client.HTTPException) as error:
            raise ServingError(f"no answer from {self._base}{path}: {error}") from error
        return json.loads(text) if text.strip() else None


def _reason(text: bytes) -> str:
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text.decode(errors="replace").strip() or "no reason given"
