"""Follows the registry into what is known of it."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from squall_bus.bus import Bus
from squall_bus.stores.watch import Watch

from squall_gateway.dashboard.bell import Bell
from squall_gateway.dashboard.known import BUCKETS, Known


async def follow(bus: Bus, known: Known, bell: Bell, ready: asyncio.Event) -> None:
    """Read all buckets, set `ready`, and follow them for ever. BusError."""
    async with AsyncExitStack() as stack:
        watches: dict[str, Watch[Any]] = {}

        async def begin(table: str) -> None:
            bucket = BUCKETS[table]
            watch = bus.kv(bucket.name, bucket.kind).watch()
            watches[table] = await stack.enter_async_context(watch)

        await asyncio.gather(*map(begin, BUCKETS))
        for table, watch in watches.items():
            for key, value in (await watch.initial()).items():
                known.put(table, key, value)
        ready.set()
        bell.ring()

        async def hear(table: str) -> None:
            async for change in watches[table]:
                known.put(table, change.key, change.value)
                bell.ring()

        async with asyncio.TaskGroup() as group:
            for table in watches:
                group.create_task(hear(table))
