"""Triton's model configuration: from a signature or a config.pbtxt, typed or as the official message, and back to text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portinf.core.errors import CannotError, UnreadableError, UsageError, first_line
from portinf.core.optional import require
from portinf.core.signature import Axis, Signature, TensorSpec, dtype_by_numpy, maximums_told

__all__ = [
    "BACKENDS",
    "ENGINE_PLATFORM",
    "PLATFORM",
    "Accelerator",
    "ModelConfig",
    "TensorConfig",
    "check_model_name",
    "config_of",
    "declared_tolerance",
    "difference",
    "from_text",
    "message_text",
    "read_message",
    "safe_name",
    "to_text",
]

THREADS = "intra_op_thread_count"
PLATFORM = "onnxruntime_onnx"
ENGINE_PLATFORM = "tensorrt_plan"
BACKENDS = {  # by platform, which names the backend's file format
    PLATFORM: "onnxruntime",
    ENGINE_PLATFORM: "tensorrt",
    "pytorch_libtorch": "pytorch",
    "tensorflow_savedmodel": "tensorflow",
    "tensorflow_graphdef": "tensorflow",
    "ensemble": "ensemble",
}
DYNAMIC = -1
NAME_LENGTH = 200  # file systems end at 255 bytes; versions and temporary names need some


@dataclass(frozen=True, kw_only=True)
class TensorConfig:
    """One ``input`` or ``output`` of config.pbtxt.

    Attributes:
        name: tensor name, byte for byte the model's.
        data_type: ``TYPE_...``.
        dims: lengths as a client sends them, -1 where dynamic, without the batch axis of a batching model.
        reshape: lengths as the model sees them, where they differ; empty for none beside the batch axis.
        optional: the client may leave it out (inputs of models without batching).
    """

    name: str
    data_type: str
    dims: tuple[int, ...]
    reshape: tuple[int, ...] | None = None
    optional: bool = False


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What portinf writes into a config.pbtxt; other keys of an existing file are not read.

    Attributes:
        name: model name, equal to the folder's.
        max_batch_size: 0 for a model without a batch axis of its own.
        inputs, outputs: in the order of the signature.
        dynamic_batching: the server may join requests into one batch.
        platform: the official name of the backend's file format.
        one_thread: the model is correct on one intra-op thread only.
        accelerator: what runs parts of the model on a GPU; None for the backend's own choice.
        backend: where ``platform`` does not name it; such a model has one instance, on the CPU.
        parameters: texts by name, read by the backend and by clients.
    """

    name: str
    max_batch_size: int
    inputs: tuple[TensorConfig, ...]
    outputs: tuple[TensorConfig, ...]
    dynamic_batching: bool = False
    platform: str = PLATFORM
    one_thread: bool = False
    accelerator: Accelerator | None = None
    backend: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)


def check_model_name(name: str) -> str:
    """Return a model name that is safe as the name of a folder.

    Raises:
        UsageError: it is not; the message proposes one that is.
    """
    if len(name) <= NAME_LENGTH and re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        return name
    raise UsageError(
        f"model name {name!r}: expected letters, digits, '_', '-' and '.', the first one a letter, digit or '_', "
        f"at most {NAME_LENGTH} in all; for example --name {safe_name(name)}"
    )


