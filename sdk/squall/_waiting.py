"""Waiting for the SDK loop, from a thread or from another loop, in as few hops as there are."""

import asyncio
import threading
import weakref
from collections import deque
from typing import Any, Generic, Protocol, TypeVar

V = TypeVar("V")
V_contra = TypeVar("V_contra", contravariant=True)


class Settles(Protocol[V_contra]):
    """Takes one value, once; later ones are dropped. Called on the SDK loop."""

    def settle(self, value: V_contra) -> None: ...


class ThreadWaiter(Generic[V]):
    """For a blocked thread: a bare lock, which an interrupt can break."""

    __slots__ = ("_lock", "_value")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self._value: V | None = None

    def settle(self, value: V) -> None:
        if self._lock.locked():
            self._value = value
            self._lock.release()

    def wait(self, timeout: float | None = None) -> V | None:
        """Block until settled; None after `timeout` seconds without."""
        self._lock.acquire(timeout=-1 if timeout is None else max(0.0, timeout))
        return self._value


class _Courier:
    """Carries values into one loop: many that come together cost one wake-up."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._carried: deque[tuple[asyncio.Future[Any], Any]] = deque()
        self._called = False

    def carry(self, future: "asyncio.Future[Any]", value: object) -> None:
        self._carried.append((future, value))
        if not self._called and not self._loop.is_closed():
            self._called = True
            self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._called = False  # before the queue is looked at: a later value calls again
        while self._carried:
            future, value = self._carried.popleft()
            if not future.done():
                future.set_result(value)


_couriers: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Courier]"
_couriers = weakref.WeakKeyDictionary()


def _courier_to(loop: asyncio.AbstractEventLoop) -> _Courier:
    courier = _couriers.get(loop)
    if courier is None:
        courier = _couriers[loop] = _Courier(loop)
    return courier


class LoopWaiter(Generic[V]):
    """For a coroutine on the caller's own loop."""

    __slots__ = ("_courier", "future")

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._courier = _courier_to(loop)
        self.future: asyncio.Future[V] = loop.create_future()

    def settle(self, value: V) -> None:
        self._courier.carry(self.future, value)


class ThreadMailbox(Generic[V]):
    """Values from the SDK loop for one consuming thread, in order."""

    def __init__(self) -> None:
        self._values: deque[V] = deque()
        self._idle = False
        self._arrived = threading.Event()

    def put(self, value: V) -> None:
        """Add a value; wakes the consumer only if it waits. On the SDK loop."""
        self._values.append(value)
        if self._idle:
            self._idle = False
            self._arrived.set()

    def __len__(self) -> int:
        return len(self._values)

    def take(self) -> V:
        """The oldest value. IndexError if there is none."""
        return self._values.popleft()

    def wait(self) -> None:
        """Block until there is a value."""
        self._arrived.clear()
        self._idle = True
        if not self._values:  # looked at after _idle is set: a value put since then wakes us
            self._arrived.wait()
        self._idle = False


class LoopMailbox(Generic[V]):
    """The same for a consumer on the caller's own loop."""

    def __init__(self) -> None:
        self._values: deque[V] = deque()
        self._idle = False
        self._loop = asyncio.get_running_loop()
        self._arrived = asyncio.Event()

    def put(self, value: V) -> None:
        self._values.append(value)
        if self._idle:
            self._idle = False
            self.nudge()

    def nudge(self) -> None:
        """Wake the consumer, value or not; from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._arrived.set)

    def __len__(self) -> int:
        return len(self._values)

    def take(self) -> V:
        return self._values.popleft()

    async def wait(self) -> None:
        self._arrived.clear()
        self._idle = True
        if not self._values:
            await self._arrived.wait()
        self._idle = False


class Puts(Protocol[V_contra]):
    """The SDK loop's side of a mailbox."""

    def put(self, value: V_contra) -> None: ...
