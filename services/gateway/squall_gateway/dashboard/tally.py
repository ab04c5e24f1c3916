"""Calls as their results tell of them: who called what, how long it took, what failed. Pure.

Bounded: the newest CALLS_KEPT calls of a workspace, and an hour of minutes for each function.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Final, Literal, NamedTuple

import msgspec
from squall_contracts.calls import Exhausted, Raised, Report, Results, Retrying, Returned

CALLS_KEPT: Final = 100_000
MINUTES_KEPT: Final = 60
ERROR_CHARACTERS: Final = 300
STEPS_A_DOUBLING: Final = 4
"""Run times are kept to within a quarter of a doubling: a percentile is off by 9 % at most."""
FASTEST_S: Final = 1e-5
CallState = Literal["pending", "done", "failed", "retrying"]


class Call(msgspec.Struct):
    """One call, as far as its results have been read."""

    call_id: str
    environment: str
    function_id: str
    """Empty: nobody has said yet."""
    first_unix_s: float
    last_unix_s: float
    returned: int = 0
    raised: int = 0
    retries: int = 0
    waiting: int = 0
    """Messages with inputs of it that are still queued or held by a container."""
    run_s: float = 0.0
    """Of all its inputs together."""
    error: str = ""
    """The last one, in one line."""
    container_id: str = ""
    """The last that answered."""
    is_spawned: bool = False

    @property
    def state(self) -> CallState:
        if self.waiting:
            return "retrying" if self.retries else "pending"
        if self.raised:
            return "failed"
        return "done" if self.returned else "pending"


class Minute(msgspec.Struct):
    calls: int = 0
    """Inputs that came to an end."""
    errors: int = 0
    run_times: dict[int, int] = {}
    """How many took how long, by step."""


NO_MINUTE: Final = Minute()


class Hour:
    """One function's, or one environment's, minutes, and what they come to."""

    __slots__ = ("_oldest", "calls", "errors", "minutes")

    def __init__(self) -> None:
        self.minutes: dict[int, Minute] = {}
        self.calls = 0
        self.errors = 0
        self._oldest = 0

    def minute(self, number: int) -> Minute:
        """To count in; its totals are kept by whoever does."""
        found = self.minutes.get(number)
        if found is None:
            found = self.minutes[number] = Minute()
            self._oldest = min(self.minutes)
        return found

    def since(self, number: int) -> "Hour":
        """Itself, without the minutes before this one."""
        if self.minutes and self._oldest < number:
            for old in [each for each in self.minutes if each < number]:
                gone = self.minutes.pop(old)
                self.calls -= gone.calls
                self.errors -= gone.errors
            self._oldest = min(self.minutes, default=0)
        return self


class Figures(NamedTuple):
    """How a function fared over a while."""

    calls: int
    errors: int
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    """None: nothing told how long it ran."""

    @property
    def error_rate(self) -> float:
        return self.errors / self.calls if self.calls else 0.0


NOTHING: Final = Figures(0, 0, None, None, None)


class Tally:
    """What one workspace's calls came to."""

    def __init__(self, calls_kept: int = CALLS_KEPT) -> None:
        self._kept = calls_kept
        self._calls: dict[str, Call] = {}
        """The one heard of last is the last."""
        self._hours: dict[str, Hour] = {}
        self._places: dict[str, Hour] = {}
        """Hours of environments."""
        self._pending: dict[str, int] = {}
        """Calls seen in the queue at the last look, and how many of their messages."""
        self._newest_minute = 0
        self.backlog: Mapping[str, int] = {}
        """Queued or held messages by function."""
        self.skipped = 0
        """Results that came faster than they could be read, and were left out."""

    def __len__(self) -> int:
        return len(self._calls)

    # --- what is heard -----------------------------------------------------------------------------

    def heard(
        self, environment: str, function_id: str, results: Results, at_unix_s: float, *, kept: bool
    ) -> None:
        """Results were stored. `function_id` is empty when unknown; `kept`: for days, not an hour."""
        call = self._call(results.call_id, environment, function_id, at_unix_s)
        call.last_unix_s = max(call.last_unix_s, at_unix_s)
        call.first_unix_s = min(call.first_unix_s, at_unix_s)
        call.container_id = results.container_id or call.container_id
        call.is_spawned = kept
        for report in results.items:
            self._count(call, report, at_unix_s)

    def waits(
        self,
        seen: Iterable[tuple[str, str, str, int]],
        now_unix_s: float,
        owners: Mapping[str, str],
    ) -> None:
        """All that the queue holds at this moment: (environment, function id, call id, messages).
        `owners`: the declared function of each pool."""
        backlog: Counter[str] = Counter()
        pending: Counter[str] = Counter()
        for environment, function_id, call_id, messages in seen:
            owner = owners.get(function_id, function_id)
            backlog[owner] += messages
            pending[call_id] += messages
            call = self._call(call_id, environment, owner, now_unix_s)
            call.waiting = pending[call_id]
        for call_id in self._pending.keys() - pending.keys():
            if call_id in self._calls:
                self._calls[call_id].waiting = 0
        self._pending = pending
        self.backlog = backlog

    def served(
        self, environment: str, function_id: str, seconds: float, at_unix_s: float, *, failed: bool
    ) -> None:
        """A web request was answered: it leaves no stored result."""
        run_s = None if failed else seconds
        self._note(environment, function_id, at_unix_s, run_s, failed=failed)

    # --- what is asked -----------------------------------------------------------------------------

    def call(self, call_id: str) -> Call | None:
        return self._calls.get(call_id)

    def newest(
        self,
        environment: str,
        first: int,
        count: int,
        *,
        function_ids: frozenset[str] | None = None,
        state: str = "",
        text: str = "",
    ) -> tuple[list[Call], int]:
        """`count` calls from the `first`-newest on, and how many there are. `text` is looked for in
        ids and errors; None, empty: any."""
        wanted = text.casefold()
        shown: list[Call] = []
        total = 0
        for call in reversed(self._calls.values()):
            if (
                call.environment != environment
                or (function_ids is not None and call.function_id not in function_ids)
                or (state and call.state != state)
                or (wanted and wanted not in f"{call.call_id} {call.error}".casefold())
            ):
                continue
            if first <= total < first + count:
                shown.append(call)
            total += 1
        return shown, total

    def latest(self, function_id: str, count: int) -> list[Call]:
        """The newest calls of one function."""
        mine = (c for c in reversed(self._calls.values()) if c.function_id == function_id)
        return list(islice(mine, count))

    def figures(self, function_id: str, now_unix_s: float) -> Figures:
        """Of one function's last hour."""
        hour = self._hour(function_id, now_unix_s)
        if hour is None or not hour.calls:
            return NOTHING
        times: Counter[int] = Counter()
        for minute in hour.minutes.values():
            times.update(minute.run_times)
        return Figures(hour.calls, hour.errors, *percentiles(times, (0.5, 0.95, 0.99)))

    def counts(self, function_id: str, now_unix_s: float) -> tuple[int, int]:
        """(calls, errors) of one function's last hour: cheaper than all figures."""
        hour = self._hour(function_id, now_unix_s)
        return (0, 0) if hour is None else (hour.calls, hour.errors)

    def by_minute(self, function_id: str, now_unix_s: float) -> list[Minute]:
        """One function's last hour, a minute each, oldest first."""
        return _minutes(self._hours.get(function_id), now_unix_s)

    def of_environment(self, environment: str, now_unix_s: float) -> list[Minute]:
        """The same of all functions of an environment together, without run times."""
        return _minutes(self._places.get(environment), now_unix_s)

    def _hour(self, function_id: str, now_unix_s: float) -> Hour | None:
        hour = self._hours.get(function_id)
        return None if hour is None else hour.since(int(now_unix_s // 60) - MINUTES_KEPT + 1)

    # --- keeping count -----------------------------------------------------------------------------

    def _call(self, call_id: str, environment: str, function_id: str, at_unix_s: float) -> Call:
        call = self._calls.pop(call_id, None)
        if call is None:
            call = Call(call_id, environment, function_id, at_unix_s, at_unix_s)
            if len(self._calls) >= self._kept:
                del self._calls[next(iter(self._calls))]
        elif function_id and not call.function_id:
            call.function_id = function_id
        self._calls[call_id] = call
        return call

    def settle(self) -> None:
        """What there was has been read, one stream beside the other: put calls in order of time."""
        ordered = sorted(self._calls.items(), key=lambda item: item[1].last_unix_s)
        self._calls = dict(ordered)

    def _count(self, call: Call, report: Report, at_unix_s: float) -> None:
        match report:
            case Returned():
                call.returned += 1
                call.run_s += report.run_s
                self._note(
                    call.environment, call.function_id, at_unix_s, report.run_s, failed=False
                )
            case Exhausted():
                call.returned += 1
                self._note(call.environment, call.function_id, at_unix_s, None, failed=False)
            case Raised():
                call.raised += 1
                call.error = report.failure.message[:ERROR_CHARACTERS]
                self._note(call.environment, call.function_id, at_unix_s, None, failed=True)
            case Retrying():
                call.retries += 1
                call.error = report.message[:ERROR_CHARACTERS]
            case _:
                pass  # an item of a generator is no end

    def _note(
        self,
        environment: str,
        function_id: str,
        at_unix_s: float,
        run_s: float | None,
        *,
        failed: bool,
    ) -> None:
        number = int(at_unix_s // 60)
        self._newest_minute = max(self._newest_minute, number)
        first = self._newest_minute - MINUTES_KEPT + 1
        if number < first:
            return
        hours = ((self._hours, function_id), (self._places, environment))
        for hour in [table.setdefault(key, Hour()).since(first) for table, key in hours]:
            minute = hour.minute(number)
            minute.calls += 1
            minute.errors += failed
            hour.calls += 1
            hour.errors += failed
        if run_s is not None:
            times, at = self._hours[function_id].minute(number).run_times, step(run_s)
            times[at] = times.get(at, 0) + 1


def _minutes(hour: Hour | None, now_unix_s: float) -> list[Minute]:
    last = int(now_unix_s // 60)
    known = {} if hour is None else hour.minutes
    return [known.get(each, NO_MINUTE) for each in range(last - MINUTES_KEPT + 1, last + 1)]


def step(seconds: float) -> int:
    """The step of a run time: each covers a quarter of a doubling."""
    return max(0, round(STEPS_A_DOUBLING * math.log2(max(seconds, FASTEST_S) / FASTEST_S)))


def seconds_of(number: int) -> float:
    """The middle of a step."""
    return float(FASTEST_S * 2.0 ** (number / STEPS_A_DOUBLING))


def percentiles(times: Mapping[int, int], wanted: Iterable[float]) -> list[float | None]:
    """The run time that a part of all stayed at or below, for each part wanted; None: there is none."""
    total = sum(times.values())
    if not total:
        return [None for _ in wanted]
    ordered = sorted(times.items())
    found: list[float | None] = []
    for part in wanted:
        rank, reached = max(1, math.ceil(part * total)), 0
        for number, count in ordered:
            reached += count
            if reached >= rank:
                found.append(seconds_of(number))
                break
    return found
