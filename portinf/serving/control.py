"""Talks to a running server about its models: readiness, the repository index, configurations, load and unload."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from portinf.errors import ServingError
from portinf.serving.ports import HOST

__all__ = ["Control", "IndexEntry"]


@dataclass(frozen=True, kw_only=True)
class IndexEntry:
    """One model version in the server's repository index; version and state are empty where the server gives none."""

    name: str
    version: str
    state: str
    reason: str


class Control:
    """The HTTP side of one server on the loopback address."""

    def __init__(self, port: int) -> None:
        self._base = f"http://{HOST}:{port}/v2"
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
        answer: dict[str, Any] = self._ask("GET", f"/models/{model}/config", timeout=10)
        return answer

    def load(self, model: str, timeout: float) -> None:
        """Load a model, or load again what has changed of it; returns when it is ready."""
        self._ask("POST", f"/repository/models/{model}/load", timeout=timeout)

    def unload(self, model: str) -> None:
        """Unload all versions of a model."""
        self._ask("POST", f"/repository/models/{model}/unload", timeout=30)

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
