"""The child process of a source: one JSON command a line on stdin, one JSON answer a line on the stream it was given."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from portinf.core.batch import Array, Arrays, load_npz, save_npz
from portinf.core.errors import CannotError, PortinfError, RunnerError, UsageError, first_line
from portinf.core.signature import Signature
from portinf.sources.detect import Factory, Found
from portinf.sources.layers import Recorder
from portinf.sources.model import Declared, Source, SourceOptions, half_notes, renamed
from portinf.sources.opening import open_source
from portinf.sources.randomness.watch import Randomness
from portinf.sources.routes import Assumption, ExportOptions, Route, routes_of
from portinf.sources.state.keeper import Keeper

__all__ = ["main"]


class Session:
    """One loaded source under the user's names.

    Args:
        options: how to open it.
    """

    def __init__(self, options: SourceOptions) -> None:
        self._options = options
        self._source: Source = open_source(options)
        self._keeper = Keeper(self._source, freeze=options.freeze_state)
        self._routes: list[Route] = []
        self._randomness = Randomness(self._source)
        self._look_again: Any = getattr(self._source, "look_again", None)  # a factory's parameters, made by the first answer
        self._assumed: list[Assumption] = []
        self._hints: tuple[Assumption, ...] = ()
        self._dtypes: dict[str, int] = dict(getattr(self._source, "dtypes", {}))
        own = [declared.name for declared in self._source.inputs]
        unknown = [name for name in options.input_names if own and name not in own]
        if unknown:
            raise UsageError(f"--input-name: no input '{unknown[0]}'; the model has: {', '.join(own)}")
        self._own = {given: name for name, given in options.input_names.items()}

    def describe(self) -> dict[str, Any]:
        """Return framework, declared inputs under the user's names, and notes."""
        names = self._options.input_names
        declared = [dataclasses.replace(d, name=names.get(d.name, d.name)) for d in self._source.inputs]
        return {
            "framework": self._source.framework,
            "inputs": [dataclasses.asdict(d) for d in declared],
            "notes": self.notes,
            "dtypes": self._dtypes,
        }

    @property
    def notes(self) -> list[str]:
        """What the user should know of the source, as far as it is known by now."""
        return [*self._source.notes, *half_notes(self._dtypes), *self._keeper.notes]

    @property
    def random(self) -> str:
        """Why the answers so far are random; empty where nothing says so."""
        return self._randomness.reason

    def infer(self, inputs: Mapping[str, Array], *, double: bool = False) -> Arrays:
        """Answer one request under the user's names, in float64 if requested.

        Raises:
            RunnerError: the model fails on these inputs.
            CannotError: this source cannot compute in float64.
        """
        owned = self._owned(inputs)
        try:
            outputs = self._infer_double(owned) if double else self._answer(owned)
        except PortinfError:
            raise
        except Exception as error:
            raise RunnerError(
                f"the model fails in {self._source.framework}: {type(error).__name__}: {first_line(error)}"
            ) from error
        names = renamed(list(outputs), self._options.outputs)
        return dict(zip(names, outputs.values(), strict=True))

    def _answer(self, inputs: Mapping[str, Array]) -> Arrays:
        """Run the source and record what it draws; after its first result also what that made."""
        outputs = self._randomness.answer(lambda asked: self._keeper.ask(self._source.infer, asked), inputs)
        if self._look_again is not None:
            note = self._look_again(inputs)
            self._source.notes[:0] = [note] if note else []
            self._look_again = None
        return outputs

    def _infer_double(self, inputs: Arrays) -> Arrays:
        infer = self._part("infer_double", "compute in float64")
        with self._keeper.kept():
            outputs: Arrays = infer(inputs)
            return outputs

    def _owned(self, inputs: Mapping[str, Array]) -> Arrays:
        known = [d.name for d in self._source.inputs]
        own = {self._own.get(name, name): array for name, array in inputs.items()}
        unknown = [name for name in own if known and name not in known]
        if unknown:
            raise UsageError(f"the model has no input '{unknown[0]}'; it has: {', '.join(known)}")
        return own

    def _part(self, method: str, what: str) -> Any:
        """Return an optional method of the source."""
        found = getattr(self._source, method, None)
        if found is None:
            raise CannotError(
                f"a source of framework '{self._source.framework}' cannot {what} here; PyTorch modules and Keras models can"
            )
        return found

    def trace(self, inputs: Mapping[str, Array], names: Sequence[str] | None) -> tuple[list[dict[str, Any]], Arrays]:
        """Return the calls of the layers, and the tensors asked for by name (None: all).

        Raises:
            RunnerError: the model fails on these inputs.
            CannotError: this source has no layers to show.
        """
        trace = self._part("trace", "show its layers")
        try:
            with self._keeper.kept():
                recorder: Recorder = trace(self._owned(inputs))
        except PortinfError:
            raise
        except Exception as error:
            raise RunnerError(
                f"the model fails while its layers are recorded: {type(error).__name__}: {first_line(error)}"
            ) from error
        own = {name: given for given, name in self._own.items()}
        layers = [
            {**dataclasses.asdict(layer), "inputs": [own.get(name, name) for name in layer.inputs]} for layer in recorder.layers
        ]
        return layers, {name: array for name, array in recorder.arrays.items() if names is None or name in names}

    def offer(self, options: ExportOptions) -> list[dict[str, Any]]:
        """Prepare the routes and return their names, with the reason where one cannot be taken."""
        own = tuple(dataclasses.replace(spec, name=self._own.get(spec.name, spec.name)) for spec in options.signature.inputs)
        inside = dataclasses.replace(options, signature=dataclasses.replace(options.signature, inputs=own))
        example = {self._own.get(name, name): array for name, array in load_npz(options.example).inputs.items()}
        save_npz(options.example, example)
        self._routes = list(routes_of(self._source.framework, self._source, inside))
        self._assumed, self._hints = inside.assumed, tuple(inside.assumed)
        return [{"name": route.name, "reason": route.reason} for route in self._routes]

    def assumed(self) -> list[dict[str, Any]]:
        """Return what the last route assumed of the lengths of axes; before any is taken, what every route does."""
        return [dataclasses.asdict(assumption) for assumption in self._assumed]

    def export(self, number: int, folder: Path) -> str:
        """Take one route and return the path of its ONNX file.

        Raises:
            RunnerError: the exporter failed; the message is its first line.
        """
        route = self._routes[number]
        assert route.export is not None
        self._assumed[:] = self._hints
        try:
            with self._keeper.kept():
                return str(route.export(folder))
        except PortinfError:
            raise
        except Exception as error:
            raise RunnerError(f"{type(error).__name__}: {first_line(error)}") from error