def safe_name(text: str) -> str:
    """Make a model name out of any text, for example the stem of a file."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text).lstrip(".-")[:NAME_LENGTH].rstrip(".") or "model"


def config_of(name: str, signature: Signature, max_batch_size: int, *, one_thread: bool = False) -> ModelConfig:
    """Write a signature down as Triton sees it; with ``max_batch_size`` > 0 axis 0 of every tensor is the batch.

    Raises:
        UsageError: the model name is not safe, or the batch size is negative.
        CannotError: a tensor cannot be served (unknown rank, type, length 0, no batch axis); the message names it.
    """
    if max_batch_size < 0:
        raise UsageError(f"max_batch_size {max_batch_size}: expected 0 (no batching) or more")
    batched = max_batch_size > 0
    return ModelConfig(
        name=check_model_name(name),
        max_batch_size=max_batch_size,
        inputs=tuple(_tensor(spec, batched=batched) for spec in signature.inputs),
        outputs=tuple(_tensor(spec, batched=batched) for spec in signature.outputs),
        dynamic_batching=batched,
        one_thread=one_thread,
        parameters=maximums_told(signature),
    )


def _tensor(spec: TensorSpec, *, batched: bool) -> TensorConfig:
    if spec.shape is None:
        raise CannotError(f"tensor '{spec.name}': its rank is not known, and a served tensor needs one; give its axes")
    if spec.optional and batched:
        raise CannotError(f"input '{spec.name}' is optional: Triton takes that only with --max-batch-size 0")
    shape = _without_batch(spec, spec.shape) if batched else spec.shape
    dims = tuple(_length(spec.name, axis) for axis in shape)
    # A row without axes travels as [1]. Only a batching model may say so with an empty reshape: without batching the
    # server refuses an empty reshape, and the ONNX Runtime backend takes [1] for a scalar by itself.
    return TensorConfig(
        name=spec.name,
        data_type=_data_type(spec),
        dims=dims or (1,),
        reshape=() if batched and not dims else None,
        optional=spec.optional,
    )


def _without_batch(spec: TensorSpec, shape: tuple[Axis, ...]) -> tuple[Axis, ...]:
    if not shape or shape[0].label is None:
        raise CannotError(f"tensor '{spec.name}' {spec.shape_text()}: with batching, axis 0 is the batch and must be dynamic")
    return shape[1:]


def _length(name: str, axis: Axis) -> int:
    if axis.size is None:
        return DYNAMIC
    if axis.size < 1:
        raise CannotError(f"tensor '{name}': an axis of fixed length {axis.size} cannot be served: Triton needs 1 or more")
    return axis.size


def _data_type(spec: TensorSpec) -> str:
    triton = dtype_by_numpy(spec.dtype).triton
    if triton == "TYPE_BF16":
        raise CannotError(
            f"tensor '{spec.name}': Triton's ONNX Runtime backend has no bfloat16; cast it to float32 at the model's edge"
        )
    return triton


def _proto() -> Any:
    return require("tritonclient.grpc.model_config_pb2", "")


def to_text(config: ModelConfig) -> str:
    """Return the text of a config.pbtxt, written by the official protobuf library."""
    proto = _proto()
    message = proto.ModelConfig(name=config.name, platform=config.platform, max_batch_size=config.max_batch_size)
    for tensors, column in ((config.inputs, message.input), (config.outputs, message.output)):
        for tensor in tensors:
            entry = column.add(name=tensor.name, data_type=proto.DataType.Value(tensor.data_type), dims=tensor.dims)
            if tensor.reshape is not None:
                entry.reshape.SetInParent()
                entry.reshape.shape.extend(tensor.reshape)
            if tensor.optional:
                entry.optional = True
    if config.dynamic_batching:
        message.dynamic_batching.SetInParent()
    if config.one_thread:
        message.parameters[THREADS].string_value = "1"
    if config.accelerator is not None:
        message.optimization.execution_accelerators.gpu_execution_accelerator.add(
            name=config.accelerator.name, parameters=dict(config.accelerator.parameters)
        )
    if config.backend:
        message.backend = config.backend
        message.instance_group.add(count=1, kind=proto.ModelInstanceGroup.KIND_CPU)
    for name, value in config.parameters.items():
        message.parameters[name].string_value = value
    return message_text(message)


def message_text(message: Any) -> str:
    """Return the text of a ``ModelConfig`` message."""
    text_format = require("google.protobuf.text_format", "")
    return str(text_format.MessageToString(message, as_utf8=True, use_short_repeated_primitives=True))


def read_message(path: Path) -> Any:
    """Return the ``ModelConfig`` message of a config.pbtxt, with all its keys; None if there is no such file.

    Raises:
        UnreadableError: not Triton's model configuration; the message gives line and column.
    """
    if not path.exists():
        return None
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableError(f"{path}: cannot be read: {first_line(error)}") from error
    return _parsed(text, str(path))


def _parsed(text: str, where: str) -> Any:
    text_format = require("google.protobuf.text_format", "")
    try:
        return text_format.Parse(text, _proto().ModelConfig())
    except text_format.ParseError as error:
        raise UnreadableError(f"{where}: not a Triton model configuration: {first_line(error)}; correct that line") from error


def from_text(text: str, where: str = "config.pbtxt") -> ModelConfig:
    """Read a config.pbtxt with the official protobuf library.

    Args:
        text: the whole file.
        where: how the error calls it.

    Raises:
        UnreadableError: not Triton's model configuration; the message gives line and column.
    """
    message = _parsed(text, where)
    try:
        return _typed(message, _proto())
    except ValueError as error:  # a number that is no data_type
        raise UnreadableError(f"{where}: not a Triton model configuration: {first_line(error)}") from error


def _typed(message: Any, proto: Any) -> ModelConfig:
    accelerators = message.optimization.execution_accelerators.gpu_execution_accelerator
    return ModelConfig(
        name=message.name,
        max_batch_size=message.max_batch_size,
        inputs=tuple(_read(proto, entry, optional=entry.optional) for entry in message.input),
        outputs=tuple(_read(proto, entry, optional=False) for entry in message.output),
        dynamic_batching=message.HasField("dynamic_batching"),
        one_thread=THREADS in message.parameters and message.parameters[THREADS].string_value == "1",
        platform=message.platform or (PLATFORM if message.backend == "onnxruntime" else message.backend),
        accelerator=next((Accelerator(name=one.name, parameters=dict(one.parameters)) for one in accelerators), None),
        backend=message.backend if message.platform else "",
        parameters={name: value.string_value for name, value in message.parameters.items() if name != THREADS},
    )


def _read(proto: Any, entry: Any, *, optional: bool) -> TensorConfig:
    return TensorConfig(
        name=entry.name,
        data_type=proto.DataType.Name(entry.data_type),
        dims=tuple(entry.dims),
        reshape=tuple(entry.reshape.shape) if entry.HasField("reshape") else None,
        optional=optional,
    )


def difference(old: ModelConfig, new: ModelConfig) -> str | None:
    """Say the first thing in which two configurations serve different tensors; None where they serve the same.

    How requests are scheduled may differ: an operator may have tuned it.
    """
    if old.platform != new.platform:
        return f"platform is {old.platform or 'not given'}, now {new.platform}"
    if old.max_batch_size != new.max_batch_size:
        return f"max_batch_size is {old.max_batch_size}, now {new.max_batch_size}"
    if new.one_thread and not old.one_thread:
        return f"the model is correct on one thread only, which config.pbtxt does not declare: parameters {THREADS} = 1"
    for name, value in new.parameters.items():
        if old.parameters.get(name) != value:
            return f"parameter {name} is '{old.parameters.get(name, '')}', now '{value}'"
    for side, before, after in (("input", old.inputs, new.inputs), ("output", old.outputs, new.outputs)):
        found = _tensor_difference(side, {t.name: t for t in before}, {t.name: t for t in after})
        if found:
            return found
    return None


def _tensor_difference(side: str, before: dict[str, TensorConfig], after: dict[str, TensorConfig]) -> str | None:
    if set(before) != set(after):
        return f"{side}s are {', '.join(sorted(before))}, now {', '.join(sorted(after))}"
    for name, old in before.items():
        for what in ("data_type", "dims", "reshape", "optional"):
            was, now = getattr(old, what), getattr(after[name], what)
            if was != now:
                return f"{what} of {side} '{name}' is {_show(was)}, now {_show(now)}"
    return None


def _show(value: object) -> str:
    return str(list(value)) if isinstance(value, tuple) else str(value)


@dataclass(frozen=True, kw_only=True)
class Accelerator:
    """One ``gpu_execution_accelerator``: its name, and parameters as the backend reads them."""

    name: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def declared_tolerance(parameters: Mapping[str, str]) -> tuple[float, float] | None:
    """Return (rtol, atol) to the float model as the parameters of a served emulation declare it; None for any other model."""
    try:
        return float(parameters["portinf_rtol_to_float"]), float(parameters["portinf_atol_to_float"])
    except (KeyError, ValueError):
        return None
