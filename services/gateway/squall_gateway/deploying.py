"""Deploys: the next version of an app, back to an earlier one, and what there was before."""

import time
from typing import Final

import structlog
from squall_bus.errors import SquallRefusal
from squall_bus.service import Context
from squall_contracts import apps
from squall_contracts.functions import FunctionSpec
from squall_contracts.message import new_id

from squall_gateway import core
from squall_gateway.apps import Apps, refuse, started
from squall_gateway.registry import CHANGED_MEANWHILE
from squall_gateway.validation import check_author

log = structlog.get_logger()

DEPLOY_ATTEMPTS: Final = 5
REMOVED: Final = "a new version of the app has no such function"


class Deploys:
    """The verbs that make versions. Once one is answered no container of an older version takes
    another input: guests are told before the client is."""

    def __init__(self, context: Context, own: Apps) -> None:
        self._context = context
        self._own = own
        self._registry = own.registry
        self._releases = own.releases

    async def deploy(self, account: str, request: apps.DeployApp) -> apps.AppStarted:
        await self._own.check(account, request.environment, request.name, request.functions)
        refuse(lambda: check_author(request.deployed_by))
        owner = core.Owner(workspace=account, environment=request.environment, name=request.name)
        release = core.Release(
            tag=request.tag,
            recreate=request.strategy == "recreate",
            deployed_by=request.deployed_by,
        )
        return await self._release(owner, request.functions, release)

    async def rollback(self, account: str, request: apps.RollbackApp) -> apps.AppStarted:
        refuse(lambda: check_author(request.deployed_by))
        app = await self._own.deployed(account, request.environment, request.name)
        try:
            version = core.restored(app, request.version)
        except ValueError as error:
            raise SquallRefusal("not_found", f"app {app.name!r}: {error}") from error
        functions = await self._releases.functions(app, version)
        if functions is None:
            kept = await self._releases.restorable(app)
            there_are = ", ".join(map(str, kept)) or "none"
            raise SquallRefusal(
                "not_found",
                f"app {app.name!r}: version {version} is no longer kept; there are: {there_are}",
            )
        await self._own.check(account, app.environment, app.name, functions)
        owner = core.Owner(workspace=account, environment=app.environment, name=app.name)
        release = core.Release(
            recreate=request.strategy == "recreate",
            deployed_by=request.deployed_by,
            rollback_of=version,
        )
        return await self._release(owner, functions, release)

    async def history(self, account: str, request: apps.AppHistory) -> apps.AppVersions:
        app = await self._own.deployed(account, request.environment, request.name)
        return apps.AppVersions(
            versions=await self._releases.history(app),
            restorable=await self._releases.restorable(app),
        )

    async def find(self, account: str, request: apps.FindApp) -> apps.FoundApp:
        """A live app; with `create`, deployed without functions where there is none."""
        if request.app_id:
            app = await self._own.known(account, request.app_id)
        else:
            owner = core.Owner(
                workspace=account, environment=request.environment, name=request.name
            )
            await self._own.check(account, owner.environment, owner.name, ())
            entry = await self._registry.app(account, core.deployed_app_id(owner))
            if request.create and (entry is None or entry.value.state == "stopped"):
                refuse(lambda: check_author(request.deployed_by))
                release = core.Release(deployed_by=request.deployed_by)
                await self._release(owner, (), release, only_if_missing=True)
            app = await self._own.deployed(account, owner.environment, owner.name)
        if app.state == "stopped":
            raise SquallRefusal("not_found", f"app {app.name!r} was stopped: deploy it again")
        return apps.FoundApp(
            app_id=app.app_id, environment=app.environment, name=app.name, version=app.version
        )

    async def _release(
        self,
        owner: core.Owner,
        functions: tuple[FunctionSpec, ...],
        release: core.Release,
        *,
        only_if_missing: bool = False,
    ) -> apps.AppStarted:
        for _ in range(DEPLOY_ATTEMPTS):
            entry = await self._registry.app(owner.workspace, core.deployed_app_id(owner))
            existing = None if entry is None else entry.value
            live = {} if existing is None else await self._registry.live(existing)
            plan = core.plan_deploy(
                owner,
                functions,
                existing=existing,
                live=live,
                release=release,
                now_unix_s=time.time(),
                make_id=lambda _: new_id("fn"),
            )
            if only_if_missing and existing is not None and existing.state == "deployed":
                return started(core.Plan(app=existing, write=(), changed=False), {})
            records = {**live, **{each.spec.name: each for each in plan.write}}
            present = [records[name] for name in plan.app.function_ids]
            await self._own.claim(owner.workspace, present)
            if plan.changed:
                try:
                    await self._registry.apply(plan, entry)
                except CHANGED_MEANWHILE:
                    continue
                await self._releases.keep(plan.app, functions)
                written, gone = await self._own.pools.renew(plan.write, plan.remove)
                await self._own.succession.tell(owner.workspace, (*plan.write, *written))
                await self._own.drop((*plan.remove, *gone), REMOVED)
                log.info("app.deployed", app_id=plan.app.app_id, version=plan.app.version)
            return started(plan, await self._own.urls(owner.workspace, present))
        raise SquallRefusal(
            "exhausted", f"app {owner.name!r} is being deployed by others: try again"
        )
