"""The floor of bulk: bytes into a stream and out again, with nothing hashed and nothing named."""

import asyncio
import time

from nats.aio.client import Client

CHUNK_BYTES = 512 * 1024
AHEAD = 16


async def bare_copy(client: Client, payload: bytes) -> float:
    """Seconds to publish `payload` in chunks, some ahead of their acks, and to pull it back."""
    stream = client.jetstream()
    await stream.add_stream(name="BULK", subjects=["bulk"])
    room = asyncio.Semaphore(AHEAD)

    async def publish(chunk: bytes) -> None:
        async with room:
            await stream.publish("bulk", chunk, timeout=30)

    began = time.perf_counter()
    chunks = range(0, len(payload), CHUNK_BYTES)
    await asyncio.gather(*(publish(payload[at : at + CHUNK_BYTES]) for at in chunks))
    pulling = await stream.pull_subscribe("bulk", "bulk")
    parts: list[bytes] = []
    while len(parts) < len(chunks):
        for message in await pulling.fetch(AHEAD, timeout=30):
            parts.append(message.data)
            await message.ack()
    copied = b"".join(parts)
    took = time.perf_counter() - began
    assert len(copied) == len(payload)
    await stream.delete_stream("BULK")
    return took
