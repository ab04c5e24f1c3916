"""A guest as a real process on a real nats-server, driven with hand-made assignments and inputs."""

import asyncio
import hashlib
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from squall import _pickling
from squall_bus.bus import Bus, Delivery
from squall_bus.connection import connect
from squall_bus.errors import SquallRefusal
from squall_bus.layout import ensure_platform, ensure_workspace
from squall_contracts import rights, subjects, version_subjects
from squall_contracts.calls import (
    AskVersion,
    BlobRef,
    Input,
    Inputs,
    Lane,
    Raised,
    Report,
    Results,
    Returned,
    Superseded,
    Yielded,
)
from squall_contracts.functions import FileEntry, FunctionSpec
from squall_contracts.guest import (
    ASSIGNMENT_VARIABLE,
    FLIGHT_RECORD_BYTES,
    FLIGHT_SLOT_BYTES,
    Assignment,
)
from squall_contracts.message import decode, encode, input_id, new_id
from squall_contracts.placement import GuestReport, GuestStats, HeldInput

from tests.bus.natsd import NatsServer

FUNCTIONS = Path(__file__).with_name("functions.py")
ENVIRONMENT = "main"
CLIENT = "cl-test"
WAIT_S = 60.0
T = TypeVar("T")


class Call:
    """What came back of one call, in order of arrival."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self._more = asyncio.Condition()

    async def add(self, items: tuple[Report, ...]) -> None:
        async with self._more:
            self.reports.extend(items)
            self._more.notify_all()

    async def until(self, enough: Callable[[list[Report]], bool]) -> list[Report]:
        async with asyncio.timeout(WAIT_S), self._more:
            await self._more.wait_for(lambda: enough(self.reports))
        return self.reports

    async def outcomes(self, count: int) -> dict[int, Any]:
        """The first outcome of each of `count` indexes."""
        await self.until(lambda reports: len(_outcomes(reports)) >= count)
        return _outcomes(self.reports)

    async def replayed(self, rig: "Rig") -> None:
        """Until an outcome is in the stream: what came while nobody listened counts as well."""
        call_id = next(key for key, value in rig.calls.items() if value is self)
        subject = subjects.reply(ENVIRONMENT, CLIENT, call_id)
        async with asyncio.timeout(WAIT_S):
            while await rig.bus.admin.last_message(subjects.REPLIES, subject) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def outcome(self) -> Any:
        (found,) = (await self.outcomes(1)).values()
        return found

    async def value(self) -> Any:
        """What the only input returned. AssertionError if it failed."""
        outcome = await self.outcome()
        assert isinstance(outcome, Returned), outcome
        return _pickling.loads(outcome.payload)  # type: ignore[arg-type]

    async def failure(self) -> Any:
        outcome = await self.outcome()
        assert isinstance(outcome, Raised), outcome
        return outcome.failure

    def yielded(self) -> list[Any]:
        items = [r for r in self.reports if isinstance(r, Yielded)]
        assert [item.position for item in items] == list(range(len(items)))
        return [_pickling.loads(i.payload) for i in items if isinstance(i.payload, bytes)]


def _outcomes(reports: list[Report]) -> dict[int, Report]:
    found: dict[int, Report] = {}
    for report in reports:
        if type(report).__name__ in ("Returned", "Raised", "Exhausted"):
            found.setdefault(report.index, report)
    return found


class Guest:
    """One container's process."""

    def __init__(self, process: subprocess.Popen[bytes], assignment: Assignment, log: Path) -> None:
        self.process = process
        self.assignment = assignment
        self.log = log
        self.reports: asyncio.Queue[GuestReport] = asyncio.Queue()
        self.stats: asyncio.Queue[GuestStats] = asyncio.Queue()

    async def report(self, state: str) -> GuestReport:
        async with asyncio.timeout(WAIT_S):
            while True:
                report = await self.reports.get()
                if report.state == state:
                    return report
                assert report.state != "failed", report.failure

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def exit_code(self) -> int:
        async with asyncio.timeout(WAIT_S):
            return await asyncio.to_thread(self.process.wait)

    def output(self) -> str:
        return self.log.read_text()

    def held(self) -> list[HeldInput]:
        """What the flight record says is being run."""
        record = Path(self.assignment.flight_record).read_bytes()
        found = []
        for start in range(0, FLIGHT_RECORD_BYTES, FLIGHT_SLOT_BYTES):
            size = int.from_bytes(record[start : start + 2], "big")
            if size:
                found.append(decode(record[start + 2 : start + 2 + size], HeldInput))
        return found


