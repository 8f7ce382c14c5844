"""Opens a source with the user's samples: signature found, other sizes made, reference answers recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from types import TracebackType

from portinf.conversion.options import SourcingOptions
from portinf.core.batch import Array, Arrays, Batch, shapes_of
from portinf.core.errors import CannotError, RunnerError, UsageError, first_line
from portinf.core.progress import Progress
from portinf.core.signature import Axis, Role, Signature, TensorSpec, dtype_by_numpy
from portinf.runners.source import SourceRunner
from portinf.samples import InputRequest, SampleStream
from portinf.samples.case_set import CaseSet
from portinf.samples.files import guessed_heads, open_files
from portinf.samples.generate import MAX_BYTES, bytes_needed, default_sizes, generate, resample, start_of
from portinf.samples.user_options import with_ranges
from portinf.sources.describe.axes import UserHints, find_inputs, find_maximums, find_minimums, find_outputs
from portinf.sources.detect import detect
from portinf.sources.model import Declared, SourceOptions
from portinf.sources.process.parent import SourceProcess

__all__ = ["OpenedSource", "open_source", "source_heads"]

SOURCE_ROWS = 1024  # of one request when all rows of a file are asked: how much memory a source takes for more is not known


class OpenedSource:
    """A loaded source, what was found out about it, and the cases on which it is to be compared; a context manager.

    Args:
        process: the child that holds the source.
        runner: the same, behind the runners' contract.
        samples: all that a file made of it is judged on.
        cases: of those the ones of which answers are remembered, with the first rows of files that are read in parts; and others that
            were added since.
        remarks: notes on its description.
    """

    def __init__(
        self,
        process: SourceProcess,
        runner: SourceRunner,
        samples: CaseSet,
        cases: Sequence[Batch],
        remarks: Sequence[str] = (),
    ) -> None:
        self.process, self.runner, self.samples, self.cases, self.remarks = process, runner, samples, cases, remarks

    @property
    def signature(self) -> Signature:
        """Names, types, axes and roles."""
        return self.runner.signature

    @property
    def notes(self) -> list[str]:
        """Notes of the loader and on the files of samples."""
        return [*self.process.notes, *self.samples.notes, *self.remarks]

    @property
    def given(self) -> Sequence[Batch]:
        """The user's samples: of files that are read in parts the first rows."""
        return self.samples.given

    @property
    def left_out(self) -> list[str]:
        """Which sizes are not among the cases because they are too large, and which inputs never vary."""
        return self.samples.left_out

    def with_minimum(self, label: str, minimum: int) -> OpenedSource:
        """Return the same source with a narrower domain: cases below it are dropped."""
        return self.with_limits(label, minimum=minimum)

    def with_limits(self, label: str, **limits: int) -> OpenedSource:
        """Return the same source with a narrower domain: cases outside are dropped, one at a new largest length is added."""
        signature = self.signature.with_limits(label, **limits)
        axis = signature.axes[label]
        kept = [b for b in self.cases if not axis.refusal(self.signature.sizes(shapes_of(b.inputs)).get(label, axis.minimum))]
        narrower = self._with(signature, kept)
        if "maximum" not in limits:
            return narrower
        sizes, _, rows = start_of(signature, self.given)
        sizes[label] = axis.fit(limits["maximum"])
        if bytes_needed(signature, sizes, label) > MAX_BYTES:
            return narrower
        last = generate(signature, sizes) if rows is None else resample(signature, rows, sizes)
        return narrower.with_cases([replace(last, name="generated, the largest length")])

    @property
    def compared(self) -> list[dict[str, int]]:
        """Lengths of the dynamic axes of the cases."""
        return [self.signature.sizes(shapes_of(batch.inputs)) for batch in self.cases]

    def with_cases(self, more: Sequence[Batch]) -> OpenedSource:
        """Return the same source with those of further cases that it takes, and whose sizes are not among the cases yet."""
        known, fresh = self.compared, []
        for batch in more:
            with suppress(UsageError):  # outside of its limits
                sizes = self.signature.sizes(shapes_of(batch.inputs))
                if sizes not in known:
                    fresh.append(batch)
        for batch in fresh:
            with suppress(RunnerError):  # remembered as well: it is outside of the model's domain
                self.runner.remember(batch.inputs)
        return self._with(self.signature, [*self.cases, *fresh]) if fresh else self

    def _with(self, signature: Signature, cases: Sequence[Batch]) -> OpenedSource:
        runner = SourceRunner(self.process, name=self.runner.name, signature=signature)
        runner.adopt(self.runner)
        return OpenedSource(self.process, runner, self.samples.within(signature), cases, self.remarks)

    def example(self) -> Arrays:
        """Return inputs to export at: every dynamic axis at least 2 long, no two of equal length where that can be."""
        base = max(self.cases, key=lambda b: min(self.signature.sizes(shapes_of(b.inputs)).values(), default=0))
        sizes = self.signature.sizes(shapes_of(base.inputs))
        if min(sizes.values(), default=2) >= 2 and len(set(sizes.values())) == len(sizes):
            return base.inputs
        distinct = default_sizes(self.signature)
        if all(n == 0 for n in sizes.values()):
            return generate(self.signature, distinct).inputs
        return resample(self.signature, base, distinct).inputs

    def __enter__(self) -> OpenedSource:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.process.close()


