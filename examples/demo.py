"""Runs both examples from training to served answers through portinf's command line: what ``make demo`` starts.

It trains what is not trained yet, packages both models, serves them, asks the server over gRPC and HTTP with events of
different sizes, and compares with Keras and PyTorch. Everything is written to ``demo-output``; the exit code is 0 only if all
answers agree.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# so that `python examples/demo.py` works like `python -m examples.demo`
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from examples.asking import Arrays, DemoError, ask, print_table
from examples.commands import STARTED, portinf, python, say, served
from examples.facile.sample import generate

__all__ = ["Example", "main"]

ROOT = Path(__file__).resolve().parents[1]
OUTPUT = Path("demo-output")  # below ROOT, where every command runs, so that what is printed can be pasted
MODELS = OUTPUT / "models"


@dataclass(frozen=True, kw_only=True)
class Example:
    """One system: how it is trained, packaged and asked.

    Attributes:
        name: of the model on the server.
        folder: of its sources, and of its files below ``demo-output``.
        source: what ``portinf package`` is given.
        options: further options of ``package`` and ``validate`` which belong to the source.
        batching: further options of ``package`` alone.
        framework: its key in ``examples/reference.py``.
        trained: the file that training writes.
        events: the files of events that training writes.
        smallest: file and content of one more event, as small as can be.
        report: the HTML report of the chain.
    """

    name: str
    folder: str
    source: str
    options: tuple[str, ...] = ()
    batching: tuple[str, ...] = ()
    framework: str
    trained: Path
    events: tuple[Path, ...]
    smallest: tuple[Path, Arrays]
    report: Path

    @property
    def all_events(self) -> tuple[Path, ...]:
        """The files of events that are sent, the smallest first."""
        return (self.smallest[0], *self.events)

    @property
    def answers(self) -> Path:
        """Where the framework's answers are written."""
        return OUTPUT / self.folder / "answers.npz"


FACILE = Example(
    name="facile",
    folder="facile",
    source=f"{OUTPUT}/facile/facile.keras",
    batching=("--max-batch-size", "16000"),  # channels: about one event of the detector
    framework="keras",
    trained=OUTPUT / "facile/facile.keras",
    events=(OUTPUT / "facile/events_small.npz", OUTPUT / "facile/events_large.npz"),
    smallest=(OUTPUT / "facile/one_channel.npz", {"channels": generate(1, seed=1).inputs}),
    report=OUTPUT / "report.html",
)
TRACKING = Example(
    name="track_gnn",
    folder="tracking",
    source="examples/tracking/model.py:build",
    options=("--weights", f"{OUTPUT}/tracking/track_gnn.pt", "--outputs", "score"),
    framework="tracks",
    trained=OUTPUT / "tracking/track_gnn.pt",
    events=(OUTPUT / "tracking/event_a.npz", OUTPUT / "tracking/event_b.npz"),
    smallest=(
        OUTPUT / "tracking/no_segment.npz",
        {"x": np.zeros((1, 3), dtype=np.float32), "edge_index": np.zeros((2, 0), dtype=np.int64)},
    ),
    report=OUTPUT / "report-tracking.html",
)
EXAMPLES = (FACILE, TRACKING)


def main() -> int:
    """Run everything and return the exit code."""
    os.chdir(ROOT)
    shutil.rmtree(MODELS, ignore_errors=True)  # versions are never overwritten: a repository would grow with every run
    try:
        with ThreadPoolExecutor() as pool:
            _in_parallel(pool, _train)
            _in_parallel(pool, _package, _ask_framework)
            with served(MODELS, OUTPUT / "serve-local.log") as ready:
                say("asking over gRPC and HTTP")
                answered = [found for one in EXAMPLES for found in ask(one.name, one.all_events, one.answers, ready)]
                _in_parallel(pool, lambda example: _report(example, ready))
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    print_table(answered)
    for example in EXAMPLES:
        print(f"report on {example.name}: {example.report}")
    agreeing = sum(found.agrees for found in answered)
    print(f"{agreeing} of {len(answered)} events agree; {time.perf_counter() - STARTED:.0f} s in all")
    return 0 if agreeing == len(answered) else 1


def _in_parallel(pool: ThreadPoolExecutor, *steps: Callable[[Example], None]) -> None:
    """Run steps, each for every example, at the same time; wait for all of them, then raise the first error."""
    jobs = [pool.submit(step, example) for step in steps for example in EXAMPLES]
    wait(jobs)
    for job in jobs:
        job.result()


def _train(example: Example) -> None:
    """Train unless the outputs are newer than the sources; write the smallest event."""
    written = (example.trained, *example.events)
    sources = (ROOT / "examples" / example.folder).glob("*.py")
    newest = max(path.stat().st_mtime for path in sources)
    if all(path.is_file() and path.stat().st_mtime > newest for path in written):
        say(f"{example.name}: trained before ({example.trained})")
    else:
        say(f"{example.name}: training")
        answer = python(["-m", f"examples.{example.folder}.train", str(OUTPUT / example.folder)])
        say(answer.rstrip())
    path, arrays = example.smallest
    content: dict[str, Any] = dict(arrays)
    np.savez(path, **content)


def _package(example: Example) -> None:
    """Convert the model and write a new version of it into the model repository."""
    options = [*example.options, *_inputs(example.events), *example.batching]
    say(portinf("package", example.source, "--repository", str(MODELS), "--name", example.name, *options).rstrip())


def _ask_framework(example: Example) -> None:
    """Write the framework's own answers to all events."""
    files = [example.trained, example.answers, *example.all_events]
    python(["-m", "examples.reference", example.framework, *map(str, files)])


def _report(example: Example, ready: Mapping[str, Any]) -> None:
    """Compare source, converted file and live endpoint, and write the report."""
    newest = max((MODELS / example.name).glob("*/model.onnx"), key=lambda path: int(path.parent.name))
    candidates = [str(newest), f"grpc://{ready['grpc']}/{example.name}"]
    options = [*example.options, *_inputs(example.events), "--report", str(example.report)]
    portinf("validate", example.source, *candidates, *options)


def _inputs(events: Sequence[Path]) -> list[str]:
    """Return the options that name files of events."""
    return [text for path in events for text in ("--inputs", str(path))]


if __name__ == "__main__":
    sys.exit(main())
