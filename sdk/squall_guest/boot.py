"""The story of a container: imports, assignment, user code, inputs, the end.

The slow imports come first and the assignment after them, so that a container of a warm pool has
them behind it when it is told what to be; one that is held as a snapshot has user code behind it too.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import cloudpickle  # noqa: F401 - imported here so that no input waits for it
import msgspec
import squall.function  # noqa: F401 - user code will
from squall import _container
from squall.exception import FunctionTimeoutError
from squall_bus.errors import BusError
from squall_bus.stores import objects  # noqa: F401 - the bus imports them on first use
from squall_contracts.failures import Failure
from squall_contracts.guest import (
    ASSIGNMENT_VARIABLE,
    EXIT_FAULT,
    EXIT_INTERRUPTED,
    EXIT_MACHINE,
    EXIT_NO_BUS,
    EXIT_STARTUP,
    TEMPLATE_VARIABLE,
    Assignment,
)
from squall_contracts.message import decode

from squall_guest import layout, load, report, snapshot
from squall_guest.execute import Executor, Serial, Threads
from squall_guest.flight import FlightRecord
from squall_guest.hooks import Exits, Home
from squall_guest.inputs import Body
from squall_guest.interrupt import InputTimeout, MainGuard
from squall_guest.link import Link
from squall_guest.loop import Loop
from squall_guest.phases import Phases
from squall_guest.session import Session
from squall_guest.shutdown import Signals, leave
from squall_guest.watch import GRACE_S, NUDGE_S

if TYPE_CHECKING:
    from squall_guest.web.hosts import Hosts

SWITCH_S: Final = 0.0005
"""How long the NATS thread waits at most for user code to let go of the interpreter."""
_log: Final = logging.getLogger("squall.guest")


def main() -> NoReturn:
    """Live as a container, and exit."""
    sys.setswitchinterval(SWITCH_S)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(line_buffering=True)
    try:
        code = _live()
    except Exception:  # noqa: BLE001 - said, and told by the exit code
        _log.exception("the guest failed")
        code = EXIT_FAULT
    leave(code)


def _live() -> int:
    phases, guard, link = Phases(), MainGuard(), Link()
    link.start()
    signals = Signals(link.loop)
    prepared: snapshot.Snapshot | None = None
    template = os.environ.pop(TEMPLATE_VARIABLE, "")
    try:
        if template:
            prepared = snapshot.take(template)
        assignment = _read_assignment(phases)
    except snapshot.SnapshotFailed as failed:
        _log.error("no snapshot could be made:\n%s", failed)
        return EXIT_STARTUP
    except (OSError, KeyError, msgspec.DecodeError) as error:
        _log.error("can't read the assignment that %s names: %r", ASSIGNMENT_VARIABLE, error)
        return EXIT_NO_BUS
    if assignment.spec.sandbox is not None:
        from squall_guest import sandbox

        sandbox.become(assignment)
    _close_input()
    start = _Start(assignment, link, guard, phases, prepared)
    try:
        executor = start.ready()
    except BusError as error:
        _log.error("the container can't start: %s", error)
        return EXIT_NO_BUS
    except layout.MachineError as error:
        _log.error("the container can't start: %s", error)
        return EXIT_MACHINE
    if executor is None:
        return EXIT_STARTUP
    session = start.session
    signals.drain_with(session.begin_drain)
    _container.drain_with(link.there(session.begin_drain))
    hooks = [*executor.body.service.exits]
    if start.hosts is not None:
        hooks.insert(0, start.hosts.close)
    exits = Exits(hooks, start.home, link, session)
    code = _serve(executor, link, session, signals, lambda: exits.run(guard))
    start.home.close()
    link.stop()
    return code


def _read_assignment(phases: Phases) -> Assignment:
    path = Path(os.environ.pop(ASSIGNMENT_VARIABLE))
    assignment = decode(path.read_bytes(), Assignment)
    if assignment.ahead:
        phases.begin_anew()
    else:
        phases.end("boot")
    return assignment


def _close_input() -> None:
    """What functions read is no sandbox's input."""
    given = os.environ.pop("SQUALL_INPUT", "")
    if given:
        os.close(int(given))


