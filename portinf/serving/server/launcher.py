"""Serves a model repository: starts an engine's server, waits until every model is ready, keeps it well, ends it cleanly."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from portinf.core.errors import PermissionNeededError, ServingError
from portinf.core.scratch import scratch_folder
from portinf.serving.client.control import Control
from portinf.serving.engines import CONTAINERS, OWN, EngineRequest, choose_engine, plan
from portinf.serving.reload.background import repeating
from portinf.serving.reload.stub_supervisor import Supervisor
from portinf.serving.reload.watcher import State, Watcher, snapshot
from portinf.serving.repository import ModelFolder, Problem, read_repository, refusal
from portinf.serving.server.loading import await_ready, ended, refuse_unready
from portinf.serving.server.mirror import Given, Mirror, Original
from portinf.serving.server.model_code import CodeRule, code_refusal
from portinf.serving.server.ports import HOST, Ports, choose_ports
from portinf.serving.server.process import ServerCommand, ServerProcess
from portinf.serving.server.shared_memory import new_prefix

__all__ = ["ServeOptions", "Server", "serve", "termination_as_interrupt"]

_SUPERVISE_SECONDS = 0.25
_WATCH_SECONDS = 1.0
_GRACE_SECONDS = 10.0
_SHORT_GRACE_SECONDS = 1.0

Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """How to serve.

    Attributes:
        ports: 0 for any free one.
        engine: ``auto`` or a name.
        image: of a container.
        serving_env: folder of the serving environment; None for the user's cache folder.
        load_timeout: of all models together, in seconds.
        code: which code of the models' own may run; without more, none.
    """

    ports: Ports = field(default_factory=Ports)
    engine: str = "auto"
    image: str | None = None
    serving_env: Path | None = None
    load_timeout: float = 300.0
    code: CodeRule = field(default_factory=CodeRule)


class Server:
    """A server that is ready; ``http``, ``grpc`` and ``metrics`` are addresses a client can use as they are."""

    def __init__(self, engine: str, ports: Ports, models: list[ModelFolder], process: ServerProcess, control: Control) -> None:
        self.engine = engine
        self.ports = ports
        self.http = f"{HOST}:{ports.http}"
        self.grpc = f"{HOST}:{ports.grpc}"
        self.metrics = f"http://{HOST}:{ports.metrics}/metrics"
        self.models = [model.name for model in models]
        self.control = control
        self.pid = process.pid
        self._process = process

    def log(self) -> str:
        """Return the server's log so far."""
        return self._process.log()

    def wait(self) -> None:
        """Wait for the end of the server, which is an error: it is ended by leaving the block of ``serve``.

        Raises:
            ServingError: the server has ended; the message says how and with what last words.
        """
        while self._process.poll() is None:
            time.sleep(0.2)
        raise ended(self._process, "while serving")


@contextmanager
def serve(folder: Path, options: ServeOptions, report: Report) -> Iterator[Server]:
    """Serve a repository unchanged on the loopback address for the time of the block.

    Args:
        folder: the model repository; it is only read.
        options: ports, engine and the rest.
        report: called with one line of progress or trouble at a time, also from other threads.

    Raises:
        UnreadableError: the folder does not exist.
        ServingError: a port is in use, the repository is empty, a model cannot be loaded, the server does not start.
        PermissionNeededError: a model brings code of its own that may not run.
        CannotError: the engine cannot run on this machine.
    """
    models, problems = read_repository(folder)
    seen = snapshot(folder)
    engine = choose_engine(options.engine, options.image)
    if problems:
        raise refusal(folder, problems)
    ports = choose_ports(options.ports)
    with scratch_folder("portinf-serve-") as scratch:
        given = _given(folder, models, engine, options.code, scratch, report)
        request = EngineRequest(
            repository=given.repository,
            models=tuple(model.name for model in models),
            scratch=scratch,
            ports=ports,
            prefix=new_prefix(),
            complete=all(model.complete for model in models),
            image=options.image,
            serving_env=options.serving_env,
            report=report,
        )
        command = plan(engine, request)
        choose_ports(ports)
        report(f"starting the server ({engine}) with {len(models)} model{'' if len(models) == 1 else 's'} from {folder}")
        with _running(command, request.prefix, scratch) as session:
            control = Control(ports.http, ports.grpc)
            await_ready(session.process, control, len(models), options.load_timeout, report)
            refuse_unready(session.process, control, folder, list(request.models), given.in_users_words)
            session.grace = _GRACE_SECONDS
            with _kept(session, control, folder, seen, request, given):
                yield Server(engine, ports, models, session.process, control)


@contextmanager
def termination_as_interrupt() -> Iterator[None]:
    """Turn SIGTERM, and SIGINT even where it was ignored, into KeyboardInterrupt for the time of the block (main thread only)."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Session:
    """A running process, the time it is given to end, and who looks after it."""

    def __init__(self, process: ServerProcess, stubs: bool) -> None:
        self.process = process
        self.stubs = stubs
        self.grace = _SHORT_GRACE_SECONDS
        self.supervisor: Supervisor | None = None


@contextmanager
def _running(command: ServerCommand, prefix: str, scratch: Path) -> Iterator[_Session]:
    session = _Session(ServerProcess(command, prefix, scratch), command.stubs)
    try:
        yield session
    finally:
        # A stub that died leaves the server waiting for it at its end: there is nothing to wait for then.
        cured = session.supervisor is not None and session.supervisor.cures > 0
        session.process.stop(min(session.grace, 2 * _SHORT_GRACE_SECONDS) if cured else session.grace)


@contextmanager
def _kept(
    session: _Session, control: Control, folder: Path, seen: dict[str, State], request: EngineRequest, given: Given
) -> Iterator[None]:
    lock = threading.Lock()

    def report(line: str) -> None:
        request.report(given.in_users_words(line))

    def prepare(model: ModelFolder) -> None:
        if request.complete and not model.complete:
            raise ServingError(
                "its config.pbtxt is incomplete, and this server was started without completing any: name the backend, the "
                "inputs and the outputs there, or start the server again"
            )
        given.add(model)

    watcher = Watcher(folder, seen, control, report, lock, prepare, given.remove)
    supervisor = Supervisor(session.process.pid, control, report, lock)
    session.supervisor = supervisor
    with repeating("watching the repository", watcher.step, _WATCH_SECONDS, report):
        if session.stubs:
            with repeating("supervision", supervisor.step, _SUPERVISE_SECONDS, report):
                yield
        else:
            yield


def _given(folder: Path, models: list[ModelFolder], engine: str, rule: CodeRule, scratch: Path, report: Report) -> Given:
    """Return the folder that an engine's server is given, with all models in it.

    Raises:
        PermissionNeededError: some bring code that may not run; the message names each one.
        ServingError: some cannot be given to this server.
    """
    made: Given = (
        Original(folder, rule) if engine in CONTAINERS else Mirror(scratch, own=engine == OWN, rule=rule, report=report)
    )
    refused, problems = [], []
    for model in models:
        try:
            made.add(model)
        except PermissionNeededError as error:
            refused.append(Problem(model=model.name, reason=str(error)))
        except ServingError as error:
            problems.append(Problem(model=model.name, reason=str(error)))
    if refused:
        raise code_refusal(folder, refused)
    if problems:
        raise refusal(folder, problems)
    return made
