"""The zygotes of a runner: processes its containers are forked from, one for each workspace and image.

Started when first needed, ended when unused for long. One that is lost takes no container with it:
the start that meets it is a plain one and says so, and the next makes a new zygote.
"""

import time
from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import structlog
from anyio.abc import TaskGroup

from squall_runner.forks import Forked, Origin, Zygote, ZygoteLost
from squall_runner.makers import Makers

log = structlog.get_logger()

AGAIN_S: Final = 60.0
"""After an image's zygote could not be made, until another is tried."""


class _Held:
    """A zygote, and until when it stays unused."""

    def __init__(self, zygote: Zygote) -> None:
        self.zygote = zygote
        self.stay = anyio.CancelScope()


class Zygotes:
    """At most `most`, each for `window_s` after its last fork."""

    def __init__(self, most: int, window_s: float, tasks: TaskGroup) -> None:
        self._most = most
        self._window_s = window_s
        self._lives = Makers(tasks)
        self._known: OrderedDict[Origin, _Held] = OrderedDict()
        self._failed: dict[Origin, tuple[float, str]] = {}

    async def fork(
        self, origin: Origin, env: dict[str, str], launch: Path
    ) -> tuple[Forked, Zygote]:
        """A container, and who knows of its end. ZygoteLost: there is no forking it.

        `env`: a new zygote's own; a fork's is in its launch file.
        """
        if not self._most:
            raise ZygoteLost("this runner forks none (its `zygotes` is 0)")
        failed_s, why = self._failed.get(origin, (0.0, ""))
        if why and time.monotonic() - failed_s < AGAIN_S:
            raise ZygoteLost(why)
        zygote = self._zygote(origin, env)
        try:
            await zygote.ready()
        except ZygoteLost as error:
            self._failed[origin] = time.monotonic(), str(error)
            raise
        self._failed.pop(origin, None)
        return await zygote.fork(launch), zygote

    async def close(self) -> None:
        """End them all, and return when they have ended. What they forked goes on."""
        await self._lives.close()

    def _zygote(self, origin: Origin, env: dict[str, str]) -> Zygote:
        held = self._known.get(origin)
        if held is None or held.zygote.lost:
            try:
                held = _Held(Zygote(origin, env))
            except OSError as error:
                raise ZygoteLost(f"it can't be started: {error}") from error
            if not self._lives.spawn(partial(self._live, origin, held)):
                held.zygote.close("the runner stops")
            self._known[origin] = held
        self._known.move_to_end(origin)
        held.stay.deadline = anyio.current_time() + self._window_s
        while len(self._known) > self._most:
            _, oldest = self._known.popitem(last=False)
            oldest.stay.cancel()
        return held.zygote

    async def _live(self, origin: Origin, held: _Held) -> None:
        """Hold it until it is lost or not needed any more, then leave nothing of it."""
        zygote = held.zygote
        log.info("zygote.started", reference=origin.reference, pid=zygote.pid)
        try:
            with held.stay:
                await zygote.over.wait()
                log.warning("zygote.lost", reference=origin.reference, error=zygote.lost)
        finally:
            if self._known.get(origin) is held:
                del self._known[origin]
            zygote.close("it is not needed any more")
            with anyio.CancelScope(shield=True):
                await zygote.gone()