class _Start:
    """From the assignment to the first input. The bus connects while user code is imported."""

    def __init__(
        self,
        assignment: Assignment,
        link: Link,
        guard: MainGuard,
        phases: Phases,
        prepared: snapshot.Snapshot | None,
    ) -> None:
        """`prepared`: user code, where the container was held as a snapshot."""
        self._assignment = assignment
        self._link = link
        self._guard = guard
        self._phases = phases
        self._limit_s = assignment.spec.startup_timeout_s or assignment.spec.timeout_s
        self._prepared = prepared
        self.session = Session(assignment, link.tasks)
        self.home = Home() if prepared is None else prepared.home
        self.hosts: Hosts | None = None
        self._opened = link.call(self.session.open())

    def ready(self) -> Executor | None:
        """The executor, inputs on their way to it. None: user code can't be made ready, and the
        platform was told why. BusError: it can't be reached."""
        limit = self._link.call(self._limit())
        try:
            service = self._guarded_load()
        except (KeyboardInterrupt, BusError, layout.MachineError):
            raise
        except BaseException as error:  # noqa: BLE001 - user code's imports may raise anything
            limit.cancel()
            self._opened.result()
            self._link.call(self.session.fail(self._failure(error))).result()
            return None
        limit.cancel()
        self._opened.result()
        self._phases.end("connect")
        executor = self._executor(service)
        self._link.call(self.session.start(executor, self._phases.ms)).result()
        return executor

    def _guarded_load(self) -> load.Service:
        try:
            try:
                self._guard.enter(self)
                return self._load()
            finally:
                self._guard.leave(self)
        except BaseException:
            self._guard.leave(self)
            raise

    def _load(self) -> load.Service:
        layout.set_environment(self._assignment)
        self._assignment = msgspec.structs.replace(self._assignment, secrets={})
        if self._prepared is not None:
            self._prepared.first_to_go.withdraw()
            _container.enter(self._assignment)
            service, hooks = self._prepared.service, self._prepared.service.enters
        else:
            service = self._imported()
            hooks = [*service.snaps, *service.enters]
        for hook in hooks:
            self.home.call(hook)
        if hooks:
            self._phases.end("enter")
        if any(callee.web is not None for callee in service.callees.values()):
            self._open_web(service)
            self._phases.end("web_startup")
        return service

    def _imported(self) -> load.Service:
        spec = self._assignment.spec
        layout.lay_files(self._assignment)
        layout.enter_root(self._assignment)
        self._phases.end("files")
        _container.enter(self._assignment)
        if spec.serialized is None:
            service = load.imported(spec)
        else:
            self._opened.result()
            pickled = self._link.call(self.session.code(spec.serialized)).result()
            service = load.unpickled(spec, pickled)
        self._phases.end("import")
        return service

    def _open_web(self, service: load.Service) -> None:
        from squall_guest.web.hosts import Hosts

        self._opened.result()
        self.hosts = Hosts(self.home, self._link, self.session, self._assignment)
        for name, callee in service.callees.items():
            if callee.web is not None:
                self.hosts.open(name, callee)

    def _executor(self, service: load.Service) -> Executor:
        spec, desk = self._assignment.spec, self.session.desk
        body = Body(spec, service, self.session.outbox, self.hosts)
        flight = FlightRecord(self._assignment.flight_record)
        if service.is_async or spec.batch is not None:
            return Loop(body, desk, flight, self.home)
        if spec.max_inputs > 1:
            return Threads(body, desk, flight)
        return Serial(body, desk, flight, self._guard)

    async def _limit(self) -> None:
        """Interrupt a start that takes too long; one that doesn't yield is reported from here."""
        await asyncio.sleep(self._limit_s)
        self._guard.throw(self, InputTimeout)
        for _ in range(int(GRACE_S / NUDGE_S)):
            await asyncio.sleep(NUDGE_S)
            self._guard.nudge()
        await asyncio.wrap_future(self._opened)
        await self.session.fail(self._failure(InputTimeout()))
        os._exit(EXIT_STARTUP)

    def _failure(self, error: BaseException) -> Failure:
        if isinstance(error, InputTimeout):
            text = f"the container was not ready within {self._limit_s:g} s"
            error = FunctionTimeoutError(text).with_traceback(error.__traceback__)
        return report.failure(error, "startup")


def _serve(
    executor: Executor,
    link: Link,
    session: Session,
    signals: Signals,
    exit_hooks: Callable[[], None],
) -> int:
    """Run inputs until told to stop, then the exit hooks; the exit code."""
    code, release = 0, False
    try:
        executor.serve()
        exit_hooks()
    except KeyboardInterrupt:
        # Sent from outside: what ran is run elsewhere. Raised by user code: the flight record tells
        # the runner, which counts it as a death of the container.
        release = signals.interrupted
        code = 0 if release else EXIT_INTERRUPTED
    with suppress(KeyboardInterrupt):
        link.call(session.close(release=release)).result()
        _container.leave()
    return code