def source_options(data: Mapping[str, Any]) -> SourceOptions:
    """Read what `portinf.sources.process.parent` sent."""
    found = data["found"]
    factory = found["factory"]
    return SourceOptions(
        found=Found(
            format=found["format"],
            path=Path(found["path"]),
            factory=factory
            and Factory(file=factory["file"] and Path(factory["file"]), module=factory["module"], name=factory["name"]),
        ),
        weights=data["weights"] and Path(data["weights"]),
        signature=data["signature"],
        input_names=data["input_names"],
        outputs=data["outputs"],
        allow_pickle=data["allow_pickle"],
        allow_code=data["allow_code"],
        freeze_state=data["freeze_state"],
        samples=[Declared(name=s["name"], dtype=s["dtype"], shape=tuple(s["shape"])) for s in data["samples"]],
    )


def _answer(session: Session | None, command: Mapping[str, Any]) -> tuple[Session | None, Any]:
    what = command["do"]
    if what == "open":
        session = Session(source_options(command["options"]))
        return session, session.describe()
    assert session is not None
    if what == "infer":
        outputs = session.infer(load_npz(Path(command["inputs"])).inputs, double=command["double"])
        save_npz(Path(command["outputs"]), outputs)
        return session, {"outputs": list(outputs), "notes": session.notes, "random": session.random}
    if what == "trace":
        layers, arrays = session.trace(load_npz(Path(command["inputs"])).inputs, command["names"])
        save_npz(Path(command["outputs"]), {f"{number}": array for number, array in enumerate(arrays.values())})
        return session, {"layers": layers, "names": list(arrays)}
    if what == "routes":
        options = ExportOptions(
            signature=Signature.from_json(command["signature"]),
            example=Path(command["example"]),
            opset=command["opset"],
            compared=command["compared"],
        )
        return session, session.offer(options)
    if what == "export":
        return session, {"file": session.export(command["route"], Path(command["folder"])), "notes": session.notes}
    if what == "assumed":
        return session, session.assumed()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return session, {"cpu_seconds": usage.ru_utime + usage.ru_stime, "peak_bytes": usage.ru_maxrss * 1024}


def _failure(error: BaseException) -> dict[str, Any]:
    kind = type(error).__name__ if isinstance(error, PortinfError) else ""
    text = str(error) if kind else f"{type(error).__name__}: {first_line(error)}"
    example = getattr(error, "example", "")
    return {"error": {"kind": kind, "message": text, "example": example, "traceback": traceback.format_exc()}}


def serve(commands: IO[str], answers: IO[str]) -> None:
    """Answer commands until the stream ends."""
    session: Session | None = None
    for line in commands:
        try:
            session, value = _answer(session, json.loads(line))
            reply: dict[str, Any] = {"ok": value}
        except Exception as error:  # noqa: BLE001 (whatever a model's code raises crosses back as data)
            reply = _failure(error)
        answers.write(json.dumps(reply) + "\n")
        answers.flush()


def main() -> None:
    """Keep stdout for the answers; whatever the model's code prints goes to stderr."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin, answers)
