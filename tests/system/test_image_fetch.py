"""A machine that lacks an image gets it from the builder's, as it was built, and forgets it with it."""

import asyncio
import signal
import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import squall
from squall import _client
from squall._sync import run
from squall_bus.access.accounts import owner_of
from squall_bus.bus import Bus
from squall_bus.connection import connect
from squall_contracts import image_subjects, subjects
from squall_contracts.guest import Credentials
from squall_contracts.images import ImageRecord, ImageShared, PruneImages, ShareImage, ShareReply
from squall_guard import sandbox_image

from tests.system.conftest import docker_engine, load, running
from tests.system.fleet import Fleet
from tests.system.test_chaos import docker_gateway

pytestmark = pytest.mark.docker


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    if docker_engine() is None:
        pytest.skip("no Docker engine answers on this machine")
    with running(Fleet(tmp_path, "docker", docker_gateway())) as found:
        yield found


@asynccontextmanager
async def bus_of(fleet: Fleet, credentials: Credentials) -> AsyncIterator[Bus]:
    inbox = subjects.inbox(owner_of(credentials.jwt))
    async with await connect([fleet.url], credentials, name="tests", inbox=inbox) as bus:
        yield bus


async def image_of(fleet: Fleet) -> ImageRecord:
    async with bus_of(fleet, fleet.keyring.service("scheduler")) as bus:
        [record] = (await bus.kv(subjects.IMAGES_BUCKET, ImageRecord).items()).values()
        return record


async def share(fleet: Fleet, image: ImageRecord) -> bytes:
    """As a runner asks; returns what it would read."""
    async with bus_of(fleet, fleet.keyring.runner("rn-1")) as bus:
        request = ShareImage(workspace=image.workspace, image_id=image.image_id)
        subject = image_subjects.share_image(image.engine)
        reply = await bus.request(subject, request, ShareReply, timeout_s=60)
        assert isinstance(reply, ImageShared)
    async with bus_of(fleet, fleet.keyring.administrator(image.workspace)) as bus:
        files = bus.objects(image_subjects.IMAGE_FILES_BUCKET)
        data = await files.get(image.image_id)
        assert len(data) == reply.size_bytes
        return data


async def store(fleet: Fleet, image: ImageRecord, data: bytes) -> None:
    async with bus_of(fleet, fleet.keyring.administrator(image.workspace)) as bus:
        await bus.objects(image_subjects.IMAGE_FILES_BUCKET).put(image.image_id, data)


async def is_stored(fleet: Fleet, image: ImageRecord) -> bool:
    async with bus_of(fleet, fleet.keyring.administrator(image.workspace)) as bus:
        files = bus.objects(image_subjects.IMAGE_FILES_BUCKET)
        return await files.info(image.image_id) is not None


def docker(*command: str) -> bytes:
    done = subprocess.run(["docker", *command], capture_output=True, check=True, timeout=120)
    return done.stdout


def has(reference: str) -> bool:
    return bool(docker("images", "-q", reference).strip())


def called() -> str:
    module = load("fetched")
    with module.app.run():
        answer: str = module.made.remote()
    return answer


def stop_in_order(fleet: Fleet, name: str) -> None:
    process = fleet.processes[name]
    process.send_signal(signal.SIGTERM)
    process.wait(60)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_image_is_fetched_checked_and_forgotten_with_the_original(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    nonce = uuid.uuid4().hex
    monkeypatch.setenv("FETCHED_NONCE", nonce)
    assert called() == f"made {nonce}"
    image = asyncio.run(image_of(fleet))
    data = asyncio.run(share(fleet, image))
    another = docker("save", sandbox_image.REFERENCE)
    stop_in_order(fleet, "runner")
    docker("rmi", image.reference)
    assert not has(image.reference)

    asyncio.run(store(fleet, image, another))
    fleet.start("runner2")
    fleet.wait_ready("runner2")
    with pytest.raises(squall.exception.Error, match="is not what was built"):
        called()

    asyncio.run(store(fleet, image, data))
    assert called() == f"made {nonce}"
    assert (fleet.state / "builder.log").read_text().count("image.build_started") == 1
    assert has(image.reference)

    stop_in_order(fleet, "runner2")
    run(_prune())
    assert not asyncio.run(is_stored(fleet, image))
    fleet.start("runner2")
    fleet.wait_ready("runner2")
    assert not has(image.reference)
    assert list((fleet.state / "runner2" / "images").iterdir()) == []


async def _prune() -> None:
    client = await _client.connected()
    pruned = await client.control(PruneImages())
    assert len(pruned.image_ids) == 1
