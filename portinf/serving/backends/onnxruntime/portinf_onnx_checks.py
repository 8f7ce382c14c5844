"""Holds a Triton model configuration against an ONNX session, with the load-time rules of the C++ onnxruntime backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from portinf_onnx_session import ConfigurationError  # type: ignore[import-not-found]

__all__ = ["Tensor", "check", "config_shape", "initializers", "inputs", "outputs"]

# ONNX Runtime's type names -> Triton's.  BF16 has no numpy type on this path and is refused.
_TYPES = {
    "tensor(bool)": "TYPE_BOOL",
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(uint16)": "TYPE_UINT16",
    "tensor(uint32)": "TYPE_UINT32",
    "tensor(uint64)": "TYPE_UINT64",
    "tensor(int8)": "TYPE_INT8",
    "tensor(int16)": "TYPE_INT16",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(float16)": "TYPE_FP16",
    "tensor(float)": "TYPE_FP32",
    "tensor(double)": "TYPE_FP64",
    "tensor(string)": "TYPE_STRING",
}
_CONTROLS = {"int32_false_true": "TYPE_INT32", "fp32_false_true": "TYPE_FP32", "bool_false_true": "TYPE_BOOL"}


@dataclass(frozen=True)
class Tensor:
    """One input or output of the ONNX model: its Triton type and its dims, -1 where the size is free, [] for a scalar."""

    name: str
    type: str
    dims: list[int]


def inputs(session: Any) -> dict[str, Tensor]:
    """Return the required inputs of an ONNX session by name."""
    return _tensors(session.get_inputs())


def initializers(session: Any) -> dict[str, Tensor]:
    """Return the initializers that a request may override, by name: these are what optional inputs stand for."""
    return _tensors(session.get_overridable_initializers())


def outputs(session: Any) -> dict[str, Tensor]:
    """Return the outputs of an ONNX session by name."""
    return _tensors(session.get_outputs())


def config_shape(entry: dict[str, Any]) -> list[int]:
    """Return the shape that the model itself sees: ``reshape`` where given, else ``dims``; without the batch axis."""
    reshape = entry.get("reshape")
    shape = reshape.get("shape") or [] if reshape is not None else entry.get("dims") or []
    return [int(size) for size in shape]


def check(config: dict[str, Any], session: Any) -> None:
    """Check count, names, types and dims of all inputs and outputs.

    Raises:
        ConfigurationError: they do not fit, or the configuration uses a feature that cannot be done faithfully here.
    """
    _refuse_unfaithful(config)
    name = config.get("name", "")
    batching = int(config.get("max_batch_size", 0)) > 0
    required = inputs(session)
    entries = config.get("input") or []
    controls = _controls(config)
    made = config.get("batch_input") or []
    expected = sum(not entry.get("optional", False) for entry in entries) + len(controls) + len(made)
    if len(required) != expected:
        raise ConfigurationError(
            f"unable to load model '{name}', configuration expects {expected} inputs, model provides {len(required)}"
        )
    allowed = {**required, **initializers(session)}
    _check_ragged(config, allowed, batching)
    for entry in entries:
        if entry.get("optional", False) and batching:
            raise ConfigurationError(
                f"unable to load model '{name}', optional input '{entry['name']}' is not supported for models that support batching"
            )
        _check_entry(name, "input", entry, allowed, batching, loose=bool(entry.get("allow_ragged_batch")))
    for control, kind in controls.items():
        _check_control(name, control, kind, allowed, batching)
    provided = outputs(session)
    scattered = {name for entry in config.get("batch_output") or [] for name in entry["target_name"]}
    for entry in config.get("output") or []:
        _check_entry(name, "output", entry, provided, batching, loose=entry["name"] in scattered)


def _tensors(nodes: Any) -> dict[str, Tensor]:
    found = {}
    for node in nodes:
        if node.type not in _TYPES:
            raise ConfigurationError(
                f"tensor '{node.name}' has the type {node.type}, which this local server cannot carry faithfully"
            )
        dims = [size if isinstance(size, int) and size >= 0 else -1 for size in node.shape or []]
        found[node.name] = Tensor(node.name, _TYPES[node.type], dims)
    return found


def _refuse_unfaithful(config: dict[str, Any]) -> None:
    if (config.get("sequence_batching") or {}).get("state"):
        raise ConfigurationError(
            f"unable to load model '{config.get('name', '')}': implicit state (sequence_batching.state) cannot be served "
            "faithfully by this local server; serve it with the stock container"
        )


def _check_ragged(config: dict[str, Any], allowed: dict[str, Tensor], batching: bool) -> None:
    model = config.get("name", "")
    made = config.get("batch_input") or []
    ragged = [entry["name"] for entry in config.get("input") or [] if entry.get("allow_ragged_batch")]
    if (made or ragged or config.get("batch_output")) and not batching:
        raise ConfigurationError(f"unable to load model '{model}', ragged batching needs a max_batch_size greater than 0")
    for name in ragged:
        if name in allowed and allowed[name].dims != [-1]:
            raise ConfigurationError(
                f"unable to load model '{model}', configuration expects model provides input with shape [-1] for ragged input "
                f"'{name}', model provides {allowed[name].dims}"
            )
    for name in (name for entry in made for name in entry["target_name"]):
        if name not in allowed:
            raise ConfigurationError(f"unable to load model '{model}', batch input '{name}' is not provided by the model")


def _check_entry(
    model: str, role: str, entry: dict[str, Any], known: dict[str, Tensor], batching: bool, *, loose: bool
) -> None:
    name, kind = entry["name"], entry["data_type"]
    tensor = known.get(name)
    if tensor is None:
        raise ConfigurationError(
            f"unable to load model '{model}', unexpected inference {role} '{name}', allowed {role}s are: {', '.join(sorted(known))}"
        )
    if kind != tensor.type:
        raise ConfigurationError(
            f"unable to load model '{model}', configuration expects datatype {kind} for {role} '{name}', model provides {tensor.type}"
        )
    shape = config_shape(entry)
    if loose:
        return
    if tensor.dims:
        _check_dims(model, tensor, shape, batching, exact=role == "output")
    elif any(size != 1 for size in shape):
        raise ConfigurationError(
            f"unable to load model '{model}', scalar tensor '{name}', should only provide 1 in the model configuration when the "
            f"model doesn't support batching. Model configuration provided: {shape}."
        )


def _check_dims(model: str, tensor: Tensor, shape: list[int], batching: bool, exact: bool) -> None:
    if batching and tensor.dims[0] != -1:
        raise ConfigurationError(
            f"model '{model}', tensor '{tensor.name}': for the model to support batching the shape should have at least 1 "
            f"dimension and the first dimension must be -1; but shape expected by the model is {tensor.dims}"
        )
    full = [-1, *shape] if batching else shape
    fits = len(full) == len(tensor.dims) and all(
        own == given for own, given in zip(tensor.dims, full, strict=True) if exact or own != -1
    )
    if not fits:
        note = " (an initial batch dimension because max_batch_size > 0, then the configured shape)" if batching else ""
        raise ConfigurationError(
            f"model '{model}', tensor '{tensor.name}': the model expects {len(tensor.dims)} dimensions (shape {tensor.dims}) but the "
            f"model configuration specifies {len(full)} dimensions (shape {full}){note}"
        )


def _controls(config: dict[str, Any]) -> dict[str, str]:
    found = {}
    for entry in (config.get("sequence_batching") or {}).get("control_input") or []:
        for control in entry.get("control") or []:
            kinds = [kind for key, kind in _CONTROLS.items() if control.get(key)]
            found[entry["name"]] = kinds[0] if kinds else control.get("data_type", "")
    return found


def _check_control(model: str, name: str, kind: str, known: dict[str, Tensor], batching: bool) -> None:
    tensor = known.get(name)
    if tensor is None:
        raise ConfigurationError(f"configuration specified sequence control '{name}', but model does not provide that input")
    dims = tensor.dims[1:] if batching else tensor.dims
    if dims != [1]:
        raise ConfigurationError(
            f"unable to load model '{model}', sequence control '{name}' in model has dims {dims} but dims [1] is expected"
        )
    if kind != tensor.type:
        raise ConfigurationError(
            f"unable to load model '{model}', sequence control '{name}', the model expects data-type {tensor.type} but the model "
            f"configuration specifies data-type {kind}"
        )
