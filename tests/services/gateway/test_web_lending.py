"""A response that waits at one gateway and is asked for at another: nothing of it is lost or mixed up."""

from collections.abc import AsyncIterator

import pytest
from squall_bus.testing import FakeBus, FakeServer
from squall_contracts.parked import FETCHED, KEPT, ClaimParked
from squall_contracts.web import CHUNK_BYTES, Closed, Data, Frame, Started, WebSpec
from squall_gateway.web.core import Endpoint
from squall_gateway.web.lending import Lending
from squall_gateway.web.loans import Borrowed, Loan
from squall_gateway.web.turn import Turn
from squall_gateway.web.turns import WorkspaceLine

ENDPOINT = Endpoint(
    subdomain="w--a-f",
    account="A",
    environment="main",
    app="a",
    function_id="fu-1",
    name="f",
    method="",
    web=WebSpec(kind="asgi"),
    revision=1,
)
SESSION = "fc-1"


class Owner:
    """A gateway that lends one response, as often as it is asked for and it is still there."""

    def __init__(self, server: FakeServer) -> None:
        self.bus = FakeBus(server)
        self.lending = Lending(self.bus)
        self.turn = Turn(ENDPOINT, SESSION, WorkspaceLine("gw-1", FakeBus(server)))
        self.loans: list[Loan] = []
        self.codes: list[int] = []

    async def open(self) -> None:
        await self.lending.open()
        await self.lending.offer(SESSION, self._lend)

    async def _lend(self, claim: ClaimParked) -> bool:
        if self.loans and not await self.loans[-1].recall():
            return False
        loan = self.lending.lend(self.turn, claim)
        self.loans.append(loan)
        self.bus.tasks.spawn(self._pass_on(loan, claim), "lending")
        return True

    async def _pass_on(self, loan: Loan, claim: ClaimParked) -> None:
        self.codes.append(await self.lending.pass_on(loan, claim))

    def say(self, *frames: Frame) -> None:
        """The container says more of its response."""
        for frame in frames:
            self.turn.talk.hear(frame)


@pytest.fixture
async def both() -> AsyncIterator[tuple[Owner, Lending]]:
    server = FakeServer()
    owner, theirs = Owner(server), FakeBus(server)
    taker = Lending(theirs)
    await owner.open()
    await taker.open()
    yield owner, taker
    for lending in (taker, owner.lending):
        await lending.close()
    for bus in (theirs, owner.bus):
        await bus.close()


async def body(turn: Borrowed) -> bytes:
    """All of a response, from its head."""
    first = await turn.talk.take(10)
    assert isinstance(first, Started)
    turn.begin()
    got, more = [first.data], first.more
    while more:
        frame = await turn.talk.take(10)
        assert isinstance(frame, Data)
        got.append(frame.data)
        more = frame.more
    turn.finish()
    return b"".join(got)


async def borrowed(taker: Lending) -> Borrowed:
    turn = await taker.borrow(SESSION, ENDPOINT)
    assert turn is not None
    return turn


PIECES = [bytes([at]) * CHUNK_BYTES for at in range(16)]
RESPONSE: list[Frame] = [
    Started(SESSION, 200, (), b"head", True),
    *(Data(SESSION, piece, True) for piece in PIECES),
    Data(SESSION, b"", False),
]


async def test_a_response_that_comes_as_its_taker_gives_up_is_whole_the_next_time(
    both: tuple[Owner, Lending],
) -> None:
    owner, taker = both
    first = await borrowed(taker)
    owner.say(*RESPONSE)
    while not first.talk._arrived:
        await owner.bus.flush()
    first.give_back()
    second = await borrowed(taker)
    assert await body(second) == b"head" + b"".join(PIECES)
    while len(owner.codes) < 2:
        await owner.bus.flush()
    assert owner.codes == [KEPT, FETCHED]


async def test_what_is_claimed_again_at_once_is_recalled_from_who_had_it(
    both: tuple[Owner, Lending],
) -> None:
    owner, taker = both
    first = await borrowed(taker)
    second = await borrowed(taker)
    closed = await first.talk.take(10)
    assert isinstance(closed, Closed)
    assert closed.code == 410
    await first.end()  # its late word is not taken for the second's
    owner.say(*RESPONSE)
    assert await body(second) == b"head" + b"".join(PIECES)


async def test_a_response_that_is_being_fetched_is_nobody_elses(
    both: tuple[Owner, Lending],
) -> None:
    owner, taker = both
    first = await borrowed(taker)
    owner.say(*RESPONSE)
    assert isinstance(await first.talk.take(10), Started)
    first.begin()
    assert await taker.borrow(SESSION, ENDPOINT) is None
    await first.end()
    while not owner.codes:
        await owner.bus.flush()
    assert owner.codes == [1006]


async def test_a_lost_connection_ends_what_was_begun_and_keeps_what_was_not(
    both: tuple[Owner, Lending],
) -> None:
    owner, taker = both
    await borrowed(taker)
    owner.lending._on_lost()
    while not owner.codes:
        await owner.bus.flush()
    assert owner.codes == [KEPT]
    begun = await borrowed(taker)
    owner.say(RESPONSE[0])
    await begun.talk.take(10)
    begun.begin()
    while not owner.loans[-1].is_begun:
        await owner.bus.flush()
    owner.lending._on_lost()
    while len(owner.codes) < 2:
        await owner.bus.flush()
    assert owner.codes == [KEPT, 1006]