def open_source(source: str, options: SourcingOptions, progress: Progress = lambda _: None) -> OpenedSource:
    """Load a source in a child process and find its signature from the samples.

    Args:
        source: path, ``file.py:factory`` or ``package.module:factory``.
        options: what the user said.
        progress: called with each step.

    Raises:
        PortinfError: it cannot be loaded or described; the message says why and what to do.
    """
    found = detect(source)
    rows = options.streams.batch_rows or SOURCE_ROWS
    files = open_files(options.inputs, replace(options.streams, batch_rows=rows))
    guessed = [*guessed_heads(files), *options.batches]
    progress(f"loading {source}")
    process = SourceProcess(
        SourceOptions(
            found=found,
            weights=options.weights,
            signature=options.signature,
            input_names=options.input_names,
            outputs=options.outputs,
            allow_pickle=options.allow_pickle,
            allow_code=options.allow_code,
            freeze_state=options.freeze_state,
            samples=[
                Declared(name=name, dtype=dtype_by_numpy(str(array.dtype)).numpy, shape=array.shape)
                for name, array in (guessed[0].inputs if guessed else {}).items()
            ],
        ),
        seconds=options.timeout,
        memory=None if options.memory is None else int(options.memory * 1e9),
    )
    try:
        return _described(source, process, files, options, progress)
    except BaseException:
        process.close()
        raise


def _described(
    source: str, process: SourceProcess, files: Sequence[SampleStream], options: SourcingOptions, progress: Progress
) -> OpenedSource:
    declared = [_declared(item) for item in process.inputs]
    hints = _hints(process.inputs, options)
    files, heads = source_heads(files, process.inputs, hints, process.infer)
    given = [*(batch for batches in heads for batch in batches), *options.batches]
    known = _check_samples(process, given)
    progress("finding axes and roles")
    inputs = with_ranges(find_inputs(declared, given, hints, process.infer), options.ranges)
    signature = Signature(inputs=find_minimums(inputs, given, process.infer), outputs=())
    samples = CaseSet(signature, files, ranges=options.ranges, samples=options.batches, heads=heads)
    cases = samples.first()
    runner = SourceRunner(process, name=source, signature=signature)
    for batch, answer in zip(given, known, strict=True):
        runner.keep(batch.inputs, answer)
    answers, outcomes = [], []
    failure: RunnerError | None = None
    for number, batch in enumerate(cases):
        progress(f"reference answers {number + 1}/{len(cases)}")
        sizes = signature.sizes(shapes_of(batch.inputs))
        try:
            answers.append((sizes, runner.remember(batch.inputs)))
            outcomes.append((sizes, ""))
        except RunnerError as error:
            if batch.origin == "given":
                raise CannotError(f"{batch.name}: {error}") from error
            failure = error
            outcomes.append((sizes, first_line(error)))
    if not answers:
        raise CannotError(
            f"{source}: the model fails on every input made from its signature: give samples with --inputs ({failure})"
        ) from failure
    complete = replace(signature, outputs=find_outputs(signature, answers))
    _check_names(complete)
    described = SourceRunner(process, name=source, signature=complete)
    described.adopt(runner)
    _, _, rows = start_of(complete, given)
    limited, said = find_maximums(complete, rows or cases[0], outcomes, process.infer)
    opened = OpenedSource(process, described, samples.within(complete), cases, said)
    for label, axis in limited.axes.items():
        if axis.maximum is not None and axis.maximum != complete.axes[label].maximum:
            opened = opened.with_limits(label, maximum=axis.maximum)
    return opened


