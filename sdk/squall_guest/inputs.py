"""One input, from its arguments to its outcome: for sync functions and for async ones."""

import asyncio
import inspect
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from squall import _container
from squall.exception import DeserializationError, InvalidError
from squall_bus.bus import Bus
from squall_bus.errors import DigestMismatch, ObjectMissing
from squall_contracts import subjects
from squall_contracts.calls import BlobRef, Exhausted, Raised, Report, Returned, Yielded
from squall_contracts.failures import Failure, FailureKind
from squall_contracts.functions import FunctionSpec

from squall_guest import forms, report
from squall_guest.desk import Held
from squall_guest.interrupt import ERRORS, Guard, Reason
from squall_guest.load import Callee, Service
from squall_guest.outbox import Outbox

if TYPE_CHECKING:
    from squall_guest.web.hosts import Hosts


class Run:
    """One input being run. The NATS thread writes `reason` before it interrupts."""

    __slots__ = (
        "batch",
        "began_s",
        "held",
        "interrupted_s",
        "position",
        "reason",
        "since_s",
        "slot",
        "stage",
        "thread",
    )

    def __init__(self, held: Held, position: int, slot: int, since_s: float) -> None:
        self.batch: tuple[Held, ...] = ()
        """The deliveries that are run together with `held`, itself among them; empty: it alone."""
        self.held = held
        self.position = position
        self.slot = slot
        self.since_s = since_s
        """When its delivery took the slot."""
        self.began_s = time.monotonic()
        self.thread = threading.get_ident()
        self.reason: Reason | None = None
        self.interrupted_s = 0.0
        self.stage: FailureKind = "arguments"
        """The kind of failure an exception now would be."""

    def is_of(self, held: Held) -> bool:
        """Whether the cancellation of `held` interrupts it; a batch goes on for the others."""
        return self.held is held and len(self.batch) < 2

    @property
    def size(self) -> int:
        """How many deliveries are being run in it."""
        return len(self.batch) or 1


