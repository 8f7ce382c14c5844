"""Asks a live model over the v2 protocol (gRPC or HTTP) and checks every answer against its own byte sizes."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NoReturn
from urllib.parse import quote, unquote, urlsplit

import numpy as np

from portinf.core.batch import Array, Arrays
from portinf.core.errors import PortinfError, RunnerError, ServingError, UsageError, first_line
from portinf.core.optional import require
from portinf.core.signature import Axis, Signature, TensorSpec, dtype_by_kserve, dtype_by_numpy, maximums_from
from portinf.runners.endpoint.decode import grpc_array, http_array
from portinf.runners.endpoint.reshape import Reshape, reshapes
from portinf.runners.endpoint.shared_memory import SharedRegions, known_outputs
from portinf.runners.protocol import RunnerInfo

__all__ = ["Address", "EndpointRunner"]

# What a server answers when the model, not the transport or the server, turns a request down.
_REFUSALS = ("INVALID_ARGUMENT", "INTERNAL", "OUT_OF_RANGE", "UNIMPLEMENTED", "UNKNOWN", "400", "422", "500", "501")
# Texts that come with such a status although the server or the deployment is at fault.
_FAULTS = ("not healthy", "unexpected inference output", "unknown model", "not ready", "shared memory")


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a live model is: ``grpc://host:port/model[/version]`` or ``http://...``; in a model's name, ``%20`` is a space.

    ``grpcs`` and ``https`` mean TLS; ``grpc+shm`` and ``http+shm`` hand tensors over in shared memory.
    """

    scheme: str
    netloc: str
    model: str
    version: str = ""
    shared: bool = False

    @staticmethod
    def parse(uri: str) -> Address:
        """Read a URI.

        Raises:
            UsageError: it has another form.
        """
        form = "expected grpc://host:port/model[/version] or http://host:port/model[/version]"
        try:
            parts = urlsplit(uri)
            scheme, shared = parts.scheme.removesuffix("+shm"), parts.scheme.endswith("+shm")
            port = parts.port
        except ValueError as error:
            raise UsageError(f"endpoint '{uri}': {error}; {form}") from error
        names = parts.path.strip("/").split("/")
        version = names[1] if len(names) == 2 else ""
        whole = scheme in ("grpc", "grpcs", "http", "https") and parts.hostname and port and not parts.query + parts.fragment
        if not whole or parts.username or len(names) > 2 or not names[0] or (version and not version.isdecimal()):
            raise UsageError(f"endpoint '{uri}': {form}")
        return Address(scheme=scheme, netloc=parts.netloc, model=unquote(names[0]), version=version, shared=shared)

    @property
    def protocol(self) -> str:
        """``grpc`` or ``http``."""
        return self.scheme[:4]

    @property
    def secure(self) -> bool:
        """Whether the connection uses TLS."""
        return self.scheme.endswith("s")