def _hints(inputs: Sequence[Declared], options: SourcingOptions) -> UserHints:
    """Join what the model declares of its axes with what the user says; the user's word comes first."""
    dynamic: dict[tuple[str, int], str] = {}
    minimums: dict[str, int] = {}
    multiples: dict[str, int] = {}
    maximums = dict(options.maximums)
    names: dict[str | None, str] = {}  # the user's label by the model's own
    for item in inputs:
        for number, label in enumerate(item.labels):
            if label is None:
                if (item.name, number) in options.dynamic:
                    raise UsageError(f"--dynamic {item.name}:{number}: the model declares this axis with a fixed length")
                continue
            name = names.setdefault(label, options.dynamic.get((item.name, number)) or label)
            dynamic[item.name, number] = name
            minimums[name] = max(minimums.get(name, 0), item.minimums[number] if item.minimums else 0)
            multiples[name] = max(multiples.get(name, 1), item.multiples[number] if item.multiples else 1)
            largest = item.maximums[number] if item.maximums else None
            if largest is not None:
                maximums[name] = min(maximums.get(name, largest), largest)
    roles = {
        item.name: replace(item.role, of=names.get(item.role.of), into=names.get(item.role.into))
        for item in inputs
        if item.role is not None
    }
    least = {label: n for label, n in minimums.items() if n > 0}
    return UserHints(
        dynamic={**options.dynamic, **dynamic},
        roles={**roles, **options.roles},
        minimums={**least, **options.minimums},
        maximums=maximums,
        multiples=multiples,
    )


def _declared(item: Declared) -> TensorSpec:
    if item.shape is None or item.dtype is None:
        return TensorSpec(name=item.name, dtype=item.dtype or "float32", shape=None)
    shape = tuple(Axis(label=f"{item.name}_{k}") if n is None else Axis(size=n) for k, n in enumerate(item.shape))
    return TensorSpec(name=item.name, dtype=item.dtype, shape=shape, optional=item.optional)


def _check_samples(process: SourceProcess, given: Sequence[Batch]) -> list[Arrays]:
    """Return the answers to the user's own samples: without them nothing can be found out."""
    known = [item.name for item in process.inputs]
    answers = []
    for batch in given:
        unknown = [name for name in batch.inputs if known and name not in known]
        if unknown or not batch.inputs:
            raise UsageError(
                f"{batch.name}: the model's inputs are {', '.join(known)}; found {', '.join(batch.inputs) or 'none'}: "
                "save the arrays under the model's own input names, or give --input-name OLD=NEW"
            )
        try:
            answers.append(process.infer(batch.inputs))
        except RunnerError as error:
            raise CannotError(f"{batch.name}: {error}") from error
    return answers


def _check_names(signature: Signature) -> None:
    both = {spec.name for spec in signature.inputs} & {spec.name for spec in signature.outputs}
    if both:
        raise UsageError(
            f"'{min(both)}' is the name of an input and of an output: ONNX needs different names; rename with --input-name or --outputs"
        )
    if any(spec.name == "" for spec in signature.outputs):
        raise UsageError("an output has an empty name: name the outputs with --outputs")


def source_heads(
    files: Sequence[SampleStream], inputs: Sequence[Declared], hints: UserHints, infer: Callable[[Mapping[str, Array]], Arrays]
) -> tuple[Sequence[SampleStream], list[list[Batch]]]:
    """Read small batches for a source that was loaded.

    A model that does not say its types is given those of the file; where it fails on float64, it is given float32.

    Args:
        files: the user's.
        inputs: what the model declares.
        hints: axes and roles from the source and from the user.
        infer: runs the source.

    Returns:
        The files bound to the inputs, and the batches of each.
    """
    requested = [_requested(item, hints) for item in inputs]
    mine = [file.bound(requested) for file in files]
    given = [file.heads() for file in mine]
    open_types = {item.name for item in inputs if item.dtype is None}
    arrays = [(name, array.dtype) for batches in given for batch in batches for name, array in batch.inputs.items()]
    doubles = {name for name, dtype in arrays if dtype == "float64"} & open_types
    if not doubles or all(file.whole for file in files) or _works(infer, given[0][0]):
        return mine, given
    narrower = [file.bound([replace(w, dtype="float32") if w.name in doubles else w for w in requested]) for file in files]
    again = [file.heads() for file in narrower]
    return (narrower, again) if _works(infer, again[0][0]) else (mine, given)


def _works(infer: Callable[[Mapping[str, Array]], Arrays], batch: Batch) -> bool:
    try:
        infer(batch.inputs)
    except RunnerError:
        return False
    return True


def _requested(item: Declared, hints: UserHints) -> InputRequest:
    labels = {axis: label for (name, axis), label in hints.dynamic.items() if name == item.name and label}
    role = hints.roles.get(item.name, Role())
    if item.shape is None:
        return InputRequest(name=item.name, dtype=item.dtype, role=role, optional=True, labels=labels)
    least = item.minimums or (0,) * len(item.shape)
    shape = tuple(
        Axis(label=labels.get(k) or f"{item.name}_{k}", minimum=least[k]) if n is None else Axis(size=n)
        for k, n in enumerate(item.shape)
    )
    return InputRequest(name=item.name, dtype=item.dtype, shape=shape, role=role, optional=item.optional)
