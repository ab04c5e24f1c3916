"""The control API: every verb of `squall_contracts.verbs`, answered for the workspace that asks."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from importlib.metadata import version
from typing import Any, Final

import msgspec
from squall_bus.asking.replies import ABSENT_S
from squall_bus.errors import BusError, NoResponder, RequestTimeout, SquallRefusal
from squall_bus.service import Context
from squall_contracts import access_subjects, apps, images, placement, subjects, verbs
from squall_contracts.failures import Refused
from squall_contracts.message import Message

from squall_gateway import core
from squall_gateway.access.app import Access
from squall_gateway.apps import Apps
from squall_gateway.bounds import FunctionsNow
from squall_gateway.calls import cancel_call
from squall_gateway.clearing import Clearing
from squall_gateway.collections import Collections
from squall_gateway.dashboard.door import Door
from squall_gateway.deploying import Deploys
from squall_gateway.functions import Functions
from squall_gateway.graphs import Graphs
from squall_gateway.machines import Machines
from squall_gateway.opening import Opening
from squall_gateway.renaming import Renaming
from squall_gateway.sandboxes.desk import Sandboxes
from squall_gateway.sandboxes.following import Following
from squall_gateway.sandboxes.passes import Passes
from squall_gateway.sandboxes.ports import Ports
from squall_gateway.schedules import Schedules
from squall_gateway.snapshots import Snapshots
from squall_gateway.terminals import Terminals
from squall_gateway.tunnels import Tunnels
from squall_gateway.usage import Usage
from squall_gateway.web.tokens import Tokens

STOP_GRACE_S: Final = 30.0
EXEC_MARGIN_S: Final = 10.0
EXEC_LONGEST_S: Final = 3600.0
REMOVE_TIMEOUT_S: Final = 120.0

Handler = Callable[[str, Any], Awaitable[object]]


class Api:
    """One method a verb; each takes the asking workspace's account and the request."""

    def __init__(
        self,
        context: Context,
        access: Access,
        own: Apps,
        *,
        collections: Collections,
        tokens: Tokens,
        tunnels: Tunnels,
        following: Following,
        opening: Opening,
        door: Door,
        passes: Passes,
    ) -> None:
        self._context = context
        self._door = door
        self._accounts = access.accounts
        self._apps = own
        bus = context.bus
        self._images = bus.kv(subjects.IMAGES_BUCKET, images.ImageRecord)
        self._containers = bus.kv(subjects.CONTAINERS_BUCKET, placement.ContainerRecord)
        self._runners = bus.kv(subjects.RUNNERS_BUCKET, placement.RunnerRecord)
        self._functions_now = FunctionsNow(context, own.registry)
        functions = Functions(context, own.registry, self._ask)
        deploys = Deploys(context, own)
        places = own.environments
        clearing = Clearing(context, own, own.secrets, places, collections)
        timetable = Schedules(context, own.registry)
        machines = Machines(context)
        sandboxes = Sandboxes(own, following, self.placed, self._ask)
        self.ports = Ports(bus, own.sandboxes, tunnels, self.placed, self._ask)
        self._table: dict[str, Handler] = {
            verbs.START_APP.name: own.start,
            verbs.DEPLOY_APP.name: deploys.deploy,
            verbs.ROLLBACK_APP.name: deploys.rollback,
            verbs.FIND_APP.name: deploys.find,
            verbs.KEEP_APP.name: own.keep,
            verbs.STOP_APP.name: own.stop,
            verbs.LIST_APPS.name: own.list,
            verbs.APP_HISTORY.name: deploys.history,
            verbs.FIND_FUNCTION.name: own.find_function,
            verbs.GET_SCALING.name: self._functions_now.scaling,
            verbs.UPDATE_SCALING.name: self._functions_now.update_scaling,
            verbs.FUNCTION_STATS.name: self._functions_now.stats,
            verbs.LIST_FUNCTIONS.name: functions.list,
            verbs.RESET_FUNCTION.name: functions.reset,
            verbs.OPEN_LANE.name: functions.open_lane,
            verbs.GET_CALL_GRAPH.name: Graphs(context, own.registry).get,
            verbs.BIND_POOL.name: own.bind_pool,
            verbs.LIST_SCHEDULES.name: timetable.list,
            verbs.PAUSE_SCHEDULE.name: timetable.pause,
            verbs.CANCEL_CALL.name: self.cancel,
            verbs.LIST_CONTAINERS.name: self.list_containers,
            verbs.STOP_CONTAINER.name: self.stop_container,
            verbs.EXEC.name: self.exec,
            verbs.OPEN_TERMINAL.name: Terminals(self.placed, self._ask, opening.for_command).open,
            verbs.OPEN_TUNNEL.name: partial(tunnels.open, self.placed),
            verbs.GET_USAGE.name: Usage(context).now,
            verbs.SERVER_INFO.name: self.server_info,
            verbs.SNAPSHOT_CONTAINER.name: Snapshots(
                self.placed, self._ask, self.ensure_image
            ).take,
            verbs.ENSURE_IMAGE.name: self.ensure_image,
            verbs.LIST_RUNNERS.name: machines.list,
            verbs.ORDER_RUNNER.name: machines.order,
            verbs.LIST_IMAGES.name: self.list_images,
            verbs.PRUNE_IMAGES.name: self.prune_images,
            verbs.OPEN_COLLECTION.name: collections.open,
            verbs.OPEN_EPHEMERAL.name: collections.open_ephemeral,
            verbs.FIND_COLLECTION.name: collections.find,
            verbs.KEEP_EPHEMERAL.name: collections.keep,
            verbs.LIST_COLLECTIONS.name: collections.list,
            verbs.DELETE_COLLECTION.name: collections.delete,
            verbs.GET_SEALING_KEY.name: own.sealing.key,
            verbs.ROTATE_SEALING_KEY.name: own.sealing.rotate,
            verbs.PUT_SECRET.name: own.secrets.put,
            verbs.DELETE_SECRET.name: own.secrets.delete,
            verbs.FIND_SECRET.name: own.secrets.find,
            verbs.LIST_SECRETS.name: own.secrets.list,
            verbs.CREATE_ENVIRONMENT.name: places.create,
            verbs.UPDATE_ENVIRONMENT.name: Renaming(context, own, collections).update,
            verbs.DELETE_ENVIRONMENT.name: clearing.delete,
            verbs.LIST_ENVIRONMENTS.name: places.list,
            verbs.FIND_ENVIRONMENT.name: places.find,
            verbs.CREATE_TOKEN.name: tokens.create,
            verbs.LIST_TOKENS.name: tokens.list,
            verbs.DELETE_TOKEN.name: tokens.delete,
            **access.verbs,
            verbs.OPEN_DASHBOARD.name: door.open,
            verbs.CREATE_SANDBOX.name: sandboxes.create,
            verbs.FIND_SANDBOX.name: sandboxes.find,
            verbs.LIST_SANDBOXES.name: sandboxes.list,
            verbs.END_SANDBOX.name: sandboxes.end,
            verbs.TAG_SANDBOX.name: sandboxes.tag,
            verbs.WRITE_INPUT.name: sandboxes.write,
            verbs.RELOAD_VOLUMES.name: sandboxes.reload,
            verbs.GET_TUNNELS.name: self.ports.tunnels,
            verbs.CREATE_CONNECT_TOKEN.name: passes.create,
        }

    async def answer(self, subject: str, body: msgspec.Raw) -> object:
        """Answer one request: who asks is in the subject, where only the server can have put it."""
        name = subjects.last(subject)
        verb = verbs.VERBS.get(name)
        if verb is None:
            raise SquallRefusal("invalid", f"this server knows no {name!r}: is it older than you?")
        try:
            request = msgspec.msgpack.decode(body, type=verb.request)
        except msgspec.DecodeError as error:
            raise SquallRefusal("invalid", f"{name}: {error}") from error
        return await self._table[name](subjects.speaker(subject), request)

    async def ask(self, account: str, verb: verbs.Verb, request: Message) -> Any:
        """The same from within the gateway, for a workspace. SquallRefusal."""
        answer = await self._table[verb.name](account, request)
        if isinstance(answer, Refused):
            raise SquallRefusal(answer.kind, answer.message)
        return answer

    # --- calls -----------------------------------------------------------------------------------

    async def cancel(self, account: str, request: apps.CancelCall) -> apps.Done:
        try:
            subjects.cancel(request.environment, request.function_id or "any")
            subjects.calls_of(request.call_id)
        except ValueError as error:
            raise SquallRefusal("invalid", f"cancel_call: {error}") from error
        if request.reply_to and not access_subjects.is_reply(request.reply_to, request.call_id):
            raise SquallRefusal("invalid", f"reply_to: {request.reply_to!r} is not of this call")
        workspace = await self._context.workspaces.get(account)
        await cancel_call(
            workspace,
            request.environment,
            request.call_id,
            reply_to=request.reply_to,
            functions=await self._functions(account, request),
            terminate=request.terminate_containers,
            failure=core.cancelled("the call was cancelled"),
        )
        await workspace.flush_stores()
        return apps.Done()

    async def _functions(self, account: str, request: apps.CancelCall) -> list[str]:
        """Where the call's inputs may run: its function, or all that have containers."""
        if request.function_id:
            return [request.function_id]
        running = {
            record.function_id
            for record in await self._containers_of(account)
            if record.environment == request.environment and record.state not in placement.ENDED
        }
        return sorted(running)

    # --- containers ------------------------------------------------------------------------------

    async def list_containers(
        self, account: str, request: apps.ListContainers
    ) -> placement.ContainerList:
        if request.container_id is not None:
            return placement.ContainerList(
                containers=(await self._container(account, request.container_id),)
            )
        shown = core.listed(
            await self._containers_of(account),
            app_id=request.app_id,
            ended=request.all,
            now_unix_s=time.time(),
        )
        return placement.ContainerList(containers=shown)

    async def stop_container(self, account: str, request: apps.StopContainerRequest) -> apps.Done:
        record = await self.placed(account, request.container_id)
        command = placement.StopContainer(
            container_id=record.container_id,
            grace_s=STOP_GRACE_S if request.graceful else 0.0,
            reason="stopped by a client",
        )
        await self._context.bus.store(subjects.command(record.runner_id), command)
        return apps.Done()

    async def exec(self, account: str, request: apps.ExecRequest) -> object:
        if not request.argv or not 0 < request.timeout_s <= EXEC_LONGEST_S:
            raise SquallRefusal(
                "invalid", f"exec: argv must not be empty, timeout_s 0 to {EXEC_LONGEST_S:g}"
            )
        record = await self.placed(account, request.container_id)
        reply: Any = apps.ExecReply
        return await self._ask(
            subjects.runner_exec(record.runner_id),
            request,
            reply,
            request.timeout_s + EXEC_MARGIN_S,
            f"runner {record.runner_id}",
        )

    async def _containers_of(self, account: str) -> list[placement.ContainerRecord]:
        records = (await self._containers.items()).values()
        return [record for record in records if record.workspace == account]

    async def _container(self, account: str, container_id: str) -> placement.ContainerRecord:
        """A container of this workspace, be it ended."""
        try:
            entry = await self._containers.get(container_id)
        except ValueError as error:
            raise SquallRefusal("invalid", f"container_id: {error}") from error
        if entry is None or entry.value.workspace != account:
            raise SquallRefusal(
                "not_found", f"there is no container {container_id}; `squall container list --all`"
            )
        return entry.value

    async def placed(self, account: str, container_id: str) -> placement.ContainerRecord:
        """A live container of this workspace that is on a machine."""
        record = await self._container(account, container_id)
        if record.state in placement.ENDED or not record.runner_id:
            state = record.waits_for or record.reason or record.state
            raise SquallRefusal("not_found", f"container {container_id} does not run: {state}")
        return record

    # --- images ----------------------------------------------------------------------------------

    async def ensure_image(self, account: str, request: images.EnsureImage) -> images.ImageStatus:
        image_id = images.image_id(request.recipe)
        entry, runtimes = await asyncio.gather(
            self._images.get(subjects.image_key(account, image_id)), self._runtimes()
        )
        if entry is not None and core.usable(entry.value, runtimes):
            return core.image_status(entry.value)
        # What failed is tried again, and what was built for a runtime no machine here has is built
        # anew; the revision tells this attempt from the one before.
        attempt = 0 if entry is None else entry.revision
        grant = await self._apps.build_secrets.grant(account, image_id, request)
        await self._context.bus.store(
            subjects.build(image_id),
            images.BuildImage(
                workspace=account,
                image_id=image_id,
                recipe=request.recipe,
                own=request.own,
                grant=grant,
            ),
            msg_id=f"{account}.{image_id}.{attempt}",
        )
        return images.ImageStatus(image_id=image_id, state="building")

    async def list_images(self, account: str, _request: images.ListImages) -> images.ImageList:
        records = (await self._images.items(f"{account}.")).values()
        ordered = sorted(records, key=lambda record: (record.created_unix_s, record.image_id))
        return images.ImageList(images=tuple(ordered))

    async def prune_images(self, account: str, _request: images.PruneImages) -> object:
        records = (await self._images.items(f"{account}.")).values()
        functions = (await self._apps.registry.functions.items()).values()
        live = [each.spec for each in await self._apps.sandboxes.of(account) if not each.ended]
        specs = [*(f.spec for f in functions), *live, *await self._apps.releases.in_use()]
        removed: list[str] = []
        freed_bytes = 0
        for image_id in core.unused_images(records, specs, time.time()):
            answer = await self._ask(
                subjects.REMOVE_IMAGE,
                images.RemoveImage(workspace=account, image_id=image_id),
                images.PruneReply,
                REMOVE_TIMEOUT_S,
                "the builder",
            )
            if isinstance(answer, Refused):
                return answer
            removed += answer.image_ids
            freed_bytes += answer.freed_bytes
        return images.ImagesPruned(image_ids=tuple(removed), freed_bytes=freed_bytes)

    # --- the server ------------------------------------------------------------------------------

    async def server_info(self, account: str, _request: apps.ServerInfo) -> apps.ServerDescription:
        return apps.ServerDescription(
            version=version("squall"),
            workspace=await self._accounts.name(account),
            runtimes=tuple(sorted(await self._runtimes())),
            dashboard_url=self._door.url,
        )

    async def _runtimes(self) -> frozenset[str]:
        return frozenset(record.runtime for record in (await self._runners.items()).values())

    async def _ask(
        self, subject: str, request: object, reply: Any, timeout_s: float, who: str
    ) -> Any:
        """Pass a request on to another service."""
        try:
            return await self._context.bus.request(
                subject, request, reply, timeout_s=timeout_s, absent_s=ABSENT_S
            )
        except (NoResponder, RequestTimeout) as error:
            raise SquallRefusal("exhausted", f"{who} does not answer: {error}") from error
        except BusError as error:
            raise SquallRefusal("internal", f"{who}: {error}") from error