class Function:
    """One function's consumers, and as many guests of it as a test starts."""

    def __init__(self, rig: "Rig", spec: FunctionSpec, ack_wait_s: float) -> None:
        self.rig = rig
        self.spec = spec
        self.function_id = new_id("fn")
        self.ack_wait_s = ack_wait_s

    async def guest(self, *, ready: bool = True, **fields: Any) -> Guest:
        guest = await self.rig.spawn(self, **fields)
        if ready:
            await guest.report("ready")
        return guest

    async def call(self, *args: Any, lane: Lane = "now", **kwargs: Any) -> Call:
        """One input."""
        return await self.group([_pickling.dumps((args, kwargs))], lane)

    async def call_method(self, method: str, *args: Any, **kwargs: Any) -> Call:
        """One input for a method of a class."""
        return await self.group([_pickling.dumps((args, kwargs))], "now", method=method)

    async def group(
        self,
        payloads: list[bytes | BlobRef],
        lane: Lane = "bulk",
        call_id: str = "",
        method: str = "",
        *,
        spawned: bool = False,
    ) -> Call:
        """One message with an input for each payload; results of spawned calls are kept."""
        call_id = call_id or new_id("fc")
        back = subjects.result if spawned else subjects.reply
        reply_to = back(ENVIRONMENT, CLIENT, call_id)
        items = tuple(Input(at, payload) for at, payload in enumerate(payloads))
        call = self.rig.calls[call_id] = Call()
        subject = subjects.call(ENVIRONMENT, self.function_id, lane, call_id)
        await self.rig.bus.store(
            subject,
            Inputs(call_id, reply_to, items, method=method),
            msg_id=f"{input_id(call_id, 0)}.0",
        )
        return call

    async def superseded(self, version: int) -> None:
        """What the gateway says once that version is deployed."""
        subject = version_subjects.superseded(ENVIRONMENT, self.function_id)
        await self.rig.bus.publish(subject, Superseded(version=version))
        await self.rig.bus.flush()

    async def waiting(self) -> int:
        backlog = await self.rig.bus.admin.backlog(
            subjects.CALLS, subjects.call_function(ENVIRONMENT, self.function_id)
        )
        return sum(backlog.values())

    async def settled(self) -> None:
        """Until no input of the function is left in the stream."""
        async with asyncio.timeout(WAIT_S):
            while await self.waiting():  # noqa: ASYNC110 - no word is sent of it
                await asyncio.sleep(0.01)


