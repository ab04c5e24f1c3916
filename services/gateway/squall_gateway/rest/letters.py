"""Dead letters over HTTP: listed, read, run again, thrown away."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from squall_bus.bus import Bus
from squall_bus.streams.reading import read
from squall_contracts import apps, subjects, verbs
from squall_contracts.dead import DeadLetter
from squall_contracts.message import decode, new_id

from squall_gateway import letters
from squall_gateway.handlers import Api
from squall_gateway.rest import calling
from squall_gateway.rest.asking import Answer, Ask
from squall_gateway.rest.calling import Target
from squall_gateway.rest.lines import Lines
from squall_gateway.rest.problems import ProblemError, error_of
from squall_gateway.rest.words import Call, Letter, LettersReply, Purged

LISTED: Final = 1000


class Letters:
    def __init__(self, api: Api, lines: Lines) -> None:
        self._api = api
        self._lines = lines

    async def list(self, ask: Ask) -> LettersReply:
        bus = (await self._lines.get(ask.account)).bus
        found: list[Letter] = []
        async with aclosing(_read(bus, ask)) as stored:
            async for letter in stored:
                if len(found) == LISTED:
                    return LettersReply(letters=tuple(found), more=True)
                found.append(_shown(letter))
        return LettersReply(letters=tuple(found), more=False)

    async def purge_all(self, ask: Ask) -> Purged:
        bus = (await self._lines.get(ask.account)).bus
        purged = 0
        async with aclosing(_read(bus, ask)) as stored:
            async for letter in stored:
                await letters.remove(bus, letter)
                purged += 1
        return Purged(purged=purged)

    async def get(self, ask: Ask) -> Letter:
        return _shown(await _one((await self._lines.get(ask.account)).bus, ask))

    async def purge(self, ask: Ask) -> None:
        bus = (await self._lines.get(ask.account)).bus
        await letters.remove(bus, await _one(bus, ask))

    async def retry(self, ask: Ask) -> Answer:
        """Run it again as a new call; the letter goes once that is stored."""
        line = await self._lines.get(ask.account)
        letter = await _one(line.bus, ask)
        target = await self._target(ask, letter)
        call_id = new_id("fc")
        payload = await letters.arguments(line.bus, letter, call_id)
        await calling.put(line, letter.environment, call_id, target, payload, kept=True)
        await letters.remove(line.bus, letter)
        return calling.pending(ask.environment, Call(call_id=call_id, state="queued"))

    async def _target(self, ask: Ask, letter: DeadLetter) -> Target:
        """The function itself while its app runs, else the deployed one of that name."""
        listed: apps.AppList = await self._api.ask(
            ask.account, verbs.LIST_APPS, apps.ListApps(environment=letter.environment)
        )
        lives = {each.app_id for each in listed.apps if each.state in {"ephemeral", "detached"}}
        function_id = await letters.target(
            self._api.ask, ask.account, letter, app_runs=letter.app_id in lives
        )
        return Target(function_id, letter.method, letter.is_generator)


async def _read(bus: Bus, ask: Ask) -> AsyncGenerator[DeadLetter, None]:
    """Those of an environment, of one app or function if the query says so, oldest first."""
    app, function = ask.given.get("app"), ask.given.get("function")
    async with aclosing(read(bus, subjects.DEAD, subjects.dead_letters(ask.environment))) as stored:
        async for each in stored:
            letter = decode(each.data, DeadLetter)
            if app in {None, letter.app_name} and function in {None, letter.function_name}:
                yield letter


async def _one(bus: Bus, ask: Ask) -> DeadLetter:
    letter_id = ask.path["letter_id"]
    try:
        found = await letters.find(bus, ask.environment, letter_id)
    except ValueError:
        found = None
    if found is None:
        raise ProblemError(
            404, f"there is no dead letter {letter_id} in environment {ask.environment!r}"
        )
    return found


def _shown(letter: DeadLetter) -> Letter:
    return Letter(
        letter_id=letter.letter_id,
        app=letter.app_name,
        function=letter.function_name,
        method=letter.method,
        call_id=letter.call_id,
        attempts=letter.attempts,
        deaths=letter.deaths,
        died_unix_s=letter.died_unix_s,
        error=error_of(letter.failure),
    )
