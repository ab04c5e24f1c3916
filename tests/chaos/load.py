"""The mixed load, each sort on a thread of its own, writing down what it sees."""

import itertools
import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any

import squall

from .history import Answered, Attempted, Called, Drained, Event, Failed, Fetched, Got, Put, Read

GIVE_UP_S = 90.0
"""How long what is under way may take once nothing new begins."""


class Load:
    """Runs the module's functions until `stop`."""

    def __init__(self, module: ModuleType, ports: list[int]) -> None:
        self._module: Any = module
        self._ports = ports
        self.seen: list[tuple[float, Event]] = []
        """What was seen, with the seconds since this load was made."""
        self._since_s = time.monotonic()
        self._more = threading.Condition()
        """Told of each event."""
        self._stop = threading.Event()
        self._queue = squall.Queue.from_name("chaos", create_if_missing=True)
        works = (self._calls, self._maps, self._generators, self._spawns)
        state = (self._puts, self._gets, self._shelf, self._web)
        self._threads = [
            threading.Thread(target=self._run, args=(work,), name=work.__name__, daemon=True)
            for work in (*works, *state)
        ]
        self.unexpected: list[str] = []

    @property
    def history(self) -> list[Event]:
        return [event for _, event in self.seen]

    def _saw(self, event: Event) -> None:
        with self._more:
            self.seen.append((time.monotonic() - self._since_s, event))
            self._more.notify_all()

    def missing(self, sorts: Iterable[type[Event]], within_s: float) -> set[str]:
        """Which of these sorts of events are not seen again from now on, waiting for all of them."""
        with self._more:
            begun = len(self.seen)

            def awaited() -> set[str]:
                new = {type(event) for _, event in self.seen[begun:]}
                return {sort.__name__ for sort in sorts} - {sort.__name__ for sort in new}

            self._more.wait_for(lambda: not awaited(), within_s)
            return awaited()

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Begin nothing more, and wait for all that was begun."""
        self._stop.set()
        until_s = time.monotonic() + GIVE_UP_S
        for thread in self._threads:
            thread.join(max(0.0, until_s - time.monotonic()))
            if thread.is_alive():
                self.unexpected.append(f"{thread.name} did not end")
        self._drain()

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - told by the test
            self.unexpected.append(f"{work.__name__}: {type(error).__name__}: {error}")

    def _numbers(self, pause_s: float) -> Iterator[int]:
        for number in itertools.count():
            yield number
            if self._stop.wait(pause_s):
                return

    def _tell(self, name: str, expected: object, ask: Callable[[], object]) -> None:
        self._saw(Called(name, expected))
        try:
            self._saw(Answered(name, ask()))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what the caller got
            self._saw(Failed(name, f"{type(error).__name__}: {error}"))

    # --- results ----------------------------------------------------------------------------------

    def _calls(self) -> None:
        square = self._module.square
        for n in self._numbers(0.05):
            self._tell(f"call {n}", n * n, lambda n=n: square.remote(n))  # type: ignore[misc]

    def _maps(self) -> None:
        def inputs() -> Iterator[int]:
            for n in self._numbers(0.05):
                self._saw(Called(f"map {n}", 2 * n))
                yield n

        for n, doubled in enumerate(self._module.double.map(inputs())):
            self._saw(Answered(f"map {n}", doubled))

    def _generators(self) -> None:
        count = self._module.count
        for n in self._numbers(0.3):
            wanted = list(range(20))
            self._tell(f"generator {n}", wanted, lambda: list(count.remote_gen(20)))

    def _spawns(self) -> None:
        spawned = []
        for n in self._numbers(0.5):
            self._saw(Called(f"spawn {n}", -n))
            spawned.append((n, self._module.later.spawn(n)))
        for n, call in spawned:
            self._saw(Answered(f"spawn {n}", call.get(timeout=GIVE_UP_S)))

    # --- state ------------------------------------------------------------------------------------

    def _puts(self) -> None:
        for n in self._numbers(0.1):
            try:
                self._queue.put(n)
            except Exception:  # noqa: BLE001 - it may be in
                self._saw(Attempted(n))
            else:
                self._saw(Put(n))

    def _gets(self) -> None:
        while not self._stop.is_set():
            try:
                item = self._queue.get(timeout=1.0)
            except queue.Empty:
                continue
            except Exception:  # noqa: BLE001 - asked again; what it may have taken is not lost
                self._stop.wait(0.5)
            else:
                self._saw(Got(item))

    def _drain(self) -> None:
        """What somebody took and did not confirm comes again only after a while."""
        until_s = time.monotonic() + GIVE_UP_S
        while self._queue.len():
            try:
                self._saw(Got(self._queue.get(timeout=10.0)))
            except queue.Empty:
                if time.monotonic() > until_s:
                    self.unexpected.append(f"{self._queue.len()} items of the queue did not come")
                    return
        self._saw(Drained())

    def _shelf(self) -> None:
        confirmed: list[int] = []
        for n in self._numbers(0.5):
            if not self._committed(n):
                continue
            confirmed.append(n)
            if len(confirmed) % 3 == 0:
                before = tuple(confirmed)
                names = self._looked()
                if names is None:
                    continue
                self._saw(Read(_of(names, "first-"), _of(names, "second-"), before))

    def _committed(self, number: int) -> bool:
        """A commit says that it could not be confirmed, rather than wait for a lost server; and files
        can't be written to a full disk, nor read for a commit."""
        try:
            return bool(self._module.write.remote(number) == number)
        except (squall.exception.Error, OSError):
            return False
        except RuntimeError as error:
            if "No space left" not in str(error):
                raise
            return False

    def _looked(self) -> list[str] | None:
        try:
            names: list[str] = self._module.look.remote()
        except (squall.exception.Error, OSError):
            return None
        except RuntimeError as error:
            if "No space left" not in str(error):
                raise
            return None
        return names

    def _web(self) -> None:
        path = self._module.greet.get_web_url().partition("/web/")[2]
        for n in self._numbers(0.2):
            port = self._ports[n % len(self._ports)]
            url = f"http://127.0.0.1:{port}/web/{path}?{n}"
            try:
                with urllib.request.urlopen(url, timeout=60) as answer:
                    right = answer.read() == f"hello {n}".encode()
                    self._saw(Fetched(answer.status, right))
            except urllib.error.HTTPError as error:
                self._saw(Fetched(error.code, False))
            except OSError:
                self._saw(Fetched(599, False))


def _of(names: list[str], prefix: str) -> tuple[int, ...]:
    return tuple(
        sorted(int(name.removeprefix(prefix)) for name in names if name.startswith(prefix))
    )
