"""Reading single messages from the leader of a cluster, in the words of a direct get."""

from typing import Any

import pytest
from squall_bus.asking import looking
from squall_bus.streams.admin import StreamConfig
from squall_bus.wire.base import decode_headers, status_of

from tests.bus.conftest import RealWorld

Q = StreamConfig(name="Q", subjects=("q.>",))


async def test_leader_tells_what_a_direct_get_tells(
    real: RealWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = await real.connect()
    await bus.admin.ensure_stream(Q)
    await bus.store("q.a", b"first")
    await bus.store("q.a", b"second", headers={"Own": "header: with a colon"})
    await bus.store("q.b", b"")

    async def told() -> list[Any]:
        found = [
            await looking.newest(bus, "Q", "q.a"),
            await looking.newest(bus, "Q", "q.b"),
            await looking.following(bus, "Q", "q.>", 1),
            await looking.following(bus, "Q", "q.b", 1),
        ]
        missing = [
            await looking.newest(bus, "Q", "q.none"),
            await looking.following(bus, "Q", "q.a", 9),
        ]
        return [
            [(each.data, decode_headers(each.headers)) for each in found],
            [status_of(each.headers) for each in missing],
        ]

    direct = await told()
    monkeypatch.setattr(type(bus.wire), "is_clustered", property(lambda _: True))
    assert await told() == direct
    assert direct[1] == [404, 404]
