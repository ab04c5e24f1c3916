"""What credentials cost: signing in with a token, and a warm call's way over the bus.

`python -m tests.bench.access` prints both, beside a nats-server without any accounts.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from squall_bus.access.accounts import new_key, owner_of, user_jwt
from squall_bus.access.signing_in import sign_in
from squall_bus.bus import Bus, Delivery
from squall_bus.connection import connect
from squall_bus.layout import ensure_workspace
from squall_bus.streams.job import Job
from squall_bus.streams.pull import StandingPull
from squall_contracts import access_subjects, rights, subjects, tokens, verbs
from squall_contracts.guest import Credentials

from tests.bus.natsd import BINARY, NatsServer
from tests.ports import free_port
from tests.services.gateway.conftest import running_platform

CALLS = 1500
ROUNDS = 5
SIGN_INS = 40


async def ways(client: Bus, guest: Bus, own: str) -> float:
    """The median of so many calls, one after another, in milliseconds."""
    came: asyncio.Queue[bytes] = asyncio.Queue()

    def hear(delivery: Delivery) -> None:
        came.put_nowait(delivery.data)

    subscription = await client.subscribe(subjects.replies_to("main", own)[0], hear)
    jobs: asyncio.Queue[Job] = asyncio.Queue()
    pull = StandingPull(
        guest, subjects.CALLS, subjects.consumer("fn-a", "now"), jobs.put_nowait, batch=64
    )
    await pull.start()

    async def answer() -> None:
        while True:
            job = await jobs.get()
            await guest.store(subjects.reply("main", own, "fc-1"), job.data)
            await job.ack()

    answering = asyncio.create_task(answer())
    took: list[float] = []
    for _ in range(CALLS):
        began = time.perf_counter()
        await client.store_soon(subjects.call("main", "fn-a", "now", "fc-1"), b"x" * 100)
        await came.get()
        took.append((time.perf_counter() - began) * 1000)
    answering.cancel()
    await pull.close()
    await subscription.close()
    return statistics.median(took)


async def prepare(bus: Bus) -> None:
    await ensure_workspace(bus)
    await bus.admin.ensure_consumer(
        subjects.CALLS,
        subjects.consumer("fn-a", "now"),
        subjects=subjects.call_lane("main", "fn-a", "now"),
    )


@asynccontextmanager
async def plain(folder: Path) -> AsyncIterator[tuple[Bus, Bus, str]]:
    """A server without accounts."""
    port = free_port()
    config = folder / "plain.conf"
    config.write_text(
        f'listen: "127.0.0.1:{port}"\nmax_payload: 8MB\njetstream {{ store_dir: "{folder}/plain" }}\n'
    )
    process = await asyncio.create_subprocess_exec(
        BINARY, "-c", str(config), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with AsyncExitStack() as stack:
            both = []
            for name in ("client", "guest"):
                url = [f"nats://127.0.0.1:{port}"]
                for _ in range(100):
                    try:
                        bus = await connect(url, None, name=name, inbox=subjects.inbox(name))
                        break
                    except Exception:  # noqa: BLE001 - until it listens
                        await asyncio.sleep(0.05)
                both.append(await stack.enter_async_context(bus))
            await prepare(both[1])
            yield both[0], both[1], access_subjects.client_id("client", "cl-1")
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def guarded(folder: Path) -> AsyncIterator[tuple[Bus, Bus, str]]:
    """Accounts, and the rights of a client and a guest."""
    server = NatsServer(folder)
    await server.start()
    url = [server.url]
    try:
        admin = server.keys.administrator(server.workspace.public)
        inbox = subjects.inbox(owner_of(admin.jwt))
        async with await connect(url, admin, name="admin", inbox=inbox) as bus:
            await prepare(bus)
        client_key, guest_key = new_key("user"), new_key("user")
        may = rights.client_may(client_key.public, ("deploy",))
        jwt = user_jwt(server.workspace, client_key.public, "c", publish=may[0], subscribe=may[1])
        client = Credentials(jwt=jwt, seed=client_key.seed)
        may = rights.guest_may("main", "fn-a", "ct-a")
        jwt = user_jwt(server.workspace, guest_key.public, "g", publish=may[0], subscribe=may[1])
        guest = Credentials(jwt=jwt, seed=guest_key.seed)
        own = access_subjects.client_id(client_key.public, "cl-1")
        async with (
            await connect(url, client, name="c", inbox=subjects.inbox(client_key.public)) as one,
            await connect(url, guest, name="g", inbox=subjects.inbox("ct-a")) as other,
        ):
            yield one, other, own
    finally:
        server.close()


async def signing_in(folder: Path) -> float:
    """The median of a token's way to a connection, in milliseconds."""
    async with running_platform(folder) as platform:
        operator = await platform.client()
        async with operator.bus:
            await operator.ask(verbs.PUT_MEMBER, tokens.PutMember(user="a", scopes=("deploy",)))
            made = await operator.ask(verbs.ISSUE_TOKEN, tokens.IssueToken(user="a"))
        took = []
        for _ in range(SIGN_INS):
            began = time.perf_counter()
            token = f"{made.token_id}.{made.secret}"
            found = await sign_in([platform.server.url], token, name="b")
            took.append((time.perf_counter() - began) * 1000)
            await found.bus.close()
    return statistics.median(took)


async def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "a").mkdir()
        (folder / "b").mkdir()
        print(f"sign in with a token: {await signing_in(folder / 'a'):.1f} ms")
        without, with_them = [], []
        async with plain(folder) as bare, guarded(folder / "b") as held:
            for _ in range(ROUNDS):
                without.append(await ways(*bare))
                with_them.append(await ways(*held))
        ratio = statistics.median(with_them) / statistics.median(without)
        print(
            f"a call's way: {statistics.median(without):.3f} ms without credentials, "
            f"{statistics.median(with_them):.3f} ms with them: {ratio:.2f} times"
        )


if __name__ == "__main__":
    asyncio.run(main())
