"""Orders in, records and news out: on the bus in memory, with a runtime that does as it is told."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest
from prometheus_client import CollectorRegistry
from squall_builder import app
from squall_builder.built import (
    NO_VALUES,
    BuildError,
    Built,
    Fetch,
    InUseError,
    Say,
    StepValues,
)
from squall_builder.handlers import Handlers
from squall_builder.metrics import Metrics
from squall_bus.access.sealing import new_pair, seal
from squall_bus.bus import Bus
from squall_bus.errors import SquallRefusal
from squall_bus.layout import ensure_platform, ensure_workspace
from squall_bus.streams.consume import consume
from squall_bus.streams.pull import StandingPull
from squall_bus.subscriptions import Delivery
from squall_bus.testing import FakeBus, FakeServer
from squall_contracts import access_subjects, images, subjects
from squall_contracts.secrets import (
    BuildSecrets,
    OpenBuildSecrets,
    Resealed,
    SealingKey,
    StepSecret,
)

ACCOUNT = "A1"
RECIPE = images.Recipe(base=images.DebianSlim(python_version="3.11"))
ORDER = images.BuildImage(workspace=ACCOUNT, image_id=images.image_id(RECIPE), recipe=RECIPE)
KEY = subjects.image_key(ACCOUNT, ORDER.image_id)
READY = Built(reference="tag", python_version="3.11", size_bytes=5, workdir="/w", env={"A": "1"})


class Scripted:
    """A runtime whose builds run `script`; what it built it finds again."""

    name = "docker"

    def __init__(self) -> None:
        self.built: dict[str, Built] = {}
        self.builds = 0
        self.script: Callable[[Fetch, Say], Awaitable[None]] | None = None
        self.in_use = False
        self.values: StepValues = {}

    async def find(self, order: images.BuildImage) -> Built | None:
        return self.built.get(order.image_id)

    async def build(
        self, order: images.BuildImage, fetch: Fetch, say: Say, values: StepValues = NO_VALUES
    ) -> Built:
        self.builds += 1
        self.values = values
        if self.script is not None:
            await self.script(fetch, say)
        self.built[order.image_id] = READY
        return READY

    async def remove(self, account: str, image_id: str) -> int:
        if self.in_use:
            raise InUseError("a container uses it")
        return 7 if self.built.pop(image_id, None) else 0

    async def close(self) -> None:
        return None


class Bench:
    """A builder on a bus in memory."""

    def __init__(self) -> None:
        self.server = FakeServer()
        self.bus = FakeBus(self.server)
        self.theirs = FakeBus(self.server, account=ACCOUNT)
        self.runtime = Scripted()
        self.news: list[images.BuildNews] = []
        self.ended = asyncio.Event()

    async def get(self, account: str) -> Bus:
        assert account == ACCOUNT
        return self.theirs

    async def prepare(self) -> None:
        await ensure_platform(self.bus)
        await ensure_workspace(self.theirs)
        await self.bus.admin.ensure_consumer(
            subjects.BUILDS, subjects.BUILDER_DURABLE, subjects=subjects.BUILD_ALL
        )
        await self.bus.subscribe(subjects.build_feed(ACCOUNT, ORDER.image_id), self._hear)

    def _hear(self, delivery: Delivery) -> None:
        # mypy takes no union for a type object.
        kind: Any = images.BuildNews
        news = delivery.decode(kind)
        self.news.append(news)
        if isinstance(news, images.BuildEnded):
            self.ended.set()

    def handlers(self) -> Handlers:
        return Handlers(
            self.bus, self, self.runtime, log_tail_lines=3, metrics=Metrics(CollectorRegistry())
        )

    @asynccontextmanager
    async def builder(self) -> AsyncIterator[Handlers]:
        handlers = self.handlers()
        working = asyncio.create_task(
            consume(
                self.bus,
                subjects.BUILDS,
                subjects.BUILDER_DURABLE,
                handlers.build,
                concurrency=4,
                kind=images.BuildImage,
            )
        )
        try:
            yield handlers
        finally:
            working.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait([working])

    async def order(self) -> None:
        await self.bus.store(subjects.build(ORDER.image_id), ORDER)

    async def end(self) -> images.BuildEnded:
        await asyncio.wait_for(self.ended.wait(), 30)
        last = self.news[-1]
        assert isinstance(last, images.BuildEnded)
        return last

    async def record(self) -> images.ImageRecord:
        entry = await self.bus.kv(subjects.IMAGES_BUCKET, images.ImageRecord).get(KEY)
        assert entry is not None
        return entry.value


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    await bench.prepare()
    yield bench
    await bench.bus.close()
    await bench.theirs.close()
    bench.server.close()


async def test_a_built_image_is_recorded_and_told(bench: Bench) -> None:
    async def script(_: Fetch, say: Say) -> None:
        await say("first", 0, 2)
        await say("second", 2, 2)

    bench.runtime.script = script
    async with bench.builder():
        await bench.order()
        ended = await bench.end()
    assert bench.news[:-1] == [
        images.BuildLine(image_id=ORDER.image_id, text="first", step=0, steps=2),
        images.BuildLine(image_id=ORDER.image_id, text="second", step=2, steps=2),
    ]
    assert ended.state == "ready"
    record = await bench.record()
    assert (record.state, record.reference, record.python_version) == ("ready", "tag", "3.11")
    assert (record.workdir, record.env, record.runtime) == ("/w", {"A": "1"}, "docker")


async def test_an_image_asked_twice_at_once_is_built_once(bench: Bench) -> None:
    both = asyncio.Event()

    async def script(_: Fetch, _say: Say) -> None:
        await both.wait()

    bench.runtime.script = script
    async with bench.builder() as handlers:
        await bench.order()
        await bench.order()
        await asyncio.sleep(0)
        both.set()
        await bench.end()
        await handlers.stop()
    assert bench.runtime.builds == 1
    assert (await bench.record()).state == "ready"


async def test_an_image_that_is_there_is_told_without_a_build(bench: Bench) -> None:
    bench.runtime.built[ORDER.image_id] = READY
    async with bench.builder():
        await bench.order()
        assert (await bench.end()).state == "ready"
    assert bench.runtime.builds == 0
    assert (await bench.record()).reference == "tag"


async def test_a_failing_build_keeps_its_step_and_the_end_of_its_log(bench: Bench) -> None:
    async def script(_: Fetch, say: Say) -> None:
        for number in range(5):
            await say(f"line {number}", 1, 1)
        raise BuildError("pip_install('x') failed with exit code 1: why", "pip_install('x')")

    bench.runtime.script = script
    async with bench.builder():
        await bench.order()
        ended = await bench.end()
    record = await bench.record()
    for told in (ended, record):
        assert told.state == "failed"
        assert told.failed_step == "pip_install('x')"
        assert told.error == "pip_install('x') failed with exit code 1: why"
        assert told.log_tail == "line 2\nline 3\nline 4"
    assert (await bench.bus.admin.stream_info(subjects.BUILDS))["state"]["messages"] == 0


async def test_a_failed_image_is_built_again_when_asked_again(bench: Bench) -> None:
    async def script(_: Fetch, _say: Say) -> None:
        if bench.runtime.builds == 1:
            raise BuildError("the network was away")

    bench.runtime.script = script
    async with bench.builder():
        await bench.order()
        assert (await bench.end()).state == "failed"
        bench.ended.clear()
        await bench.order()
        assert (await bench.end()).state == "ready"


async def test_the_order_of_a_builder_that_ended_midway_is_built_by_the_next(bench: Bench) -> None:
    begun = asyncio.Event()

    async def script(_: Fetch, _say: Say) -> None:
        begun.set()
        if bench.runtime.builds == 1:
            await asyncio.Event().wait()

    bench.runtime.script = script
    async with bench.builder():
        await bench.order()
        await asyncio.wait_for(begun.wait(), 30)
        assert (await bench.record()).state == "building"
    async with bench.builder():
        assert (await bench.end()).state == "ready"
    assert bench.runtime.builds == 2


async def test_the_order_of_a_killed_builder_comes_back_when_its_silence_has_lasted(
    bench: Bench,
) -> None:
    taken = asyncio.Event()
    killed = StandingPull(
        bench.bus, subjects.BUILDS, subjects.BUILDER_DURABLE, lambda _: taken.set(), batch=1
    )
    await killed.start()
    await bench.order()
    await asyncio.wait_for(taken.wait(), 30)
    await killed.close()
    async with bench.builder():
        bench.server.advance(31)
        assert (await bench.end()).state == "ready"
    assert bench.runtime.builds == 1


async def test_files_come_from_the_workspaces_own_store(bench: Bench) -> None:
    stored = images.ContextFile(path="a", sha256="digest", size_bytes=3)
    await bench.theirs.objects(subjects.CODE_BUCKET).put("digest", b"abc")
    read: list[bytes] = []

    async def script(fetch: Fetch, _: Say) -> None:
        read.extend([chunk async for chunk in fetch(stored)])

    bench.runtime.script = script
    async with bench.builder():
        await bench.order()
        await bench.end()
    assert b"".join(read) == b"abc"


async def test_a_file_that_was_never_uploaded_fails_the_build_and_is_named(bench: Bench) -> None:
    missing = images.ContextFile(path="data/a.txt", sha256="nowhere", size_bytes=3)

    async def script(fetch: Fetch, _: Say) -> None:
        async for _chunk in fetch(missing):
            pass

    bench.runtime.script = script
    async with bench.builder():
        await bench.order()
        assert "'data/a.txt' was never uploaded" in (await bench.end()).error


async def test_a_stopping_builder_finishes_its_build_and_takes_no_other(bench: Bench) -> None:
    begun, finish = asyncio.Event(), asyncio.Event()

    async def script(_: Fetch, _say: Say) -> None:
        begun.set()
        await finish.wait()

    bench.runtime.script = script
    async with bench.builder() as handlers:
        await bench.order()
        await asyncio.wait_for(begun.wait(), 30)
        stopping = asyncio.create_task(handlers.stop())
        await asyncio.sleep(0)
        assert not stopping.done()
        finish.set()
        await asyncio.wait_for(stopping, 30)
        assert (await bench.record()).state == "ready"


async def test_a_removed_image_is_forgotten(bench: Bench) -> None:
    bench.runtime.built[ORDER.image_id] = READY
    request = images.RemoveImage(workspace=ACCOUNT, image_id=ORDER.image_id)
    pruned = await bench.handlers().remove(subjects.REMOVE_IMAGE, request)
    assert pruned == images.ImagesPruned(image_ids=(ORDER.image_id,), freed_bytes=7)
    assert await bench.bus.kv(subjects.IMAGES_BUCKET, images.ImageRecord).get(KEY) is None


async def test_an_image_in_use_stays(bench: Bench) -> None:
    bench.runtime.in_use = True
    request = images.RemoveImage(workspace=ACCOUNT, image_id=ORDER.image_id)
    with pytest.raises(SquallRefusal, match="stop its containers first"):
        await bench.handlers().remove(subjects.REMOVE_IMAGE, request)


def test_importing_the_service_has_no_effect() -> None:
    assert app.SERVICE.name == "builder"


async def test_a_recipe_with_secrets_and_no_grant_is_refused_with_what_to_do(bench: Bench) -> None:
    steps = (images.RunCommands(commands=("ls",), secrets=(StepSecret(name="s"),)),)
    order = msgspec.structs.replace(ORDER, recipe=msgspec.structs.replace(RECIPE, steps=steps))
    async with bench.builder():
        await bench.bus.store(subjects.build(ORDER.image_id), order)
        ended = await bench.end()
    assert (ended.state, bench.runtime.builds) == ("failed", 0)
    assert ended.error.endswith("run or deploy it again")


async def test_values_of_secrets_are_hidden_in_lines_and_errors(bench: Bench) -> None:
    own = {"TOKEN": "s3cret-value", "LINES": "one-line\nother-line", "SHORT": "ab"}
    steps = (images.RunCommands(commands=("ls",), secrets=(StepSecret(name="s"),)),)
    recipe = msgspec.structs.replace(RECIPE, steps=steps)
    key = new_pair()

    async def answer(_: str, request: OpenBuildSecrets) -> BuildSecrets:
        sealing = SealingKey(key_id=key.key_id, public_key=key.public, account=ACCOUNT)
        sealed = {n: seal(v, name=n, key=sealing, mark_key=b"m" * 32) for n, v in own.items()}
        again = {
            name: Resealed(
                wrapped=key.rewrap(each.wrapped, ACCOUNT, request.public_key), box=each.box
            )
            for name, each in sealed.items()
        }
        return BuildSecrets(secrets=(again,))

    async def script(_: Fetch, say: Say) -> None:
        assert bench.runtime.values == {1: own}
        await say("url https://me:s3cret-value@host, about", 1, 1)
        raise BuildError("other-line failed", "run_commands")

    bench.runtime.script = script
    responder = await bench.bus.respond(
        access_subjects.OPEN_BUILD_SECRETS, OpenBuildSecrets, answer
    )
    async with bench.builder():
        order = msgspec.structs.replace(ORDER, recipe=recipe, grant=b"g")
        await bench.bus.store(subjects.build(ORDER.image_id), order)
        ended = await bench.end()
    await responder.close()
    assert ended.log_tail == "url https://me:****@host, about"
    assert ended.error == "**** failed"
