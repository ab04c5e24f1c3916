"""Dead letters: inputs that failed for good, to be read, run again or thrown away."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from squall_contracts import dead as words
from squall_contracts import subjects
from squall_contracts.apps import BindPool, FindFunction, ListApps
from squall_contracts.calls import BlobRef, Input, Inputs
from squall_contracts.message import decode, input_id

from squall import _client, _sync
from squall._calling.unary import Target, upload
from squall._ids import new_call_id
from squall.call import FunctionCall, spawned
from squall.exception import NotFoundError

if TYPE_CHECKING:
    from squall._client import Client

__all__ = ["DeadLetter", "DeadLetters"]


class DeadLetter:
    """One input that failed for good. Kept for thirty days; arguments past 512 KiB for seven."""

    def __init__(self, entry: words.DeadLetter) -> None:
        self._entry = entry

    @property
    def letter_id(self) -> str:
        """The id of the input, `in-…`."""
        return self._entry.letter_id

    @property
    def app_name(self) -> str:
        return self._entry.app_name

    @property
    def function_name(self) -> str:
        return self._entry.function_name

    @property
    def call_id(self) -> str:
        return self._entry.call_id

    @property
    def attempts(self) -> int:
        """How often the function was started by its retry policy, the first time included."""
        return self._entry.attempts

    @property
    def deaths(self) -> int:
        """How many containers died under it."""
        return self._entry.deaths

    @property
    def error(self) -> str:
        """The last error in one line."""
        return self._entry.failure.message

    @property
    def traceback(self) -> str:
        """The remote traceback of the last error; empty where there was none."""
        return self._entry.failure.traceback

    @property
    def died_unix_s(self) -> float:
        return self._entry.died_unix_s

    @property
    def entry(self) -> words.DeadLetter:
        """All that is stored."""
        return self._entry

    @_sync.synced
    async def retry(self) -> FunctionCall[Any]:
        """Run the input again as a new call, with all its attempts; the letter goes once that is
        stored. NotFoundError if the function doesn't run any more, DataLossError if its arguments
        are no longer kept."""
        client = await _client.connected()
        target = await _target(client, self._entry)
        payload = await client.blobs.read(self._entry.payload)
        call_id = new_call_id()
        reply_to = subjects.result(target.environment, client.client_id, call_id)
        inputs = Inputs(
            call_id=call_id,
            reply_to=reply_to,
            items=(Input(0, await upload(client, call_id, 0, payload)),),
            parent=self._entry.parent,
            method=self._entry.method,
        )
        subject = subjects.call(target.environment, target.function_id, "now", call_id)
        async with _client.translated():
            await client.bus.store(subject, inputs, msg_id=f"{input_id(call_id, 0)}.0")
            client.outbox.hints.stored(target.function_id)
            await _remove(client, self._entry)
        return spawned(call_id, target, reply_to, None, 1)

    @_sync.synced
    async def purge(self) -> None:
        """Throw the letter away."""
        client = await _client.connected()
        async with _client.translated():
            await _remove(client, self._entry)

    def __repr__(self) -> str:
        name = f"{self.app_name}::{self.function_name}"
        return f"<DeadLetter {self.letter_id} of {name}: {self.error}>"


class DeadLetters:
    """The letters of an environment: iterate, with `for` or `async for`, oldest first."""

    def __init__(
        self,
        *,
        environment_name: str | None = None,
        function_name: str | None = None,
        belongs: Callable[[words.DeadLetter], bool] | None = None,
    ) -> None:
        """`environment_name` None: the configured one. `function_name` None: of all functions."""
        self._environment = environment_name
        self._function = function_name
        self._belongs = belongs

    def of(self, function_name: str) -> "DeadLetters":
        """Those of one function."""
        return DeadLetters(
            environment_name=self._environment,
            function_name=function_name,
            belongs=self._belongs,
        )

    def __iter__(self) -> Iterator[DeadLetter]:
        return iter(self.list())

    async def __aiter__(self) -> AsyncIterator[DeadLetter]:
        for letter in await self.list.aio():
            yield letter

    @_sync.synced
    async def list(self) -> list[DeadLetter]:
        """All of them."""
        client = await _client.connected()
        return [DeadLetter(entry) async for entry in self._entries(client)]

    @_sync.synced
    async def get(self, letter_id: str) -> DeadLetter:
        """One by its id. NotFoundError."""
        client = await _client.connected()
        async for entry in self._entries(client, letter_id):
            return DeadLetter(entry)
        raise NotFoundError(f"no dead letter {letter_id!r}: see `squall dead list`")

    @_sync.synced
    async def retry(self) -> "Sequence[FunctionCall[Any]]":
        """Run all of them again, each as a new call. Stops at the first that can't be."""
        return [await letter.retry.aio() for letter in await self.list.aio()]

    @_sync.synced
    async def purge(self) -> int:
        """Throw all of them away; returns how many."""
        client = await _client.connected()
        letters = await self.list.aio()
        async with _client.translated():
            for letter in letters:
                await _remove(client, letter.entry)
        return len(letters)

    async def _entries(
        self, client: "Client", letter_id: str | None = None
    ) -> AsyncIterator[words.DeadLetter]:
        from squall_bus.streams.reading import read

        environment = self._environment or client.environment
        subject = subjects.dead_letters(environment)
        if letter_id is not None:
            try:
                subject = subjects.dead_letter(environment, letter_id)
            except ValueError:
                return  # no letter can have that id
        async with (
            _client.translated(),
            aclosing(read(client.bus, subjects.DEAD, subject)) as stored,
        ):
            async for each in stored:
                entry = decode(each.data, words.DeadLetter)
                if self._function not in {None, entry.function_name}:
                    continue
                if self._belongs is None or self._belongs(entry):
                    yield entry


async def _target(client: "Client", entry: words.DeadLetter) -> Target:
    """Where to send it: the function itself while its app runs, else the deployed one of that
    name."""
    listed = await client.control(ListApps(environment=entry.environment))
    lives = {app.app_id for app in listed.apps if app.state in {"ephemeral", "detached"}}
    function_id, retryable = entry.declared_id or entry.function_id, True
    if entry.app_id not in lives:
        found = await client.control(
            FindFunction(
                environment=entry.environment, app=entry.app_name, name=entry.function_name
            )
        )
        function_id, retryable = found.function_id, found.retryable
    if entry.declared_id:
        pool = await client.control(
            BindPool(function_id=function_id, arguments=entry.arguments, variant=entry.variant)
        )
        function_id, retryable = pool.function_id, pool.retryable
    return Target(
        function_id, entry.environment, entry.function_name, entry.is_generator, retryable
    )


async def _remove(client: "Client", entry: words.DeadLetter) -> None:
    subject = subjects.dead(entry.environment, entry.function_id, entry.letter_id)
    await client.bus.admin.purge(subjects.DEAD, subject)
    if isinstance(entry.payload, BlobRef):
        await client.blobs.remove(entry.payload)
