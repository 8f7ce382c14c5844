"""A signature and the user's options on it -> the signature with these roles and ranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from portinf.core.errors import UsageError
from portinf.core.signature import Role, Signature, TensorSpec

__all__ = ["Ranges", "with_ranges", "with_roles"]

Ranges = Mapping[str, tuple[float, float]]


def with_ranges(inputs: Sequence[TensorSpec], ranges: Ranges) -> tuple[TensorSpec, ...]:
    """Return inputs with the user's ranges of generated values.

    Raises:
        UsageError: there is no such input.
    """
    known = [spec.name for spec in inputs]
    unknown = [name for name in ranges if name not in known]
    if unknown:
        raise UsageError(f"--value-range {unknown[0]}=...: no such input; the model has: {', '.join(known) or 'none'}")
    return tuple(
        replace(spec, low=ranges[spec.name][0], high=ranges[spec.name][1]) if spec.name in ranges else spec for spec in inputs
    )


def with_roles(signature: Signature, roles: Mapping[str, Role]) -> Signature:
    """Return a signature with the user's roles.

    Raises:
        UsageError: there is no such input, or no such axis.
    """
    for name, role in roles.items():
        signature.input(name)
        for label in (role.of, role.into):
            if label is not None and label not in signature.axes:
                raise UsageError(f"--role {name}={role}: no axis '{label}'; there are: {', '.join(signature.axes) or 'none'}")
    inputs = tuple(replace(spec, role=roles.get(spec.name, spec.role)) for spec in signature.inputs)
    return replace(signature, inputs=inputs)
