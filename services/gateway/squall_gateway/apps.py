"""Apps: started, kept, stopped and found; deploying.py makes their versions."""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import structlog
from squall_bus.errors import SquallRefusal
from squall_bus.service import Context
from squall_contracts import apps, subjects
from squall_contracts.functions import AppRecord, FunctionRecord, FunctionSpec, goes_alone
from squall_contracts.images import ImageRecord
from squall_contracts.message import new_id
from squall_contracts.placement import ENDED, ContainerRecord

from squall_gateway import core
from squall_gateway.build_secrets import BuildSecrets
from squall_gateway.calls import drop_function
from squall_gateway.environments import Environments
from squall_gateway.pools import Pools
from squall_gateway.registry import Registry
from squall_gateway.releases import Releases
from squall_gateway.resealing import Resealing
from squall_gateway.sandboxes.book import Book
from squall_gateway.secrets import Secrets
from squall_gateway.settings import Settings
from squall_gateway.succession import Succession
from squall_gateway.validation import InvalidFieldError, check_app

log = structlog.get_logger()

STOPPED: Final = "the app was stopped"


class Apps:
    """The part of the control API that writes the registry."""

    def __init__(
        self,
        settings: Settings,
        context: Context,
        urls: Callable[[str, Iterable[FunctionRecord]], Awaitable[dict[str, str]]],
        claim: Callable[[str, Sequence[FunctionRecord]], Awaitable[None]],
    ) -> None:
        """`urls(account, records)` puts functions on the web; their addresses by name.
        `claim(account, records)` refuses a deployed app whose addresses are another's."""
        self._settings = settings
        self.urls = urls
        self.claim = claim
        self._context = context
        self.registry = Registry(context.bus)
        self.succession = Succession(context, self.registry)
        self.pools = Pools(self.registry, settings.pool_idle_s)
        self.releases = Releases(context.bus, settings.versions_kept)
        self.environments = Environments(context)
        self.sandboxes = Book(context.bus, settings.sandbox_kept_s)
        self.sealing = Resealing(context, Path(settings.keys_dir) / "sealing")
        self.secrets = Secrets(context, self.registry, self.environments, self.sealing)
        self.build_secrets = BuildSecrets(self.secrets, self.sealing)
        self._images = context.bus.kv(subjects.IMAGES_BUCKET, ImageRecord)
        self._containers = context.bus.kv(subjects.CONTAINERS_BUCKET, ContainerRecord)

    async def start(self, account: str, request: apps.StartApp) -> apps.AppStarted:
        await self.check(account, request.environment, request.name, request.functions)
        owner = core.Owner(workspace=account, environment=request.environment, name=request.name)
        plan = core.plan_start(
            owner,
            request.functions,
            app_id=new_id("ap"),
            state="detached" if request.detach else "ephemeral",
            now_unix_s=time.time(),
            make_id=lambda _: new_id("fn"),
            dev_suffix=request.dev_suffix,
        )
        await self.registry.apply(plan, None)
        log.info("app.started", app_id=plan.app.app_id, app=request.name, workspace=account)
        return started(plan, await self.urls(account, plan.write))

    async def keep(self, account: str, request: apps.KeepApp) -> apps.Done:
        """The reaper hears every KeepApp by itself; here the client learns whether it counts."""
        app = await self.known(account, request.app_id)
        if app.state == "stopped":
            raise SquallRefusal("not_found", f"app {request.app_id} was stopped: run it again")
        return apps.Done()

    async def stop(self, account: str, request: apps.StopApp) -> apps.Done:
        if request.app_id:
            await self.stop_app(await self.known(account, request.app_id))
            return apps.Done()
        await self.environments.require(account, request.environment)
        found = await self.registry.named(account, request.environment, request.name)
        if not found:
            raise SquallRefusal(
                "not_found",
                f"no app {request.name!r} runs in environment {request.environment!r}",
            )
        for app in found:
            await self.stop_app(app)
        return apps.Done()

    async def stop_app(self, app: AppRecord) -> None:
        """Take the app's functions out, answer who waits for them; its entry says stopped.

        The entry is last: a stop that was cut short is done again as a whole.
        """
        live = tuple((await self.registry.live(app)).values())
        await self.registry.forget(live)
        pools = await self.pools.of(live)
        await self.registry.forget(pools)
        await self.drop((*live, *pools), STOPPED)
        await self.sandboxes.end_all(app, STOPPED)
        if app.state != "stopped":
            lasting = app.state == "deployed"
            ttl_s = None if lasting else self._settings.stopped_ttl_s
            await self.registry.finish(core.stopped(app, time.time()), ttl_s)
            if lasting:
                await self.releases.forget(app)
            log.info("app.stopped", app_id=app.app_id, app=app.name, workspace=app.workspace)

    async def list(self, account: str, request: apps.ListApps) -> apps.AppList:
        if request.environment is not None:
            await self.environments.require(account, request.environment)
        containers = Counter(
            record.app_id
            for record in (await self._containers.items()).values()
            if record.state not in ENDED
        )
        entries = [
            apps.AppEntry(
                app_id=app.app_id,
                environment=app.environment,
                name=app.name,
                state=app.state,
                version=app.version,
                created_unix_s=app.created_unix_s,
                stopped_unix_s=app.stopped_unix_s,
                functions=tuple(sorted(app.function_ids)),
                containers=containers[app.app_id],
            )
            for app in await self.registry.apps_of(account)
            if request.environment in {None, app.environment}
        ]
        return apps.AppList(apps=tuple(sorted(entries, key=lambda e: (e.created_unix_s, e.app_id))))

    async def find_function(self, account: str, request: apps.FindFunction) -> apps.FoundFunction:
        app = await self.deployed(account, request.environment, request.app)
        function_id = app.function_ids.get(request.name)
        entry = None if function_id is None else await self.registry.functions.get(function_id)
        if app.state != "deployed" or entry is None:
            state = "was stopped" if app.state == "stopped" else f"has no {request.name!r}"
            raise SquallRefusal("not_found", f"app {request.app!r} {state}: deploy it again")
        record = entry.value
        named = await self.urls(account, [record])
        return apps.FoundFunction(
            function_id=record.function_id,
            app_id=app.app_id,
            environment=app.environment,
            is_generator=record.spec.is_generator,
            version=record.version,
            retryable=goes_alone(record.spec),
            methods=record.spec.methods,
            parameters=record.spec.parameters,
            web_urls={
                name.removeprefix(request.name).lstrip("."): url for name, url in named.items()
            },
        )

    async def bind_pool(self, account: str, request: apps.BindPool) -> apps.BoundPool:
        return await self.pools.bind(account, request)

    async def drop(self, functions: Iterable[FunctionRecord], why: str) -> None:
        for record in functions:
            workspace = await self._context.workspaces.get(record.workspace)
            await drop_function(workspace, record.environment, record.function_id, core.gone(why))

    async def known(self, account: str, app_id: str) -> AppRecord:
        try:
            entry = await self.registry.app(account, app_id)
        except ValueError as error:
            raise SquallRefusal("invalid", f"app_id: {error}") from error
        if entry is None:
            raise SquallRefusal("not_found", f"there is no app {app_id}")
        return entry.value

    async def deployed(self, account: str, environment: str, name: str) -> AppRecord:
        await self.environments.require(account, environment)
        owner = core.Owner(workspace=account, environment=environment, name=name)
        entry = await self.registry.app(account, core.deployed_app_id(owner))
        if entry is None:
            raise SquallRefusal(
                "not_found",
                f"no app {name!r} is deployed in environment {environment!r}: deploy it first",
            )
        return entry.value

    async def check(
        self, account: str, environment: str, name: str, functions: tuple[FunctionSpec, ...]
    ) -> None:
        refuse(lambda: check_app(environment, name, functions))
        await self.environments.require(account, environment)
        await self.secrets.check(account, environment, functions)
        for image_id in sorted({function.image_id for function in functions}):
            entry = await self._images.get(subjects.image_key(account, image_id))
            if entry is None or entry.value.state != "ready":
                state = "unknown" if entry is None else entry.value.state
                raise SquallRefusal(
                    "not_found", f"image {image_id} is {state}: ensure it before the app"
                )


def started(plan: core.Plan, web_urls: dict[str, str]) -> apps.AppStarted:
    return apps.AppStarted(
        app_id=plan.app.app_id,
        version=plan.app.version,
        function_ids=plan.app.function_ids,
        changed=plan.changed,
        web_urls=web_urls,
    )


def refuse(check: Callable[[], None]) -> None:
    try:
        check()
    except InvalidFieldError as error:
        raise SquallRefusal("invalid", str(error)) from error
