"""Whether a lease is surely held, as its holder can tell without asking."""

import asyncio

from squall_bus.lease import Term, now_s


async def test_a_term_that_ran_out_holds_its_worker_until_it_is_renewed() -> None:
    term = Term()
    await term.held()  # nobody competes
    term.lasts(now_s() - 0.001)
    assert not term.holds
    waiting = asyncio.create_task(term.held())
    await asyncio.sleep(0)
    assert not waiting.done()
    term.lasts(now_s() + 60)
    await waiting
    assert term.holds
