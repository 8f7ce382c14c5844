"""What must not change a model's outputs: neighbours in a batch, padding, the order of a set, the number of threads, repetition."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from portinf.core.batch import Array, Arrays, Batch, shapes_of
from portinf.core.errors import RunnerError, UsageError, first_line
from portinf.core.signature import Signature, TensorSpec, dtype_by_numpy
from portinf.runners import Runner
from portinf.runners.onnx import OnnxRuntimeRunner
from portinf.validation import CheckResult, Tolerance
from portinf.validation.batch_independence import check_rows, why_not_batched
from portinf.validation.elementwise import differing

__all__ = ["Invariances"]

MORE = 3  # entries of padding that are added
THREADS = (1, 2)


@dataclass(frozen=True, kw_only=True)
class Invariances:
    """The checks of one model on a few of its samples.

    Attributes:
        signature: axes and roles.
        batches: the user's samples; the first is used where one is enough.
        tolerance: within which answers must stay the same.
        sets: labels of the axes whose order the user declares to be without meaning.
    """

    signature: Signature
    batches: Sequence[Batch]
    tolerance: Tolerance
    sets: Sequence[str] = ()

    def results(self, reference: Runner | None, candidate: Runner) -> Iterator[CheckResult]:
        """Yield one result per check; what the reference itself lacks is reported, not failed.

        Args:
            reference: run only where the candidate fails; None where there is only a record of its answers.
            candidate: is judged.

        Raises:
            UsageError: a set is no dynamic axis of the model.
        """
        unknown = [label for label in self.sets if label not in self.signature.axes]
        if unknown:
            known = ", ".join(self.signature.axes) or "none"
            raise UsageError(f"--set-axis {unknown[0]}: no such dynamic axis; the model's are: {known}")
        yield self._batch(reference, candidate)
        for spec in self.signature.inputs:
            if spec.role.kind == "mask":
                yield self._padding(spec, reference, candidate)
        for label in self.sets:
            yield self._order(label, reference, candidate)
        yield self._again(candidate)
        if isinstance(candidate, OnnxRuntimeRunner):
            yield self._threads(candidate)

    def _batch(self, reference: Runner | None, candidate: Runner) -> CheckResult:
        name = "batch invariance"
        why = why_not_batched(self.signature)
        if why:
            return CheckResult(name=name, status="not applicable", text=why)

        def broken(runner: Runner) -> str:
            outcome = check_rows(runner, self.signature, self.batches, self.tolerance)
            return "" if outcome.independent or not outcome.influenced else outcome.reason

        outcome = check_rows(candidate, self.signature, self.batches, self.tolerance)
        if not outcome.independent and not outcome.influenced:
            return CheckResult(name=name, status="not applicable", text=outcome.reason)
        return _judged(name, "" if outcome.independent else outcome.reason, outcome.reason, broken, reference)

    def _padding(self, spec: TensorSpec, reference: Runner | None, candidate: Runner) -> CheckResult:
        name = f"padding invariance ('{spec.name}')"
        batch = self._first()
        valid = None if batch is None else _valid(spec, batch.inputs[spec.name])
        if batch is None or valid is None:
            why = f"no sample shows which value of '{spec.name}' means padding: one with padded and unpadded entries is needed"
            return CheckResult(name=name, status="not applicable", text=why)
        inputs, kept = batch.inputs, valid
        changes = [("values under the padding changed", self._garbage(spec, inputs, kept), kept)]
        longer = self._longer(spec, inputs, kept)
        if longer is not None:
            more = np.concatenate([kept, np.zeros((len(kept), MORE), dtype=bool)], axis=1)
            changes.append((f"{MORE} entries of padding added", longer, more))

        def broken(runner: Runner) -> str:
            for title, changed, mask in changes:
                reason = self._differs(runner, inputs, changed, spec, kept, mask)
                if reason:
                    return f"{title}: {reason}"
            return ""

        titles = ", ".join(title for title, _, _ in changes)
        return _judged(name, broken(candidate), f"the outputs do not change ({titles})", broken, reference)

    def _garbage(self, mask: TensorSpec, inputs: Arrays, valid: Array) -> Arrays:
        """Put values of other entries under the padding of every input that is padded."""
        changed = dict(inputs)
        for spec in self.signature.inputs:
            if spec.role.kind != "value" or spec.name not in inputs or not dtype_by_numpy(spec.dtype).is_float:
                continue
            places = _spread(valid, spec, mask)
            if places is None:
                continue
            array = inputs[spec.name]
            filled = array[np.broadcast_to(places, array.shape)]
            if filled.size:
                drawn = np.random.default_rng(0).choice(filled, array.shape)
                changed[spec.name] = np.where(places, array, drawn).astype(array.dtype)
        return changed

    def _longer(self, mask: TensorSpec, inputs: Arrays, valid: Array) -> Arrays | None:
        """Add padding at the end of the masked axis, as the sample has it; None where the axis cannot grow."""
        label = mask.role.of
        axis = self.signature.axes.get(label or "")
        if axis is None or axis.multiple != 1:
            return None
        changed: Arrays = {}
        for name, array in inputs.items():
            spec = self.signature.input(name)
            if label not in spec.labels:
                changed[name] = array
                continue
            place = _axes(spec).index(label)
            if axis.refusal(array.shape[place] + MORE):
                return None
            shape = tuple(MORE if k == place else n for k, n in enumerate(array.shape))
            value = _padding_value(array, valid) if spec.role.kind == "mask" else 0
            changed[name] = np.concatenate([array, np.full(shape, value, dtype=array.dtype)], axis=place)
        return changed

    def _differs(self, runner: Runner, inputs: Arrays, changed: Arrays, mask: TensorSpec, before: Array, after: Array) -> str:
        def kept(arrays: Arrays, valid: Array) -> Arrays:
            found = {}
            for name, array in arrays.items():
                spec = next((spec for spec in self.signature.outputs if spec.name == name), None)
                places = None if spec is None else _spread(valid, spec, mask)
                found[name] = array if places is None else array[np.broadcast_to(places, array.shape)]
            return found

        try:
            expected, found = kept(runner.infer(inputs), before), kept(runner.infer(changed), after)
        except (RunnerError, ValueError) as error:
            return first_line(error)
        return self._difference(expected, found)

    def _order(self, label: str, reference: Runner | None, candidate: Runner) -> CheckResult:
        name = f"order of '{label}'"
        batch = self._first()
        size = 0 if batch is None else self.signature.sizes(shapes_of(batch.inputs))[label]
        if batch is None or size < 2:
            return CheckResult(name=name, status="not applicable", text=f"no sample has two entries along '{label}'")
        if any(spec.role.kind == "segment" and spec.role.into == label for spec in self.signature.inputs):
            return CheckResult(
                name=name, status="not applicable", text=f"'{label}' counts sorted groups: their order has meaning"
            )
        order = self._permutation(label, size, batch.inputs)
        moved = {key: self._moved(self.signature.input(key), array, label, order) for key, array in batch.inputs.items()}

        def broken(runner: Runner) -> str:
            try:
                before, after = runner.infer(batch.inputs), runner.infer(moved)
            except RunnerError as error:
                return first_line(error)
            return self._difference({key: self._output_moved(key, array, label, order) for key, array in before.items()}, after)

        follow = [spec.name for spec in self.signature.outputs if label in spec.labels]
        stay = [spec.name for spec in self.signature.outputs if label not in spec.labels]
        words = [f"{', '.join(names)} {verb}" for names, verb in ((follow, "follow it"), (stay, "stay")) if names]
        return _judged(name, broken(candidate), f"{size} entries in another order: {'; '.join(words)}", broken, reference)

    def _permutation(self, label: str, size: int, inputs: Arrays) -> Array:
        """Return old places in new order; sorted groups keep their entries together."""
        keys = np.random.default_rng(0).permutation(size)
        for spec in self.signature.inputs:
            if spec.role.kind == "segment" and spec.labels[:1] == (label,):
                return np.lexsort((keys, inputs[spec.name]))
            if spec.role.kind == "row_splits" and spec.role.of == label:
                return np.lexsort((keys, np.searchsorted(inputs[spec.name], np.arange(size), side="right")))
        return keys

    def _moved(self, spec: TensorSpec, array: Array, label: str, order: Array) -> Array:
        for place, own in enumerate(_axes(spec)):
            if own == label:
                array = np.take(array, order, axis=place)
        if spec.role.kind != "index" or label not in (spec.role.of, spec.role.into):
            return array
        new = np.empty(len(order), dtype=array.dtype)
        new[order] = np.arange(len(order))
        if spec.role.into is None:
            return _renumbered(array, new)
        rows = [_renumbered(array[:1], new) if spec.role.of == label else array[:1]]
        rows.append(_renumbered(array[1:], new) if spec.role.into == label else array[1:])
        return np.concatenate(rows)

    def _output_moved(self, name: str, array: Array, label: str, order: Array) -> Array:
        spec = next((spec for spec in self.signature.outputs if spec.name == name), None)
        for place, own in enumerate([] if spec is None else _axes(spec)):
            if own == label:
                array = np.take(array, order, axis=place)
        return array

    def _again(self, candidate: Runner) -> CheckResult:
        """Ask twice, another batch in between."""
        name = "repeatability"
        batch = self._first()
        if batch is None:
            return CheckResult(name=name, status="not applicable", text="there is no sample with an answer")
        try:
            first = candidate.infer(batch.inputs)
            for other in self.batches[1:2]:
                candidate.infer(other.inputs)
            second = candidate.infer(batch.inputs)
        except RunnerError as error:
            return CheckResult(name=name, status="not applicable", text=first_line(error))
        return self._same(name, "asked twice", first, second)

    def _threads(self, candidate: OnnxRuntimeRunner) -> CheckResult:
        name = "repeatability over threads"
        batch = self._first()
        if batch is None:
            return CheckResult(name=name, status="not applicable", text="there is no sample with an answer")
        if candidate.one_thread:
            text = (
                "ScatterND with a reduction loses updates in ONNX Runtime on several threads: it was run on one, and a package "
                "of it says so to the server; elsewhere set intra_op_num_threads = 1, or write a safe file with portinf convert"
            )
            return CheckResult(name=name, status="reported", text=text)
        answers = []
        for count in THREADS:
            with candidate.with_threads(count) as runner:
                try:
                    answers.append(runner.infer(batch.inputs))
                except RunnerError as error:
                    return CheckResult(name=name, status="not applicable", text=first_line(error))
        return self._same(name, f"{THREADS[0]} and {THREADS[1]} threads", *answers)

    def _same(self, name: str, title: str, first: Arrays, second: Arrays) -> CheckResult:
        reason = self._difference(first, second)
        if reason:
            return CheckResult(name=name, status="failed", text=f"{title}: {reason}")
        unequal = [key for key in first if not np.array_equal(first[key], second[key], equal_nan=first[key].dtype.kind == "f")]
        words = "the same bits" if not unequal else f"equal within the tolerance, not bit for bit ({', '.join(unequal)})"
        return CheckResult(name=name, status="passed", text=f"{title}: {words}")

    def _difference(self, expected: Arrays, found: Arrays) -> str:
        return differing(expected, found, tolerance=self.tolerance, inputs=[spec.dtype for spec in self.signature.inputs])

    def _first(self) -> Batch | None:
        """Return the first sample that is not empty."""
        return next((b for b in self.batches if all(array.size for array in b.inputs.values())), None)


def _judged(name: str, reason: str, passed: str, broken: Callable[[Runner], str], reference: Runner | None) -> CheckResult:
    if not reason:
        return CheckResult(name=name, status="passed", text=passed)
    if reference is None:
        return CheckResult(name=name, status="reported", text=f"{reason} (no reference to compare with)")
    if broken(reference):
        return CheckResult(name=name, status="reported", text=f"the reference fails this check too: {reason}")
    return CheckResult(name=name, status="failed", text=f"failed: {reason}; the reference passes this check")


def _axes(spec: TensorSpec) -> list[str | None]:
    """Return the label of every axis, None for a fixed one."""
    return [axis.label for axis in spec.shape or ()]


def _valid(spec: TensorSpec, mask: Array) -> Array | None:
    """Return where entries are valid, (rows, entries); the first entry of a row is. None where nothing can be said."""
    place = _axes(spec).index(spec.role.of) if spec.role.of in spec.labels else -1
    if place < 1 or any(n != 1 for k, n in enumerate(mask.shape) if k not in (0, place)) or mask.size == 0:
        return None
    flat = mask.reshape(mask.shape[0], mask.shape[place])
    values, counts = np.unique(flat[:, 0], return_counts=True)
    valid = np.asarray(flat == values[counts.argmax()])
    return None if valid.all() or not valid.any() else valid


def _padding_value(mask: Array, valid: Array) -> Array:
    """Return the value that the mask has where entries are not valid."""
    return np.asarray(mask.reshape(valid.shape)[~valid][0])


def _spread(valid: Array, spec: TensorSpec, mask: TensorSpec) -> Array | None:
    """Bring (rows, entries) to the axes of a tensor that has both; None for any other."""
    axes, rows, entries = _axes(spec), _axes(mask)[0], mask.role.of
    if rows is None or rows not in axes or entries not in axes:
        return None
    shape = [1] * len(axes)
    first, second = axes.index(rows), axes.index(entries)
    shape[first], shape[second] = valid.shape
    return valid.reshape(shape) if first < second else valid.T.reshape(shape)


def _renumbered(array: Array, new: Array) -> Array:
    """Point to the new places; negative entries are padding."""
    return np.where(array < 0, array, new[np.maximum(array, 0)]).astype(array.dtype)