class Rig:
    def __init__(self, server: NatsServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.calls: dict[str, Call] = {}
        self.guests: dict[str, Guest] = {}
        self.versions: dict[str, int] = {}
        """What guests that ask are told, by function; 1 of others, and that 0 is none at all."""
        self._numbers = itertools.count()
        self.bus: Bus
        self._platform: Bus

    async def open(self) -> None:
        self.bus = await self.server.connect("tester")
        anybody = self.server.user(self.server.keys.platform)
        self._platform = await connect(
            [self.server.url], anybody, name="platform", inbox=subjects.inbox("platform")
        )
        await ensure_workspace(self.bus)
        await ensure_platform(self._platform)
        for reply in subjects.replies_to(ENVIRONMENT, CLIENT):
            await self.bus.subscribe(reply, self._on_results)
        await self._platform.subscribe(subjects.GUEST_REPORT_ALL, self._on_report)
        await self._platform.subscribe(subjects.STATS_ALL, self._on_stats)
        await self._platform.respond(version_subjects.VERSIONS_ALL, AskVersion, self._newest)

    async def close(self) -> None:
        for guest in self.guests.values():
            if guest.process.poll() is None:
                guest.process.kill()
            guest.process.wait()
        await self.bus.close()
        await self._platform.close()

    async def _on_results(self, delivery: Delivery) -> None:
        results = delivery.decode(Results)
        assert set(delivery.headers) <= {"Nats-TTL"}  # parsing more would cost clients time
        if results.call_id in self.calls:
            await self.calls[results.call_id].add(results.items)

    async def _newest(self, subject: str, _: AskVersion) -> Superseded:
        version = self.versions.get(subjects.last(subject), 1)
        if not version:
            raise SquallRefusal("not_found", "the function was removed")
        return Superseded(version=version)

    def _on_report(self, delivery: Delivery) -> None:
        report = delivery.decode(GuestReport)
        if report.container_id in self.guests:
            self.guests[report.container_id].reports.put_nowait(report)

    def _on_stats(self, delivery: Delivery) -> None:
        stats = delivery.decode(GuestStats)
        if stats.container_id in self.guests:
            self.guests[stats.container_id].stats.put_nowait(stats)

    async def function(self, qualname: str, *, ack_wait_s: float = 6.0, **fields: Any) -> Function:
        spec = FunctionSpec(
            name=fields.pop("name", qualname),
            module=fields.pop("module", "functions"),
            qualname=qualname,
            image_id="im-test",
            files=fields.pop("files", (self._shipped(),)),
            **fields,
        )
        function = Function(self, spec, ack_wait_s)
        for lane in subjects.LANES:
            await self.bus.admin.ensure_consumer(
                subjects.CALLS,
                subjects.consumer(function.function_id, lane),
                subjects=subjects.call_lane(ENVIRONMENT, function.function_id, lane),
                ack_wait_s=ack_wait_s,
                max_ack_pending=10_000,
            )
        return function

    def _shipped(self) -> FileEntry:
        data = FUNCTIONS.read_bytes()
        return FileEntry(
            path="/root/functions.py",
            sha256=hashlib.sha256(data).hexdigest(),
            size_bytes=len(data),
        )

    def assignment(self, function: Function, folder: Path, **fields: Any) -> Assignment:
        container_id = new_id("ct")
        publish, subscribe = rights.guest_may(ENVIRONMENT, function.function_id, container_id)
        user = self.server.user(
            self.server.workspace, publish=tuple(publish), subscribe=tuple(subscribe)
        )
        made = Assignment(
            container_id=container_id,
            function_id=function.function_id,
            app_id="ap-test",
            app_name="test",
            workspace=self.server.workspace.public,
            environment=ENVIRONMENT,
            image_id="im-test",
            spec=function.spec,
            function_ids={function.spec.name: function.function_id},
            servers=(self.server.url,),
            guest=user,
            client=user,
            files_dir=str(folder / "files"),
            root=str(folder / "root"),
            flight_record=str(folder / "flight"),
            ack_wait_s=function.ack_wait_s,
        )
        return msgspec.structs.replace(made, **fields)

    async def spawn(self, function: Function, **fields: Any) -> Guest:
        folder = self.folder / f"guest{next(self._numbers)}"
        source = folder / "files" / "root"
        source.mkdir(parents=True)
        (source / "functions.py").write_bytes(FUNCTIONS.read_bytes())
        (folder / "root" / "root").mkdir(parents=True)
        assignment = self.assignment(function, folder, **fields)
        (folder / "assignment").write_bytes(encode(assignment))
        return self.start(assignment, folder, folder / "assignment")

    def start(self, assignment: Assignment, folder: Path, path: Path) -> Guest:
        log = folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "squall_guest"],
                env={**os.environ, ASSIGNMENT_VARIABLE: str(path)},
                cwd=folder / "root" / "root",
                stdout=output,
                stderr=output,
            )
        guest = self.guests[assignment.container_id] = Guest(process, assignment, log)
        return guest


async def eventually(condition: Callable[[], T], what: str) -> T:
    """Until `condition()` is true: for what happens in another process and sends no word."""
    deadline = time.monotonic() + WAIT_S
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {WAIT_S:g} s: {what}"
        await asyncio.sleep(0.01)
    return found
