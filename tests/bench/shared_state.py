"""What Dict and Queue cost over the bare operations they are made of, interleaved in one run."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import squall
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import StorageType

from tests.bench.figures import Figure, quantile
from tests.bench.floor import Floor

ROUNDS = 4
EACH = 400
VALUE = b"v" * 100


class Bare:
    """A key-value bucket and a work queue of stock NATS."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._stream = client.jetstream()
        self._inbox = client.new_inbox()
        self._arrived: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()

    async def open(self) -> None:
        self._bucket = await self._stream.create_key_value(
            bucket="bare", storage=StorageType.FILE, direct=True
        )
        await self._stream.add_stream(name="BARE", subjects=["bare"], retention="workqueue")
        await self._stream.add_consumer("BARE", durable_name="bare", ack_policy="explicit")

        await self._client.subscribe(self._inbox, cb=self._heard)

    async def put(self) -> None:
        await self._bucket.put("key", VALUE)

    async def get(self) -> None:
        await self._bucket.get("key")

    async def push(self) -> None:
        await self._stream.publish("bare", VALUE)

    async def pull(self) -> None:
        """One message, and its acknowledgement confirmed."""
        subject = "$JS.API.CONSUMER.MSG.NEXT.BARE.bare"
        self._arrived = asyncio.get_running_loop().create_future()
        await self._client.publish(subject, b'{"batch":1,"expires":5000000000}', reply=self._inbox)
        await self._client.request((await self._arrived).reply, b"+ACK", 5)

    async def _heard(self, message: Msg) -> None:
        self._arrived.set_result(message)


@contextlib.asynccontextmanager
async def shared() -> AsyncIterator[tuple["squall.Dict", "squall.Queue"]]:
    async with squall.Dict.ephemeral() as table, squall.Queue.ephemeral() as line:
        yield table, line


async def timed(work: Callable[[], Awaitable[object]], into: list[float]) -> None:
    for _ in range(EACH):
        began = time.perf_counter()
        await work()
        into.append(time.perf_counter() - began)


async def measure(floor: Floor) -> list[Figure]:
    """(g) Reading and writing a dict's entry, and an item's way through a queue."""
    bare = Bare(floor.client)
    await bare.open()
    async with shared() as (table, line):

        async def through() -> None:
            await line.put.aio(VALUE)
            await line.get.aio()

        async def bare_through() -> None:
            await bare.push()
            await bare.pull()

        pairs: dict[str, tuple[Callable[[], Awaitable[object]], Callable[[], Awaitable[object]]]]
        pairs = {
            "Dict.put.aio()": (lambda: table.put.aio("key", VALUE), bare.put),
            "Dict.get.aio()": (lambda: table.get.aio("key"), bare.get),
            "Queue.put.aio() and get.aio()": (through, bare_through),
        }
        figures = []
        for name, (ours, theirs) in pairs.items():
            took: list[float] = []
            floor_took: list[float] = []
            await timed(ours, [])
            for _ in range(ROUNDS):
                await timed(theirs, floor_took)
                await timed(ours, took)
            figures.append(
                Figure(
                    name=f"{name} p50 over the bare operation",
                    unit="ms",
                    goal="<= 1.5",
                    value=quantile(took, 0.5) * 1e3,
                    floor=quantile(floor_took, 0.5) * 1e3,
                )
            )
    return figures
