"""Finds axes, ties, roles, ranges and minimum sizes of a model from the user's samples, by asking the source itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np

from portinf.core.batch import Array, Arrays, Batch, shapes_of
from portinf.core.errors import RunnerError, UsageError
from portinf.core.signature import Axis, Role, Signature, TensorSpec, dtype_by_numpy
from portinf.samples.generate import default_sizes, generate, resample

__all__ = ["Infer", "UserHints", "find_inputs", "find_maximums", "find_minimums", "find_outputs", "with_given_limits"]

Infer = Callable[[Mapping[str, Array]], Arrays]
Place = tuple[str, int]  # input name, axis number


@dataclass(frozen=True, kw_only=True)
class UserHints:
    """The user's options on the inputs.

    Attributes:
        dynamic: label by (input, axis); an empty label leaves the name to portinf.
        roles: role by input.
        minimums: smallest length by label.
        maximums: largest length by label.
        multiples: what a length is a multiple of, by label, as the model says.
    """

    dynamic: Mapping[Place, str] = field(default_factory=dict)
    roles: Mapping[str, Role] = field(default_factory=dict)
    minimums: Mapping[str, int] = field(default_factory=dict)
    maximums: Mapping[str, int] = field(default_factory=dict)
    multiples: Mapping[str, int] = field(default_factory=dict)


def find_inputs(
    declared: Sequence[TensorSpec], batches: Sequence[Batch], given: UserHints, infer: Infer
) -> tuple[TensorSpec, ...]:
    """Describe the inputs.

    An axis is dynamic if the model declares it so, if the user says so, or if the samples differ in it. Axes of equal
    length are one symbol only if the user gives them one label, or if the model fails as soon as they differ.

    Args:
        declared: what the model says, axes that it declares dynamic labelled ``NAME_AXIS``; shape None if it says nothing.
        batches: the user's samples; may be empty if the model declares every shape.
        given: what the user said.
        infer: runs the source.

    Raises:
        UsageError: samples contradict each other or the model, or there are none and the model declares no shapes.
    """
    if not batches:
        return _without_samples(declared, given, infer)
    names = _ordered_names(declared, batches)
    by_name = {spec.name: spec for spec in declared}
    _check_types(names, by_name, batches)
    places = _dynamic_places(names, by_name, batches, given)
    labels = _tie(places, batches, given, infer)
    specs = [_spec(name, by_name.get(name), batches, labels) for name in names]
    left_out = [spec for spec in declared if spec.optional and spec.shape is not None and spec.name not in names]
    return (*_with_roles(specs, batches, given, infer), *left_out)


def _ordered_names(declared: Sequence[TensorSpec], batches: Sequence[Batch]) -> list[str]:
    found = list(batches[0].inputs)
    for batch in batches[1:]:
        if set(batch.inputs) != set(found):
            raise UsageError(
                f"{batch.name} holds {', '.join(batch.inputs)}; {batches[0].name} holds {', '.join(found)}: "
                "every sample needs the same inputs"
            )
    known = [spec.name for spec in declared]
    unknown = [name for name in found if known and name not in known]
    missing = [spec.name for spec in declared if spec.name not in found and not spec.optional]
    if unknown or (missing and all(by.shape is not None for by in declared)):
        raise UsageError(
            f"{batches[0].name}: the model's inputs are {', '.join(known)}; found {', '.join(found)}: "
            "save the arrays under the model's own input names"
        )
    return [name for name in known if name in found] if known else found


def _check_types(names: Sequence[str], declared: Mapping[str, TensorSpec], batches: Sequence[Batch]) -> None:
    for name in names:
        first = batches[0].inputs[name]
        for batch in batches:
            array = batch.inputs[name]
            if array.dtype != first.dtype or array.ndim != first.ndim:
                raise UsageError(
                    f"{batch.name}: input '{name}' is {array.dtype} of rank {array.ndim}; in {batches[0].name} it is "
                    f"{first.dtype} of rank {first.ndim}: every sample needs the same types and ranks"
                )
            spec = declared.get(name)
            if spec is not None and spec.shape is not None:
                spec.sizes_of(array.shape)
                if spec.dtype != dtype_by_numpy(str(array.dtype)).numpy:
                    raise UsageError(f"{batch.name}: input '{name}': the model expects {spec.dtype}, found {array.dtype}")


def _dynamic_places(
    names: Sequence[str], declared: Mapping[str, TensorSpec], batches: Sequence[Batch], given: UserHints
) -> list[Place]:
    places: list[Place] = []
    for name, axis in given.dynamic:
        if name not in names or not -1 < axis < batches[0].inputs[name].ndim:
            shape = f" of shape {list(batches[0].inputs[name].shape)}" if name in names else ""
            raise UsageError(f"--dynamic {name}:{axis}: no such axis{shape}; the inputs are: {', '.join(names)}")
    for name in names:
        spec = declared.get(name)
        for axis in range(batches[0].inputs[name].ndim):
            differs = len({batch.inputs[name].shape[axis] for batch in batches}) > 1
            own = spec is not None and spec.shape is not None and spec.shape[axis].label is not None
            if differs or own or (name, axis) in given.dynamic:
                places.append((name, axis))
    return places


def _works(infer: Infer, inputs: Mapping[str, Array]) -> bool:
    try:
        infer(inputs)
    except RunnerError:
        return False
    return True


def _extended(inputs: Mapping[str, Array], places: Sequence[Place]) -> Arrays:
    """Return inputs whose axes ``places`` are one longer, the last row repeated."""
    changed = dict(inputs)
    for name, axis in places:
        array = changed[name]
        last = np.take(array, [array.shape[axis] - 1], axis=axis)
        changed[name] = np.concatenate([array, last], axis=axis)
    return changed


def _tie(places: Sequence[Place], batches: Sequence[Batch], given: UserHints, infer: Infer) -> dict[Place, str]:
    """Give every dynamic axis its label: equal labels where the user says so or the model requires it."""
    lengths = {p: tuple(batch.inputs[p[0]].shape[p[1]] for batch in batches) for p in places}
    roomy = [batch for batch in batches if all(batch.inputs[n].shape[a] > 1 for n, a in places)] or list(batches)
    labels: dict[Place, str] = {p: label for p in places if (label := given.dynamic.get(p, ""))}
    for place in places:
        if place in labels:
            continue
        alike = [p for p in places if lengths[p] == lengths[place] and p not in labels]
        group = _required(place, [p for p in alike if p != place], roomy[0].inputs, infer)
        said = _tied_to_labelled(place, labels, lengths, roomy[0].inputs, infer)
        name = said or _label(group, batches[0].inputs, places)
        labels.update({p: name for p in group})
    return labels


def _required(place: Place, others: Sequence[Place], inputs: Mapping[str, Array], infer: Infer) -> list[Place]:
    """Return the smallest set of axes, ``place`` among them, that can grow together without the model failing."""
    if not others or min(inputs[n].shape[a] for n, a in [place, *others]) == 0:
        return [place]
    for count in range(min(len(others), 4)):
        for chosen in combinations(others, count):
            if _works(infer, _extended(inputs, [place, *chosen])):
                return [place, *chosen]
    return [place, *others]


def _tied_to_labelled(
    place: Place,
    labels: Mapping[Place, str],
    lengths: Mapping[Place, tuple[int, ...]],
    inputs: Mapping[str, Array],
    infer: Infer,
) -> str:
    """Return the user's label that this axis must share: growing alone fails, growing with the label's axes works."""
    alike = {label for p, label in labels.items() if lengths[p] == lengths[place]}
    if not alike or min(lengths[place]) == 0 or _works(infer, _extended(inputs, [place])):
        return ""
    for label in sorted(alike):
        if _works(infer, _extended(inputs, [place, *(p for p in labels if labels[p] == label)])):
            return label
    return ""


def _label(group: Sequence[Place], inputs: Mapping[str, Array], places: Sequence[Place]) -> str:
    first = [p for p in places if p[1] == 0]
    every = {name for name, array in inputs.items() if array.ndim}
    if len(group) > 1 and {p[0] for p in group if p[1] == 0} == every == {p[0] for p in first}:
        return "batch"
    name, axis = group[0]
    return f"{name}_{axis}"


def _spec(name: str, declared: TensorSpec | None, batches: Sequence[Batch], labels: Mapping[Place, str]) -> TensorSpec:
    arrays = [batch.inputs[name] for batch in batches]
    shape = tuple(Axis(label=labels[name, k]) if (name, k) in labels else Axis(size=n) for k, n in enumerate(arrays[0].shape))
    low, high = _range(arrays)
    dtype = dtype_by_numpy(str(arrays[0].dtype)).numpy
    optional = declared.optional if declared else False
    return TensorSpec(name=name, dtype=dtype, shape=shape, low=low, high=high, optional=optional)


def _range(arrays: Sequence[Array]) -> tuple[float | None, float | None]:
    if arrays[0].dtype.kind not in "iuf":
        return None, None
    values = np.concatenate([array[np.isfinite(array)].ravel() for array in arrays])
    return (float(values.min()), float(values.max())) if values.size else (None, None)


def _without_samples(declared: Sequence[TensorSpec], given: UserHints, infer: Infer) -> tuple[TensorSpec, ...]:
    unknown = [spec.name for spec in declared if spec.shape is None]
    if unknown or not declared:
        which = f" of {', '.join(unknown)}" if unknown else ""
        raise UsageError(
            f"this source does not say the shapes of its inputs{which}: give samples with --inputs FILE.npz "
            "(twice, with different sizes, to make the axes that differ dynamic)"
        )
    signature = Signature(inputs=tuple(declared), outputs=())
    sizes = {label: 4 for label in default_sizes(signature)}
    batch = generate(signature, sizes)
    found = find_inputs(declared, [batch], given, infer)
    return tuple(replace(spec, low=None, high=None) if spec.role.kind == "value" else spec for spec in found)


def _with_roles(
    specs: Sequence[TensorSpec], batches: Sequence[Batch], given: UserHints, infer: Infer
) -> tuple[TensorSpec, ...]:
    from portinf.sources.describe.roles import find_role

    signature = Signature(inputs=tuple(specs), outputs=())
    for name, role in given.roles.items():
        signature.input(name)
        for label in (role.of, role.into):
            if label is not None and label not in signature.axes:
                raise UsageError(f"--role {name}={role}: no axis '{label}'; there are: {', '.join(signature.axes) or 'none'}")
    roles = {s.name: given.roles.get(s.name) or find_role(s, signature, batches, infer) for s in specs}
    found = tuple(replace(spec, role=roles[spec.name]) for spec in specs)
    signature = Signature(inputs=found, outputs=())
    for label, multiple in given.multiples.items():
        signature = signature.with_limits(label, multiple=multiple)
    return with_given_limits(signature, given.minimums, given.maximums).inputs


def with_given_limits(signature: Signature, minimums: Mapping[str, int], maximums: Mapping[str, int]) -> Signature:
    """Return a signature with the user's smallest and largest lengths; a largest one that is known already stays one.

    Raises:
        UsageError: there is no such axis, or no length would be left.
    """
    for option, limits in (("minimum", minimums), ("maximum", maximums)):
        for label, n in limits.items():
            if label not in signature.axes:
                raise UsageError(f"--{option} {label}={n}: no such axis; there are: {', '.join(signature.axes) or 'none'}")
            known = signature.axes[label].maximum if option == "maximum" else None
            signature = signature.with_limits(label, **{option: n if known is None else min(n, known)})
    return signature


def find_minimums(inputs: tuple[TensorSpec, ...], batches: Sequence[Batch], infer: Infer) -> tuple[TensorSpec, ...]:
    """Record the smallest length of each dynamic axis at which the source answers, the others as in the samples.

    Args:
        inputs: with roles.
        batches: the user's samples, or none.
        infer: runs the source.
    """
    signature = Signature(inputs=inputs, outputs=())
    base = batches[0] if batches else generate(signature)
    start = signature.sizes(shapes_of(base.inputs))
    for label, axis in signature.axes.items():
        if start[label] > axis.minimum:
            signature = signature.with_minimum(label, _smallest(signature, base, start, label, infer))
    return signature.inputs


def _smallest(signature: Signature, base: Batch, start: Mapping[str, int], label: str, infer: Infer) -> int:
    """Return the smallest length of one axis at which the source answers, taking it that all longer ones work."""

    def works(size: int) -> bool:
        return _works(infer, resample(signature, base, {**start, label: size}, seed=size).inputs)

    low, high = signature.axes[label].minimum, start[label]
    if works(low):
        return low
    while high - low > 1:
        middle = low + 1 if low < 2 else (low + high) // 2
        low, high = (low, middle) if works(middle) else (middle, high)
    return high


def find_maximums(
    signature: Signature, base: Batch, outcomes: Sequence[tuple[Mapping[str, int], str]], infer: Infer
) -> tuple[Signature, list[str]]:
    """Record the largest length of each dynamic axis at which the source answers, where it was seen to fail on longer ones.

    Args:
        signature: inputs with roles and minimums.
        base: a batch that the source answers.
        outcomes: lengths that were tried, and why the source failed there; empty where it answered.
        infer: runs the source.

    Returns:
        The signature, and one line for each largest length that was found.
    """
    start, notes = signature.sizes(shapes_of(base.inputs)), []
    for label in signature.axes:
        mine = {sizes[label]: why for sizes, why in outcomes if {**sizes, label: 0} == {**start, label: 0}}
        right = {n for n, why in mine.items() if not why}
        low = max(right, default=0)
        beyond = {n: why for n, why in mine.items() if n > low}
        if len(right) < 2 or not beyond or not all(map(_by_length, beyond.values())):
            continue
        together = {other: axis.fit(max(start[other], max(beyond))) for other, axis in signature.axes.items()}
        if len(together) > 1 and _works(infer, resample(signature, base, together).inputs):
            continue  # what is too long depends on the other axes
        high = min(beyond)
        while high - low > 1:
            middle = (low + high) // 2
            works = _works(infer, resample(signature, base, {**start, label: middle}, seed=middle).inputs)
            low, high = (middle, high) if works else (low, middle)
        signature = signature.with_limits(label, maximum=low)
        notes.append(
            f"the model has no answer beyond {label}={low}, the largest length that is recorded ({beyond[min(beyond)]})"
        )
    return signature, notes


def _by_length(why: str) -> bool:
    """Whether a failure is the model's own, not that of a machine without the memory."""
    return not re.search(r"memory|alloc|OOM|resource exhausted|was stopped", why, re.IGNORECASE)


