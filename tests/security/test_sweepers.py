"""What users write by hand where a gateway clears up after all of them: it goes on."""

import asyncio

from squall_bus.bus import Bus
from squall_contracts import collections, state_subjects, verbs
from squall_contracts.volumes import VolumeHead
from squall_gateway.collections import Collections
from squall_gateway.environments import Environments
from squall_gateway.sweeper import Sweeper
from squall_gateway.volume_sweeper import VolumeSweeper

from tests.services.gateway.conftest import Client, Platform

from .ways_in import signed_in


async def put_head(bus: Bus, volume_id: str, key: str) -> None:
    """An ephemeral volume that nobody holds."""
    head = VolumeHead(volume_id=volume_id, created_unix_s=0, modified_unix_s=0, ephemeral=True)
    heads = bus.kv(state_subjects.VOLUMES_BUCKET, VolumeHead)
    await heads.put(state_subjects.volume_head_key(key), head)


async def test_no_volume_keeps_others_from_being_cleared_away(
    platform: Platform, client: Client
) -> None:
    other = await platform.client("other")
    async with other.bus, signed_in(platform, client, "eve", "call") as eve:
        await put_head(eve.bus, "no id", "vo-1")
        await put_head(other.bus, "vo-2", "vo-2")
        await VolumeSweeper(platform.context, 1.0).sweep()
        heads = other.bus.kv(state_subjects.VOLUMES_BUCKET, VolumeHead)
        assert await heads.keys(state_subjects.VOLUME_HEADS_KEY) == []


async def test_no_queue_keeps_others_from_being_cleared_away(
    platform: Platform, client: Client
) -> None:
    other = await platform.client("other")
    async with other.bus, signed_in(platform, client, "eve", "call") as eve:
        request = collections.OpenCollection(
            environment="main", kind="queue", name="q", create="missing"
        )
        hers = await client.ask(verbs.OPEN_COLLECTION, request)
        theirs = await other.ask(verbs.OPEN_COLLECTION, request)
        for bus, queue, life in ((eve.bus, hers, "soon"), (other.bus, theirs, "0.001")):
            subject = state_subjects.queue_items(queue.collection_id, "p")
            await bus.store(subject, b"x", headers={collections.TTL_HEADER: life})
        await asyncio.sleep(0.01)  # until its time is over
        registry = Collections(platform.context, Environments(platform.context))
        await Sweeper(registry, platform.context).sweep()
        left = await other.bus.admin.backlog(state_subjects.QUEUES, state_subjects.QUEUE_ALL)
        assert left == {}
