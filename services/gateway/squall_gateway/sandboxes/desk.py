"""The verbs about sandboxes: made, found, listed, waited for, ended, tagged, and talked to."""

import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
import structlog
from squall_bus.errors import SquallRefusal
from squall_contracts import sandbox_subjects, sandboxes
from squall_contracts.functions import Scaling
from squall_contracts.message import new_id
from squall_contracts.placement import ContainerRecord
from squall_contracts.sandboxes import SandboxInfo, SandboxRecord, container_of

from squall_gateway.apps import STOPPED, Apps, refuse
from squall_gateway.sandboxes import core
from squall_gateway.sandboxes.following import Following
from squall_gateway.terminals import Ask

log = structlog.get_logger()

ANSWER_S: Final = 10.0
RELOAD_S: Final = 60.0


class Sandboxes:
    """One method a verb; each takes the asking workspace's account and the request."""

    def __init__(
        self,
        own: Apps,
        following: Following,
        placed: Callable[[str, str], Awaitable[ContainerRecord]],
        ask: Ask,
    ) -> None:
        """`placed(account, container id)`: a live container of that workspace."""
        self._apps = own
        self._book = own.sandboxes
        self._following = following
        self._placed = placed
        self._ask = ask

    async def create(self, account: str, request: sandboxes.CreateSandbox) -> SandboxInfo:
        refuse(lambda: core.check(request))
        app = await self._apps.known(account, request.app_id)
        if app.state == "stopped":
            raise SquallRefusal(
                "not_found", f"app {app.name!r} was stopped: run or deploy it again"
            )
        sandbox_id = new_id("sb")
        spec = msgspec.structs.replace(
            request.spec,
            name=request.name or sandbox_id,
            # One container, which nobody else's need takes away.
            scaling=Scaling(min_containers=1, max_containers=1),
            nonpreemptible=True,
        )
        await self._apps.check(account, app.environment, app.name, (spec,))
        record = SandboxRecord(
            sandbox_id=sandbox_id,
            workspace=account,
            environment=app.environment,
            app_id=app.app_id,
            app_name=app.name,
            spec=spec,
            name=request.name,
            tags=request.tags,
            ephemeral=app.state == "ephemeral",
            created_unix_s=time.time(),
        )
        await self._book.add(record)
        # Its app may have been stopped meanwhile, by who could not know of it yet.
        if (await self._apps.known(account, app.app_id)).state == "stopped":
            record = await self._book.end(account, sandbox_id, STOPPED)
        log.info("sandbox.created", sandbox_id=sandbox_id, app_id=app.app_id, workspace=account)
        return core.info(record, None)

    async def find(self, account: str, request: sandboxes.FindSandbox) -> SandboxInfo:
        if request.sandbox_id:
            return await self._following.info(account, request.sandbox_id)
        app = await self._apps.deployed(account, request.environment, request.app)
        record = await self._book.named(account, app.app_id, request.name)
        found = None if record is None else await self._following.told(record)
        if found is None or (found.ended is not None and not request.include_ended):
            raise SquallRefusal(
                "not_found", f"app {request.app!r} has no sandbox named {request.name!r}"
            )
        return found

    async def list(self, account: str, request: sandboxes.ListSandboxes) -> sandboxes.SandboxList:
        if request.environment:
            await self._apps.environments.require(account, request.environment)
        found = [
            await self._following.told(record)
            for record in await self._book.of(account)
            if core.is_listed(
                record,
                app_id=request.app_id,
                environment=request.environment,
                tags=request.tags,
                include_ended=request.include_ended,
            )
        ]
        live = (each for each in found if request.include_ended or each.ended is None)
        return sandboxes.SandboxList(sandboxes=tuple(live))

    async def end(self, account: str, request: sandboxes.EndSandbox) -> SandboxInfo:
        await self._following.info(account, request.sandbox_id)
        record = await self._book.end(account, request.sandbox_id, "terminated by a client")
        return await self._following.told(record)

    async def tag(self, account: str, request: sandboxes.TagSandbox) -> SandboxInfo:
        refuse(lambda: core.check_tags(request.tags))

        def tagged(record: SandboxRecord) -> SandboxRecord:
            return msgspec.structs.replace(record, tags=request.tags)

        await self._following.info(account, request.sandbox_id)
        record = await self._book.change(account, request.sandbox_id, tagged)
        return await self._following.told(record)

    # --- what its runner does --------------------------------------------------------------------

    async def write(self, account: str, request: sandboxes.WriteInput) -> object:
        return await self._asked(account, request, ANSWER_S)

    async def reload(self, account: str, request: sandboxes.ReloadVolumes) -> object:
        return await self._asked(account, request, RELOAD_S)

    async def _asked(self, account: str, request: sandboxes.RunnerAsked, within_s: float) -> object:
        try:
            container_id = container_of(request.sandbox_id)
        except ValueError as error:
            raise SquallRefusal("invalid", f"sandbox_id: {error}") from error
        record = await self._placed(account, container_id)
        reply: Any = sandboxes.RunnerAnswer
        subject = sandbox_subjects.runner_sandboxes(record.runner_id)
        return await self._ask(subject, request, reply, within_s, f"runner {record.runner_id}")