def find_outputs(signature: Signature, answers: Sequence[tuple[Mapping[str, int], Arrays]]) -> tuple[TensorSpec, ...]:
    """Describe the outputs from answers at several sizes: an axis that always equals a dynamic one takes its label.

    Args:
        signature: the inputs.
        answers: lengths of the inputs' dynamic axes, and the outputs that the source gave.

    Raises:
        UsageError: the outputs change their names, types or ranks with the size.
    """
    first = answers[0][1]
    specs: list[TensorSpec] = []
    for name, array in first.items():
        for _, outputs in answers:
            other = outputs.get(name)
            if other is None or other.ndim != array.ndim or other.dtype != array.dtype:
                raise UsageError(
                    f"output '{name}' changes its presence, type or rank with the size of the inputs: not supported"
                )
        axes = []
        for number in range(array.ndim):
            found = [(sizes, outputs[name].shape[number]) for sizes, outputs in answers]
            axes.append(_output_axis(f"{name}_{number}", found, signature))
        specs.append(TensorSpec(name=name, dtype=dtype_by_numpy(str(array.dtype)).numpy, shape=tuple(axes)))
    return tuple(specs)


def _output_axis(fallback: str, found: Sequence[tuple[Mapping[str, int], int]], signature: Signature) -> Axis:
    lengths = {length for _, length in found}
    for label in signature.axes:
        if all(sizes[label] == length for sizes, length in found) and len(lengths) > 1:
            return Axis(label=label)
    return Axis(size=lengths.pop()) if len(lengths) == 1 else Axis(label=fallback)
