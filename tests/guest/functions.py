"""The user's module in the guest's tests: shipped to /root/functions.py and imported there."""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import squall

attempts = 0


class Odd(Exception):
    """An exception of the user's own."""


class Unpicklable(Exception):
    def __init__(self) -> None:
        super().__init__("kept")
        self.lock = threading.Lock()


class WantsTwo(Exception):
    """Pickles, but does not come back."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first + second)


def double(number: int) -> int:
    return number * 2


def noop(value: object = None) -> object:
    return value


def occupy_bus(until: str) -> str:
    """Return while the guest's bus thread does nothing else than wait for a file."""
    import gc

    from squall_guest.link import Link

    (link,) = (thing for thing in gc.get_objects() if isinstance(thing, Link))
    occupied = threading.Event()

    def wait() -> None:
        occupied.set()
        while not Path(until).exists():
            time.sleep(0.01)

    link.loop.call_soon_threadsafe(wait)
    occupied.wait()
    return "sent"


def where_am_i() -> dict[str, object]:
    return {
        "thread": threading.current_thread() is threading.main_thread(),
        "local": squall.is_local(),
        "input": squall.current_input_id(),
        "call": squall.current_function_call_id(),
        "task": os.environ["MODAL_TASK_ID"],
        "function": os.environ["SQUALL_FUNCTION_NAME"],
        "own": os.environ.get("MINE"),
        "path": sys.path[0],
        "file": __file__,
    }


def unjsonable() -> object:
    return [1, object()]


def fail(text: str) -> None:
    raise Odd(text)


def fail_how(how: str) -> object:
    if how == "exit":
        sys.exit(3)
    if how == "unpicklable":
        raise Unpicklable
    if how == "two":
        raise WantsTwo("a", "b")
    if how == "lock":
        return threading.Lock()
    if how == "generator":
        return (n for n in range(3))
    if how == "keyboard":
        raise KeyboardInterrupt
    return how


def fail_twice(value: int) -> int:
    global attempts  # noqa: PLW0603 - what users write
    attempts += 1
    if attempts <= 2:
        raise Odd(f"attempt {attempts}")
    return value


def nap(seconds: float, marker: str = "") -> str:
    if marker:
        with Path(marker).open("a") as file:
            file.write("began\n")
    time.sleep(seconds)
    return "slept"


def spin(seconds: float) -> str:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass
    return "spun"


def stubborn(seconds: float) -> str:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            time.sleep(0.05)
        except BaseException:  # noqa: BLE001 - the point of it
            continue
    return "done"


def count(upto: int, size: int = 0, fail_at: int = -1) -> Iterator[object]:
    for number in range(upto):
        if number == fail_at:
            raise Odd(f"at {number}")
        yield bytes(size) if size else number


async def count_async(upto: int) -> AsyncIterator[int]:
    for number in range(upto):
        await asyncio.sleep(0)
        yield number


async def nap_async(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "slept"


loops: set[int] = set()


async def which_loop() -> tuple[int, bool]:
    loops.add(id(asyncio.get_running_loop()))
    return len(loops), threading.current_thread() is threading.main_thread()


async def block_loop(seconds: float) -> str:
    stubborn(seconds)
    return "done"


def big(size: int) -> bytes:
    return bytes(size)


def length(data: bytes) -> int:
    return len(data)


def die(marker: str) -> str:
    """Kill this container the first time, return the second."""
    path = Path(marker)
    if path.exists():
        return "survived"
    path.write_text("died")
    os.kill(os.getpid(), signal.SIGKILL)
    return "unreachable"


def chatty(text: str) -> str:
    print(text)
    print("to stderr", file=sys.stderr)
    return text


not_a_function = 3


def drip(pause: float) -> Iterator[str]:
    yield "first"
    time.sleep(pause)
    yield "second"


def die_on(number: int, victim: int, marker: str) -> int:
    """Kill this container once, at input `victim`."""
    if number == victim and not Path(marker).exists():
        Path(marker).write_text("died")
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def leave_a_thread() -> str:
    threading.Thread(target=time.sleep, args=(60,)).start()
    return "left"


async def noop_async(value: object = None) -> object:
    return value


class Parent:
    size: int = squall.parameter(default=2)

    @squall.enter()
    def first(self) -> None:
        self.events = [f"first {self.size}"]

    @squall.exit()
    def wave(self) -> None:
        print("parent left", flush=True)


class Service(Parent):
    @squall.enter()
    async def second(self) -> None:
        self.events.append("second")
        self.loop = asyncio.get_running_loop()

    @squall.method()
    async def story(self) -> tuple[list[str], bool]:
        return self.events, self.loop is asyncio.get_running_loop()

    @squall.method()
    def in_thread(self, seconds: float) -> str:
        time.sleep(seconds)
        return threading.current_thread().name

    @squall.method()
    def spin(self) -> None:
        while True:
            time.sleep(0.01)

    @squall.method()
    def numbers(self) -> Iterator[int]:
        yield from range(self.size)

    @squall.exit()
    def fail(self) -> None:
        raise Odd("exit hook")

    @squall.exit()
    async def bye(self) -> None:
        same = self.loop is asyncio.get_running_loop()
        print(f"left on the same loop: {same}", flush=True)


class Ahead:
    """A class whose hooks say where they run."""

    @squall.enter(snap=True)
    async def load(self) -> None:
        self.story = [os.environ["SQUALL_TASK_ID"]]
        self.loop = asyncio.get_running_loop()

    @squall.enter()
    async def open(self) -> None:
        self.story.append(os.environ["SQUALL_TASK_ID"])

    @squall.method()
    async def tell(self) -> tuple[list[str], bool]:
        return self.story, self.loop is asyncio.get_running_loop()


class Quoting:
    @squall.enter(snap=True)
    def load(self) -> None:
        raise LookupError(os.environ["PASSWORD"])

    @squall.method()
    def tell(self) -> int:
        return 1


class Calling:
    @squall.enter(snap=True)
    def load(self) -> None:
        squall.Function.from_name("other", "function").remote()

    @squall.method()
    def tell(self) -> None:
        """Never called."""


class SyncService(Parent):
    @squall.method()
    def on_main(self) -> bool:
        return threading.current_thread() is threading.main_thread()


class BrokenService:
    @squall.enter()
    def up(self) -> None:
        raise Odd("no weights")

    @squall.method()
    def run(self) -> None:
        """Never called."""


class SlowStarter:
    @squall.enter()
    def start(self) -> None:
        print("starting", flush=True)
        time.sleep(1)

    @squall.method()
    def run(self) -> None:
        """Never reached."""


class Lingerer:
    @squall.method()
    def run(self) -> None:
        """Comes and goes."""

    @squall.exit()
    def linger(self) -> None:
        print("lingering", flush=True)
        time.sleep(60)


def in_batch(x: list[int], y: list[str]) -> list[str]:
    return [f"{each}{other}{len(x)}" for each, other in zip(x, y, strict=True)]


async def in_batch_async(x: list[int]) -> list[int]:
    if 13 in x:
        raise Odd("thirteen")
    return x[1:] if 14 in x else x


def not_a_list(x: list[int]) -> str:
    return "no"


def batch_sleeps(x: list[float]) -> list[float]:
    time.sleep(x[0])
    return x


async def in_batch_sleeps_async(x: list[float]) -> list[float]:
    await asyncio.sleep(x[0])
    return x