class EndpointRunner:
    """One model on a live server; ``infer`` may be called from the thread that opened it.

    Arrays are as the model sees them: what the configuration's ``reshape`` changes on the way is changed back, so that an
    output of one number per row has shape [N], not [N, 1].

    Args:
        uri: ``grpc://host:port/model[/version]`` or ``http://host:port/model[/version]``; ``grpc+shm`` and ``http+shm`` for
            shared memory.
        timeout: seconds for one request.

    Attributes:
        info: with versions and parameters; without batching Triton has no shape [], and says [1] for it.

    Raises:
        UsageError: the URI has another form.
        ServingError: no server answers there, or it has no such model ready.
    """

    def __init__(self, uri: str, *, timeout: float = 60.0) -> None:
        self._address = Address.parse(uri)
        self._name = uri
        self._timeout = timeout
        self._max_batch_size = 0
        self._reshapes: dict[str, Reshape] = {}
        self._api: Any = require(f"tritonclient.{self._address.protocol}", "")
        self._client: Any = self._connect()
        try:
            self._signature = self._described()
        except BaseException:
            self._client.close()
            raise

    @property
    def name(self) -> str:
        """How reports call this side."""
        return self._name

    @property
    def signature(self) -> Signature:
        """From the server: the batch axis is ``batch``, any other dynamic axis has a label of its own."""
        return self._signature

    def infer(self, inputs: Mapping[str, Array]) -> Arrays:
        """Answer one request; see `portinf.runners.protocol.Runner.infer`.

        More rows than the model's ``max_batch_size`` are sent in several requests: a batched model's rows are independent.

        Raises:
            RunnerError: the model refuses these inputs, or the bytes of its answer do not fit their own shape and type.
            ServingError: no answer.
        """
        rows = {array.shape[0] if array.ndim else 0 for array in inputs.values()}
        most = self._max_batch_size
        if not most or len(rows) != 1 or max(rows) <= most:
            return self._request(inputs)
        starts = range(0, rows.pop(), most)
        parts = [self._request({name: array[k : k + most] for name, array in inputs.items()}) for k in starts]
        return {name: self._joined(name, [part[name] for part in parts]) for name in parts[0]}

    def _joined(self, name: str, parts: list[Array]) -> Array:
        try:
            return np.concatenate(parts)
        except ValueError as error:
            shapes = ", ".join(str(list(part.shape)) for part in parts)
            raise RunnerError(f"{self.name}: output '{name}' of a split batch does not fit together: {shapes}") from error

    def _request(self, inputs: Mapping[str, Array]) -> Arrays:
        if not self._address.shared:
            return self._asked(inputs, None)
        plain = [(name, self._plain(name, array)) for name, array in inputs.items()]
        rows = {array.shape[0] if array.ndim else 0 for array in inputs.values()}
        known = known_outputs(self._signature.outputs, rows.pop() if self._max_batch_size and len(rows) == 1 else 0)
        known = [output for output in known if output[0] not in self._reshapes]
        with SharedRegions(self._client, self.name, plain, known) as regions:
            return self._asked(inputs, regions)

    def _asked(self, inputs: Mapping[str, Array], regions: SharedRegions | None) -> Arrays:
        request = [self._input(name, array, regions) for name, array in inputs.items()]
        names = [spec.name for spec in self._signature.outputs]
        requested = [self._api.InferRequestedOutput(name) for name in names]
        for output in requested:
            if regions is not None:
                regions.point("out", output.name(), output)
        options = {"client_timeout": self._timeout} if self._address.protocol == "grpc" else {}
        model = {"model_name": self._address.model, "model_version": self._address.version}
        try:
            result = self._client.infer(**model, inputs=request, outputs=requested, **options)
        except Exception as error:  # noqa: BLE001 (tritonclient, gevent and the HTTP client share no base)
            self._fail(error)
        shared = {name: None if regions is None else regions.read(name) for name in names}
        return {name: self._output(result, name, shared[name]) for name in names}

    def __enter__(self) -> EndpointRunner:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()

    def _connect(self) -> Any:
        """Return a client; tritonclient's gRPC channel already allows messages of INT32_MAX bytes, the protocol's limit."""
        address = self._address
        if address.protocol == "grpc":
            return self._api.InferenceServerClient(address.netloc, ssl=address.secure)
        times = {"connection_timeout": self._timeout, "network_timeout": self._timeout}
        context = {"ssl_context_factory": require("ssl", "").create_default_context} if address.secure else {}
        return self._api.InferenceServerClient(address.netloc, ssl=address.secure, **times, **context)

    def _ask(self, method: str, **options: Any) -> Any:
        if self._address.protocol == "grpc":
            options["client_timeout"] = self._timeout
        try:
            return getattr(self._client, method)(self._address.model, self._address.version, **options)
        except Exception as error:  # noqa: BLE001 (tritonclient, gevent and the HTTP client share no base)
            self._fail(error, opening=True)

    def _described(self) -> Signature:
        form = {"as_json": True} if self._address.protocol == "grpc" else {}
        metadata, config = self._ask("get_model_metadata", **form), self._ask("get_model_config", **form)
        if not self._ask("is_model_ready"):
            raise ServingError(f"{self.name}: the server has this model, but it is not ready; look at the server's log")
        config = config.get("config", config)
        self._max_batch_size = int(config.get("max_batch_size", 0))
        parameters = config.get("parameters") or {}
        self.info = RunnerInfo(
            scalars=False,
            versions=tuple(str(number) for number in metadata.get("versions") or ()),
            parameters={name: str(value.get("string_value", "")) for name, value in parameters.items()},
        )
        self._reshapes = reshapes(config)
        batched = self._max_batch_size > 0
        optional = {entry["name"] for entry in config.get("input", []) if entry.get("optional")}
        try:
            return Signature(
                inputs=tuple(self._spec(entry, batched, entry["name"] in optional) for entry in metadata.get("inputs", [])),
                outputs=tuple(self._spec(entry, batched, False) for entry in metadata["outputs"]),
            )
        except KeyError as error:
            raise ServingError(f"{self.name}: the model's metadata has no {error}: not a v2 inference server?") from error

    def _spec(self, entry: Mapping[str, Any], batched: bool, optional: bool) -> TensorSpec:
        name = str(entry["name"])
        dims = [int(n) for n in entry.get("shape", [])]
        dims = list(self._reshapes[name].to_model(dims)) if name in self._reshapes else dims
        largest = maximums_from(self.info.parameters)
        axes = [
            Axis(label=f"{name}_{number}", maximum=largest.get((name, number))) if n < 0 else Axis(size=n)
            for number, n in enumerate(dims)
        ]
        shape = (Axis(label="batch", minimum=1, maximum=largest.get((name, 0))), *axes[1:]) if batched else tuple(axes)
        return TensorSpec(name=name, dtype=dtype_by_kserve(entry["datatype"]).numpy, shape=shape, optional=optional)

    def _plain(self, name: str, array: Array) -> Array:
        """Return an input as the server takes it."""
        plain = array.astype(object) if dtype_by_numpy(str(array.dtype)).kserve == "BYTES" else array
        return plain.reshape(self._wire_shape(name, array))

    def _input(self, name: str, array: Array, regions: SharedRegions | None) -> Any:
        plain = self._plain(name, array)
        tensor = self._api.InferInput(name, list(plain.shape), dtype_by_numpy(str(array.dtype)).kserve)
        if regions is None or not regions.point("in", name, tensor):
            tensor.set_data_from_numpy(plain)
        return tensor

    def _wire_shape(self, name: str, array: Array) -> tuple[int, ...]:
        if name in self._reshapes:
            return self._reshapes[name].to_wire(array.shape)
        return array.shape or (() if self._max_batch_size else (1,))

    def _output(self, result: Any, name: str, shared: Array | None) -> Array:
        array = self._decoded(result, name) if shared is None else self._held(result, name, shared)
        return array.reshape(self._reshapes[name].to_model(array.shape)) if name in self._reshapes else array

    def _decoded(self, result: Any, name: str) -> Array:
        entry = result.get_output(name)
        if entry is None:
            raise ServingError(f"{self.name}: the answer has no output '{name}', which the model's metadata names")
        try:
            if self._address.protocol == "grpc":
                return grpc_array(result, entry)
            return http_array(result, entry)
        except (ValueError, struct.error, KeyError, TypeError, PortinfError) as error:
            shape = [int(n) for n in (entry["shape"] if isinstance(entry, dict) else entry.shape)]
            what = f"{self.name}: output '{name}', shape {shape}: malformed answer: {first_line(error)}"
            raise RunnerError(f"{what}; look at the server's log") from error

    def _held(self, result: Any, name: str, array: Array) -> Array:
        """Hold the shape that the server says against the one that was read from shared memory."""
        entry = result.get_output(name)
        shape = tuple(int(n) for n in (entry["shape"] if isinstance(entry, dict) else entry.shape))
        if shape != array.shape:
            raise RunnerError(
                f"{self.name}: output '{name}': expected shape {list(array.shape)}, the answer says {list(shape)}"
            )
        return array

    def _fail(self, error: Exception, opening: bool = False) -> NoReturn:
        """Turn what a client library raised into one line: the model refused, or the serving failed."""
        if isinstance(error, PortinfError):
            raise error
        status = str(getattr(error, "status", lambda: None)() or "").removeprefix("StatusCode.")
        text = re.sub(r"\s+", " ", str(getattr(error, "message", lambda: None)() or first_line(error)))[:500]
        fault = opening or status not in _REFUSALS or any(part in text.lower() for part in _FAULTS)
        if not fault:
            raise RunnerError(f"{self.name}: {text}") from error
        raise ServingError(f"{self.name}: {self._diagnosis(error, status, text)}") from error

    def _diagnosis(self, error: Exception, status: str, text: str) -> str:
        if status == "DEADLINE_EXCEEDED" or isinstance(error, TimeoutError):
            return f"no answer within {self._timeout:g} s"
        if isinstance(error, OSError) or (status == "UNAVAILABLE" and "model" not in text.lower()):
            return f"no server answers at {self._address.netloc}: {text}; start one with: portinf serve-local"
        escaped = self._address.protocol == "http" and quote(self._address.model, safe="") != self._address.model
        hint = "; Triton does not decode escapes in a URL: use grpc:// for a model of this name" if escaped else ""
        return (f"{text} [{status}]" if status else text) + hint