class Body:
    """The user's functions, and how they are run on one input."""

    def __init__(
        self,
        spec: FunctionSpec,
        service: Service,
        outbox: Outbox,
        hosts: "Hosts | None" = None,
    ) -> None:
        """`hosts` has the apps of web endpoints; None where there are none."""
        self.spec = spec
        self.service = service
        self.outbox = outbox
        self.hosts = hosts

    def callee(self, held: Held) -> Callee:
        """What a delivery calls. InvalidError if there is no such method."""
        name = held.inputs.method
        try:
            return self.service.callees[name]
        except KeyError:
            has = ", ".join(self.service.callees) or "none"
            raise InvalidError(f"{self.spec.name} has no method {name!r}; it has: {has}") from None

    def is_async(self, held: Held) -> bool:
        """Whether a delivery is run by `run_async`."""
        found = self.service.callees.get(held.inputs.method)
        return found is None or found.is_async

    def host(self, held: Held) -> "Hosts | None":
        """Who serves a delivery that is a web request; None for all others."""
        found = self.service.callees.get(held.inputs.method)
        return None if found is None or found.web is None else self.hosts

    def run(self, run: Run, guard: Guard) -> Report:
        """Run a sync function, or drain a sync generator, on this thread. Of all that user code can
        raise only KeyboardInterrupt comes out."""
        inputs = run.held.inputs
        index = inputs.items[run.position].index
        run.thread = threading.get_ident()
        try:
            try:
                guard.enter(run)
                if run.reason is not None:  # set before we entered: nobody raises it in here
                    raise ERRORS[run.reason]
                with _container.running(inputs, index):
                    callee = self.callee(run.held)
                    payload = run.held.payload(run.position)
                    args, kwargs = forms.load_call(callee, payload)
                    run.stage = "exception"
                    value = callee.function(*args, **kwargs)
                    if callee.is_generator:
                        return self._drain(run, index, _checked_iterator(callee, value))
                    return self._returned(callee, run, index, value)
            finally:
                guard.leave(run)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - SystemExit and its like are ordinary failures
            guard.leave(run)
            return Raised(index, self.explained(run, error))

    async def run_async(self, run: Run) -> Report:
        """The same for an async function or generator, in the current task."""
        inputs = run.held.inputs
        index = inputs.items[run.position].index
        try:
            with _container.running(inputs, index):
                callee = self.callee(run.held)
                args, kwargs = forms.load_call(callee, run.held.payload(run.position))
                run.stage = "exception"
                if callee.is_generator:
                    produced = _checked_iterator(callee, callee.function(*args, **kwargs))
                    return await self._drain_async(run, index, produced)
                value = await callee.function(*args, **kwargs)
                return self._returned(callee, run, index, value)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and run.reason is None:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise  # the loop ends; nobody asks for an outcome
            return Raised(index, self.explained(run, error))

    def failure(self, run: Run, where: Any) -> Failure:
        """What to say of an interrupted input; `where` shows where it stood."""
        if run.reason == "cancelled":
            return report.cancelled(where)
        return report.timed_out(self.spec.timeout_s, where)

    def explained(self, run: Run, error: BaseException) -> Failure:
        """What to say of an input that ended with `error`."""
        if run.reason is not None:
            return self.failure(run, error)
        return report.failure(error, run.stage)

    def _returned(self, callee: Callee, run: Run, index: int, value: object) -> Returned:
        if inspect.isgenerator(value) or inspect.isasyncgen(value) or inspect.iscoroutine(value):
            if not inspect.isasyncgen(value):
                value.close()
            raise InvalidError(
                f"{callee.name} returned a {type(value).__name__}: declare it with "
                "is_generator=True, or return a value that can be pickled"
            )
        run_s = time.monotonic() - run.began_s
        run.stage = "result"
        return Returned(index, forms.dumper(run.held.payload(run.position))(value), run_s)

    def _drain(self, run: Run, index: int, produced: Iterator[object]) -> Exhausted:
        count = 0
        for value in produced:
            self._yielded(run, index, count, value)
            count += 1
            room = self.outbox.crowded()
            if room is not None:
                room.result()
        return Exhausted(index, count)

    async def _drain_async(
        self, run: Run, index: int, produced: AsyncIterator[object]
    ) -> Exhausted:
        count = 0
        try:
            async for value in produced:
                self._yielded(run, index, count, value)
                count += 1
                room = self.outbox.crowded()
                if room is not None:
                    await asyncio.wrap_future(room)
        finally:
            if inspect.isasyncgen(produced):
                await produced.aclose()
        return Exhausted(index, count)

    def _yielded(self, run: Run, index: int, position: int, value: object) -> None:
        run.stage = "result"
        payload = forms.dumper(run.held.payload(run.position))(value)
        run.stage = "exception"
        item = Yielded(index, run.held.inputs.attempt, position, payload)
        self.outbox.put(run.held, item, len(payload), None)


def _checked_iterator(callee: Callee, produced: Any) -> Any:
    wanted = AsyncIterator if callee.is_async else Iterator
    if isinstance(produced, wanted):
        return produced
    raise InvalidError(
        f"{callee.name} is declared a generator but returned a {type(produced).__name__}: "
        "make it yield, or drop is_generator=True"
    )


def size_of(outcome: Report) -> int:
    """Bytes of an outcome's payload, for the outbox."""
    if isinstance(outcome, Returned):
        return len(outcome.payload) if isinstance(outcome.payload, bytes) else 0
    if isinstance(outcome, Raised):
        return len(outcome.failure.pickled or b"") + len(outcome.failure.traceback)
    return 0


async def arguments_in(bus: Bus, blob: BlobRef) -> bytes | DeserializationError:
    """An input's pickled arguments where they came as a blob, or why they can't be had. BusError."""
    try:
        return await bus.objects(subjects.BLOBS_BUCKET).get(blob.name, sha256=blob.sha256)
    except ObjectMissing as error:
        return DeserializationError(f"the arguments are not in the blob store: {error}")
    except DigestMismatch:
        return DeserializationError(f"the arguments in blob {blob.name!r} are not those sent")
