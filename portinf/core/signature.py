"""Names, types, axes and roles of a model's tensors: the one record that sizes, samples, configs and reports read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from portinf.core.errors import CannotError, UsageError

__all__ = [
    "Axis",
    "DType",
    "Role",
    "RoleKind",
    "Signature",
    "TensorSpec",
    "dtype_by_kserve",
    "dtype_by_numpy",
    "dtype_by_onnx",
    "dtype_by_triton",
    "maximums_from",
    "maximums_told",
]

MAXIMUM = "portinf_maximum"  # parameter of a served model: portinf_maximum.INPUT.AXIS, the axis counted with that of the batch
RoleKind = Literal["value", "index", "segment", "mask", "row_splits"]


@dataclass(frozen=True, kw_only=True)
class DType:
    """One element type under its four names.

    Attributes:
        numpy: name in numpy (``object`` for strings; ``bfloat16`` comes from ml_dtypes).
        onnx: number in ``onnx.TensorProto.DataType``.
        triton: name in ``config.pbtxt``.
        kserve: name in the v2 protocol.
        size: bytes of one element, 0 where it varies.
    """

    numpy: str
    onnx: int
    triton: str
    kserve: str
    size: int

    @property
    def is_float(self) -> bool:
        """Whether values are compared with a tolerance rather than exactly."""
        return self.numpy in ("float16", "bfloat16", "float32", "float64")

    @property
    def is_integer(self) -> bool:
        """Whether values are whole numbers (bool is not)."""
        return self.numpy.startswith(("int", "uint"))


def _row(numpy: str, onnx: int, triton: str, kserve: str, size: int) -> DType:
    return DType(numpy=numpy, onnx=onnx, triton=triton, kserve=kserve, size=size)


# Numbers: onnx.proto3 TensorProto.DataType. Names: Triton's model_config.proto and the KServe v2 protocol.
DTYPES: tuple[DType, ...] = (
    _row("bool", 9, "TYPE_BOOL", "BOOL", 1),
    _row("uint8", 2, "TYPE_UINT8", "UINT8", 1),
    _row("uint16", 4, "TYPE_UINT16", "UINT16", 2),
    _row("uint32", 12, "TYPE_UINT32", "UINT32", 4),
    _row("uint64", 13, "TYPE_UINT64", "UINT64", 8),
    _row("int8", 3, "TYPE_INT8", "INT8", 1),
    _row("int16", 5, "TYPE_INT16", "INT16", 2),
    _row("int32", 6, "TYPE_INT32", "INT32", 4),
    _row("int64", 7, "TYPE_INT64", "INT64", 8),
    _row("float16", 10, "TYPE_FP16", "FP16", 2),
    _row("bfloat16", 16, "TYPE_BF16", "BF16", 2),
    _row("float32", 1, "TYPE_FP32", "FP32", 4),
    _row("float64", 11, "TYPE_FP64", "FP64", 8),
    _row("object", 8, "TYPE_STRING", "BYTES", 0),
)


def _find(column: str, value: object) -> DType:
    for row in DTYPES:
        if getattr(row, column) == value:
            return row
    known = ", ".join(str(getattr(row, column)) for row in DTYPES)
    raise CannotError(f"element type {value!r} is not supported ({column}); known: {known}")


def dtype_by_numpy(name: str) -> DType:
    """Return the row of a numpy type name; fixed-width strings count as ``object``."""
    return _find("numpy", "object" if name.startswith(("str", "bytes", "<U", "|S", "string")) else name)


def dtype_by_onnx(number: int) -> DType:
    """Return the row of an ``onnx.TensorProto.DataType`` number."""
    return _find("onnx", number)


def dtype_by_triton(name: str) -> DType:
    """Return the row of a ``TYPE_...`` name of config.pbtxt."""
    return _find("triton", name)


def dtype_by_kserve(name: str) -> DType:
    """Return the row of a v2 protocol name such as ``FP32``."""
    return _find("kserve", name)


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis of a tensor: fixed (``size``) or dynamic (``label``); equal labels are the same symbol.

    Attributes:
        size: length of a fixed axis, else None.
        label: name of a dynamic axis, else None.
        minimum: smallest length that the model accepts (dynamic axes).
        multiple: the length is a multiple of this (dynamic axes).
        maximum: largest length at which the model is right (dynamic axes); None where no limit is known.
    """

    size: int | None = None
    label: str | None = None
    minimum: int = 0
    multiple: int = 1
    maximum: int | None = None

    def __post_init__(self) -> None:
        """Refuse an axis that is neither or both, and one that accepts no length."""
        if (self.size is None) == (self.label is None):
            raise UsageError(f"an axis is fixed or dynamic: got size {self.size} and label {self.label}")
        if self.maximum is not None and self.fit(0) < self.minimum:
            multiples = f", and only multiples of {self.multiple}" if self.multiple > 1 else ""
            raise UsageError(
                f"axis '{self.label}': the largest length is {self.maximum}, and the model needs at least {self.minimum}{multiples}"
            )

    def __str__(self) -> str:
        """Show the length or the label, with the minimum and the maximum where one is known."""
        if self.label is None:
            return str(self.size)
        if self.maximum is None:
            return f"{self.label}>={self.minimum}" if self.minimum else self.label
        return f"{self.minimum}<={self.label}<={self.maximum}" if self.minimum else f"{self.label}<={self.maximum}"

    def fit(self, length: int) -> int:
        """Return the nearest length that the axis accepts: from above, or the largest where that is too small."""
        requested = -(-max(length, self.minimum) // self.multiple) * self.multiple
        return requested if self.maximum is None else min(requested, self.maximum // self.multiple * self.multiple)

    def refusal(self, length: int) -> str:
        """Say why the axis does not accept a length; empty where it does."""
        if length < self.minimum:
            return f"this model needs at least {self.minimum}"
        if self.maximum is not None and length > self.maximum:
            return f"this model is valid up to {self.maximum} only"
        return f"this model takes multiples of {self.multiple} only" if length % self.multiple else ""


@dataclass(frozen=True, kw_only=True)
class Role:
    """What the numbers of an input mean.

    Attributes:
        kind: ``value``; ``index`` into axis ``of`` (its row 0 only, where ``into`` is given); ``segment``: sorted group numbers
            of the rows of axis ``of``; ``mask`` of axis ``of``; ``row_splits``: offsets 0 ... length of axis ``of``.
        of: label of the axis meant.
        into: label of the axis that counts the groups (``segment``), or into which the rows after the first point (``index``
            between two kinds of nodes); None where there is none.
    """

    kind: RoleKind = "value"
    of: str | None = None
    into: str | None = None

    def __str__(self) -> str:
        """Show the role as a user would write it."""
        return self.kind if self.of is None else f"{self.kind}:{self.of}" + (f":{self.into}" if self.into else "")


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """One named tensor of a model.

    Attributes:
        name: the user's name.
        dtype: numpy type name, ``object`` for strings.
        shape: axes, outermost first; empty for a scalar; None where the rank is unknown.
        role: what the numbers mean (inputs).
        low, high: range of values seen or given (inputs), inclusive; None where unknown.
        optional: the model has a default for it (inputs).
    """

    name: str
    dtype: str
    shape: tuple[Axis, ...] | None
    role: Role = Role()
    low: float | None = None
    high: float | None = None
    optional: bool = False

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the dynamic axes, outermost first."""
        return tuple(axis.label for axis in self.shape or () if axis.label is not None)

    def shape_text(self) -> str:
        """Show the shape, for example ``[batch, 15]``."""
        return "[?]" if self.shape is None else "[" + ", ".join(map(str, self.shape)) + "]"

    def sizes_of(self, shape: Iterable[int]) -> dict[str, int]:
        """Read the lengths of the dynamic axes off a concrete shape.

        Raises:
            UsageError: rank or a fixed length does not fit; the message names the tensor.
        """
        given = tuple(int(n) for n in shape)
        if self.shape is None:
            return {}
        fits = len(given) == len(self.shape) and all(
            axis.size is None or axis.size == n for axis, n in zip(self.shape, given, strict=True)
        )
        if not fits:
            raise UsageError(f"tensor '{self.name}': expected shape {self.shape_text()}, found {list(given)}")
        sizes: dict[str, int] = {}
        for axis, n in zip(self.shape, given, strict=True):
            if axis.label is None:
                continue
            refusal = axis.refusal(n)
            if refusal:
                raise UsageError(f"tensor '{self.name}': axis '{axis.label}' has length {n}, and {refusal}")
            if sizes.setdefault(axis.label, n) != n:
                raise UsageError(f"tensor '{self.name}': axis '{axis.label}' has lengths {sizes[axis.label]} and {n} at once")
        return sizes


@dataclass(frozen=True, kw_only=True)
class Signature:
    """Inputs and outputs of a model, in the user's order and under the user's names."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def input(self, name: str) -> TensorSpec:
        """Return one input.

        Raises:
            UsageError: there is no input of that name; the message lists those there are.
        """
        for spec in self.inputs:
            if spec.name == name:
                return spec
        raise UsageError(f"no input '{name}'; the model has: {', '.join(s.name for s in self.inputs) or 'none'}")

    @property
    def axes(self) -> dict[str, Axis]:
        """Dynamic axes of the inputs by label, in order of appearance, each with its strictest limits."""
        found: dict[str, Axis] = {}
        for spec in self.inputs:
            for axis in spec.shape or ():
                if axis.label is not None:
                    old = found.get(axis.label, axis)
                    limits = [limit for limit in (old.maximum, axis.maximum) if limit is not None]
                    found[axis.label] = replace(
                        axis,
                        minimum=max(old.minimum, axis.minimum),
                        multiple=max(old.multiple, axis.multiple),
                        maximum=min(limits, default=None),
                    )
        return found

    def sizes(self, shapes: Mapping[str, Iterable[int]]) -> dict[str, int]:
        """Read the lengths of all dynamic axes off concrete input shapes, tied axes held equal.

        Args:
            shapes: shape of each input by name.

        Raises:
            UsageError: a shape does not fit, or tied axes differ; the message names both tensors.
        """
        sizes: dict[str, int] = {}
        owner: dict[str, str] = {}
        for name, shape in shapes.items():
            for label, n in self.input(name).sizes_of(shape).items():
                if sizes.setdefault(label, n) != n:
                    raise UsageError(
                        f"axis '{label}' has length {sizes[label]} in '{owner[label]}' and {n} in '{name}': they must be equal"
                    )
                owner.setdefault(label, name)
        return sizes

    def with_limits(self, label: str, **limits: int) -> Signature:
        """Return a copy whose axis ``label`` has these limits everywhere.

        Args:
            label: of a dynamic axis.
            limits: ``minimum``, ``multiple`` and ``maximum``; those left out stay.

        Raises:
            UsageError: no length would be left.
        """

        def change(spec: TensorSpec) -> TensorSpec:
            if spec.shape is None:
                return spec
            shape = tuple(replace(a, **limits) if a.label == label else a for a in spec.shape)  # type: ignore[arg-type]
            return replace(spec, shape=shape)

        return replace(self, inputs=tuple(map(change, self.inputs)), outputs=self.outputs)

    def with_minimum(self, label: str, minimum: int) -> Signature:
        """Return a copy whose axis ``label`` has this minimum everywhere."""
        return self.with_limits(label, minimum=minimum)

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {"inputs": [_spec_to_json(s) for s in self.inputs], "outputs": [_spec_to_json(s) for s in self.outputs]}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Signature:
        """Read what `to_json` wrote.

        Raises:
            KeyError, TypeError: the data is something else.
        """
        return Signature(
            inputs=tuple(_spec_from_json(s) for s in data["inputs"]), outputs=tuple(_spec_from_json(s) for s in data["outputs"])
        )


def maximums_told(signature: Signature) -> dict[str, str]:
    """Return the largest lengths of the inputs' axes as parameters of a served model: Triton's shapes have no place for them."""
    return {
        f"{MAXIMUM}.{spec.name}.{number}": str(axis.maximum)
        for spec in signature.inputs
        for number, axis in enumerate(spec.shape or ())
        if axis.maximum is not None
    }


def maximums_from(parameters: Mapping[str, str]) -> dict[tuple[str, int], int]:
    """Read what `maximums_told` wrote among the parameters of a served model: largest lengths by input and axis."""
    found: dict[tuple[str, int], int] = {}
    for key, value in parameters.items():
        name, _, number = key.removeprefix(f"{MAXIMUM}.").rpartition(".")
        if key.startswith(f"{MAXIMUM}.") and number.isdigit() and value.isdigit():
            found[name, int(number)] = int(value)
    return found


def _axis_to_json(axis: Axis) -> int | dict[str, Any]:
    if axis.size is not None:
        return axis.size
    limits = {"minimum": axis.minimum, "multiple": axis.multiple}
    return {"label": axis.label, **limits, **({} if axis.maximum is None else {"maximum": axis.maximum})}


def _axis_from_json(data: Any) -> Axis:
    if isinstance(data, int):
        return Axis(size=data)
    maximum = data.get("maximum")
    return Axis(
        label=str(data["label"]),
        minimum=int(data["minimum"]),
        multiple=int(data["multiple"]),
        maximum=None if maximum is None else int(maximum),
    )


def _spec_to_json(spec: TensorSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "dtype": spec.dtype,
        "shape": None if spec.shape is None else [_axis_to_json(a) for a in spec.shape],
        "role": {"kind": spec.role.kind, "of": spec.role.of, "into": spec.role.into},
        "low": spec.low,
        "high": spec.high,
        "optional": spec.optional,
    }


def _spec_from_json(data: Mapping[str, Any]) -> TensorSpec:
    shape = data["shape"]
    return TensorSpec(
        name=str(data["name"]),
        dtype=dtype_by_numpy(str(data["dtype"])).numpy,
        shape=None if shape is None else tuple(_axis_from_json(a) for a in shape),
        role=Role(**data["role"]),
        low=data["low"],
        high=data["high"],
        optional=bool(data.get("optional", False)),
    )
