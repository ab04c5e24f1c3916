"""Stops ephemeral apps whose client has gone silent."""

import asyncio
import time

import structlog
from squall_bus.errors import BusError, Undecodable
from squall_bus.service import Context
from squall_bus.subscriptions import Delivery
from squall_contracts import apps, subjects, verbs
from squall_contracts.functions import AppRecord

from squall_gateway import core
from squall_gateway.apps import Apps
from squall_gateway.registry import is_newest

log = structlog.get_logger()

RETRY_S = 5.0


class Reaper:
    """Knows every ephemeral app and when its client was last heard of.

    Each gateway hears every KeepApp, whoever answers it. After a restart every app has its full
    time again.
    """

    def __init__(self, own: Apps, context: Context, ttl_s: float) -> None:
        self._own = own
        self._context = context
        self._ttl_s = ttl_s
        self._apps: dict[str, AppRecord] = {}
        self._kept_s: dict[str, float] = {}
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        keep = await self._context.bus.subscribe(
            f"{subjects.API_ALL.rpartition('.')[0]}.{verbs.KEEP_APP.name}", self._heard
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow())
                group.create_task(self._reap())
        finally:
            await keep.close()

    def _heard(self, delivery: Delivery) -> None:
        try:
            request = delivery.decode(apps.KeepApp)
        except Undecodable:
            return  # whoever answers it refuses it
        known = self._apps.get(request.app_id)
        if known is not None and known.workspace == subjects.speaker(delivery.subject):
            self._kept_s[request.app_id] = time.monotonic()

    async def _follow(self) -> None:
        """Keep in step with the registry."""
        async with self._own.registry.apps.watch() as changes:
            async for change in changes:
                if not is_newest(change.key):
                    continue
                app_id = subjects.last(change.key)
                if change.value is None or change.value.state != "ephemeral":
                    self._apps.pop(app_id, None)
                    self._kept_s.pop(app_id, None)
                elif app_id not in self._apps:
                    self._apps[app_id] = change.value
                    self._kept_s[app_id] = time.monotonic()
                    self._changed.set()

    async def _reap(self) -> None:
        """Sleep until the next app could be due; a KeepApp only moves what is found then."""
        while True:
            now_s = time.monotonic()
            due, next_s = core.silent(self._kept_s, self._apps.values(), now_s, self._ttl_s)
            for app in due:
                await self._stop(app)
            self._changed.clear()
            wait_s = None if next_s is None else max(0.0, next_s - now_s)
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _stop(self, app: AppRecord) -> None:
        log.info("app.client_lost", app_id=app.app_id, app=app.name, silent_s=self._ttl_s)
        try:
            await self._own.stop_app(app)
        except BusError as error:
            log.warning("app.stop_failed", app_id=app.app_id, error=str(error))
            self._kept_s[app.app_id] = time.monotonic() - self._ttl_s + RETRY_S
            self._changed.set()
        else:
            self._apps.pop(app.app_id, None)
            self._kept_s.pop(app.app_id, None)
