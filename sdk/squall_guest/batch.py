"""Inputs run together: their arguments as lists by parameter, one element of the result for each."""

import asyncio
import inspect
import threading
import time
from typing import Any, NamedTuple

from squall import _container
from squall.exception import InvalidError
from squall_contracts.calls import Raised, Report, Returned

from squall_guest import forms, report
from squall_guest.desk import Held
from squall_guest.inputs import Body, Run
from squall_guest.interrupt import ERRORS, Guard
from squall_guest.load import Callee


class Gathered(NamedTuple):
    """A batch that can be run, and those of its inputs that can't."""

    callee: Callee
    members: list[Held]
    columns: dict[str, list[Any]]
    """A list for each parameter, in the order of `members`."""
    outcomes: dict[int, Report]
    """By delivery, as far as they are known."""


def run(body: Body, run: Run, guard: Guard) -> list[Report]:
    """Run a batch with a sync function, on this thread. One outcome for each of `run.batch`."""
    run.thread = threading.get_ident()
    try:
        try:
            guard.enter(run)
            if run.reason is not None:
                raise ERRORS[run.reason]
            with _container.running(run.held.inputs, _index(run.held)):
                gathered = _gather(body, run)
                value = gathered.callee.function(**gathered.columns) if gathered.members else []
                return _share(run, gathered, value)
        finally:
            guard.leave(run)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - as for single inputs
        guard.leave(run)
        return _failed(body, run, error)


async def run_async(body: Body, run: Run) -> list[Report]:
    """The same with an async function, in the current task."""
    try:
        with _container.running(run.held.inputs, _index(run.held)):
            gathered = _gather(body, run)
            value: object = []
            if gathered.members:
                value = await gathered.callee.function(**gathered.columns)
            return _share(run, gathered, value)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if isinstance(error, asyncio.CancelledError) and run.reason is None:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # the loop ends; nobody asks for an outcome
        return _failed(body, run, error)


def _index(held: Held) -> int:
    return held.inputs.items[0].index


def _gather(body: Body, run: Run) -> Gathered:
    callee = body.callee(run.held)
    signature = inspect.signature(callee.function)
    gathered = Gathered(callee, [], {name: [] for name in signature.parameters}, {})
    for held in run.batch:
        try:
            body.callee(held)
            args, kwargs = forms.load_call(callee, held.payload(0))
            bound = _bound(callee, signature, args, kwargs)
        except Exception as error:  # noqa: BLE001 - unpickling runs user code
            failure = report.failure(error, "arguments")
            gathered.outcomes[held.seq] = Raised(_index(held), failure)
            continue
        gathered.members.append(held)
        for name, value in bound.items():
            gathered.columns[name].append(value)
    run.stage = "exception"
    return gathered


def _bound(
    callee: Callee, signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    try:
        return signature.bind(*args, **kwargs).arguments
    except TypeError as error:
        raise InvalidError(
            f"{callee.name} is batched, every call must give all its parameters: {error}"
        ) from error


def _share(run: Run, gathered: Gathered, value: object) -> list[Report]:
    """Give each input its element. InvalidError unless there is one for each."""
    wanted = len(gathered.members)
    if not isinstance(value, list):
        raise InvalidError(
            f"{gathered.callee.name} is batched: it must return a list, not a {type(value).__name__}"
        )
    if len(value) != wanted:
        raise InvalidError(
            f"{gathered.callee.name} returned {len(value)} results for a batch of {wanted} inputs: "
            "return a list with one for each"
        )
    for held, each in zip(gathered.members, value, strict=True):
        gathered.outcomes[held.seq] = _returned(run, held, each)
    return [gathered.outcomes[held.seq] for held in run.batch]


def _returned(run: Run, held: Held, value: object) -> Report:
    try:
        payload = forms.dumper(held.payload(0))(value)
        return Returned(_index(held), payload, time.monotonic() - run.began_s)
    except Exception as error:  # noqa: BLE001 - pickling runs user code
        return Raised(_index(held), report.failure(error, "result"))


def _failed(body: Body, run: Run, error: BaseException) -> list[Report]:
    """One exception is everybody's."""
    failure = body.explained(run, error)
    return [Raised(_index(held), failure) for held in run.batch]
