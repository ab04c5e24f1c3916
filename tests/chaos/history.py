"""What happened, as it was seen from outside, and whether it is what was promised. Pure.

`violations` takes a whole history and names every broken promise. It knows nothing of faults: what is
promised holds whatever dies, except that web requests may fail while something is down.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable

import msgspec


class Event(msgspec.Struct, frozen=True, tag=True):
    """Something that was seen."""


class Called(Event, frozen=True):
    """An input was handed in, by a call, a map, a generator or a spawn."""

    name: str
    expected: object


class Answered(Event, frozen=True):
    """Its result came."""

    name: str
    value: object


class Failed(Event, frozen=True):
    """Its caller got an error instead."""

    name: str
    error: str


class Put(Event, frozen=True):
    """A queue confirmed an item."""

    item: int


class Attempted(Event, frozen=True):
    """A put was not confirmed: the item may be in the queue."""

    item: int


class Got(Event, frozen=True):
    """Somebody got an item."""

    item: int


class Drained(Event, frozen=True):
    """The queue was emptied at the end."""


class Read(Event, frozen=True):
    """Somebody looked at a volume into which each commit put two files."""

    first: tuple[int, ...]
    """The commits whose first file was there."""
    second: tuple[int, ...]
    confirmed: tuple[int, ...]
    """Those that had been confirmed before the look began."""


class Ticked(Event, frozen=True):
    """A schedule's input ran, for this due time."""

    due_unix_s: float
    call: str
    """Of the call: an input that ran again after a death has the same."""


class Fetched(Event, frozen=True):
    """A web request was answered. `right`: with what the function returns."""

    status: int
    right: bool


class Left(Event, frozen=True):
    """A container that had not ended when all apps had stopped and all faults were over."""

    container: str


def violations(history: Iterable[Event]) -> list[str]:
    """Every promise that was broken, in words; none: all held."""
    events = list(history)
    return [
        *_results(events),
        *_queue(events),
        *_volume(events),
        *_schedule(events),
        *_web(events),
        *(f"container {e.container} was left behind" for e in events if isinstance(e, Left)),
    ]


def _results(events: list[Event]) -> list[str]:
    """Each input has exactly one result, the right one, and no error."""
    expected: dict[str, object] = {}
    answers: defaultdict[str, list[object]] = defaultdict(list)
    found: list[str] = []
    for event in events:
        match event:
            case Called():
                expected[event.name] = event.expected
            case Answered():
                answers[event.name].append(event.value)
            case Failed():
                found.append(f"{event.name} failed: {event.error}")
                answers[event.name].append(expected.get(event.name))
            case _:
                pass
    for name, wanted in expected.items():
        got = answers.pop(name, [])
        if not got:
            found.append(f"{name} has no result")
        elif len(got) > 1:
            found.append(f"{name} has {len(got)} results")
        elif got[0] != wanted:
            found.append(f"{name} is {got[0]!r}, not {wanted!r}")
    return found + [f"{name} was never called" for name in answers]


def _queue(events: list[Event]) -> list[str]:
    """Each confirmed item comes out exactly once, one that may be in at most once, no other ever."""
    confirmed = {event.item for event in events if isinstance(event, Put)}
    possible = {event.item for event in events if isinstance(event, Attempted)}
    got = Counter(event.item for event in events if isinstance(event, Got))
    found = [f"item {item} came out {count} times" for item, count in got.items() if count > 1]
    found += [f"item {item} was never put" for item in got.keys() - confirmed - possible]
    if any(isinstance(event, Drained) for event in events):
        found += [f"item {item} was lost" for item in sorted(confirmed - got.keys())]
    return found


def _volume(events: list[Event]) -> list[str]:
    """A commit is seen whole or not at all, and what was confirmed is seen."""
    found: list[str] = []
    for event in events:
        if not isinstance(event, Read):
            continue
        halves = set(event.first) ^ set(event.second)
        missing = set(event.confirmed) - set(event.first)
        found += [f"half of commit {number} was seen" for number in sorted(halves)]
        found += [f"commit {number} was confirmed and not seen" for number in sorted(missing)]
    return found


def _schedule(events: list[Event]) -> list[str]:
    """Each due time has one call."""
    calls: defaultdict[float, set[str]] = defaultdict(set)
    for event in events:
        if isinstance(event, Ticked):
            calls[event.due_unix_s].add(event.call)
    return [f"{due} ticked {len(own)} times" for due, own in calls.items() if len(own) > 1]


def _web(events: list[Event]) -> list[str]:
    """A request may fail, but not be answered wrongly, and not by a 4xx or an unexpected status."""
    found: list[str] = []
    for event in events:
        if isinstance(event, Fetched) and event.status < 500 and not event.right:
            found.append(f"a web request was answered {event.status} with something else")
    return found
