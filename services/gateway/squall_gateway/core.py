"""What the gateway decides: which registry entries a start, deploy or stop writes. Pure."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import Final

import msgspec
from squall_contracts.autoscaling import UpdateScaling
from squall_contracts.failures import Failure
from squall_contracts.functions import (
    AppRecord,
    AppState,
    Every,
    FunctionRecord,
    FunctionSpec,
    Scaling,
)
from squall_contracts.images import ImageRecord, ImageStatus, Snapshot
from squall_contracts.placement import ENDED, ContainerRecord

from squall_gateway.sealed import comparable

ENDED_LISTED_S: Final = 3600.0
"""For how long containers that ended are listed when all are asked for."""


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """Whose app it is and what it is called."""

    workspace: str
    environment: str
    name: str


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """How a version comes to be."""

    tag: str = ""
    recreate: bool = False
    """Also functions that did not change get new containers, once the old ones have ended."""
    deployed_by: str = ""
    rollback_of: int | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to write so that the registry holds the app as asked."""

    app: AppRecord
    write: tuple[FunctionRecord, ...]
    """Functions that are new or changed."""
    remove: tuple[FunctionRecord, ...] = ()
    """Live functions the app no longer has."""
    changed: bool = True


def deployed_app_id(owner: Owner) -> str:
    """Derived from the name, so that two gateways that deploy it at once meet at one entry."""
    named = "\0".join((owner.workspace, owner.environment, owner.name))
    return f"ap-{hashlib.sha256(named.encode()).hexdigest()[:22]}"


def plan_start(
    owner: Owner,
    functions: Iterable[FunctionSpec],
    *,
    app_id: str,
    state: AppState,
    now_unix_s: float,
    make_id: Callable[[str], str],
    dev_suffix: str = "dev",
) -> Plan:
    """A new app of its own: every function gets a new id."""
    specs = {spec.name: spec for spec in functions}
    ids = {name: make_id(name) for name in specs}
    app = AppRecord(
        app_id=app_id,
        workspace=owner.workspace,
        environment=owner.environment,
        name=owner.name,
        state=state,
        created_unix_s=now_unix_s,
        function_ids=ids,
    )
    return Plan(app=app, write=_records(app, specs, dev_suffix=dev_suffix))


def plan_deploy(
    owner: Owner,
    functions: Iterable[FunctionSpec],
    *,
    existing: AppRecord | None,
    live: Mapping[str, FunctionRecord],
    release: Release,
    now_unix_s: float,
    make_id: Callable[[str], str],
) -> Plan:
    """The next version of a deployed app; `existing` is None the first time.

    `live` holds the app's live functions by name: those keep their ids, and those that are the same
    as before their containers too. When nothing differs, and no other tag is asked for, `changed`
    is False and there is nothing to write.
    """
    specs = {spec.name: spec for spec in functions}
    running = existing is not None and existing.state == "deployed"
    if running and existing is not None and _same(existing, live, specs, release.tag):
        return Plan(app=existing, write=(), changed=False)
    ids = {name: live[name].function_id if name in live else make_id(name) for name in specs}
    app = AppRecord(
        app_id=deployed_app_id(owner),
        workspace=owner.workspace,
        environment=owner.environment,
        name=owner.name,
        state="deployed",
        version=existing.version + 1 if existing is not None else 1,
        created_unix_s=existing.created_unix_s if running and existing else now_unix_s,
        deployed_unix_s=now_unix_s,
        tag=release.tag,
        deployed_by=release.deployed_by,
        rollback_of=release.rollback_of,
        function_ids=ids,
    )
    changed = {
        name: spec
        for name, spec in specs.items()
        if release.recreate
        or name not in live
        or comparable(live[name].spec) != comparable(spec)
        or isinstance(spec.schedule, Every)  # which counts anew from each deploy
    }
    gone = tuple(live[name] for name in sorted(live) if name not in specs)
    return Plan(app=app, write=_records(app, changed, live, recreate=release.recreate), remove=gone)


def restored(existing: AppRecord | None, version: int | None) -> int:
    """Which version a rollback brings back; None asks for the one before. ValueError for none."""
    if existing is None or existing.state != "deployed":
        raise ValueError("it is not deployed: deploy it first")
    wanted = existing.version - 1 if version is None else version
    if wanted == existing.version:
        raise ValueError(f"version {wanted} is the present one")
    if not 0 < wanted < existing.version:
        raise ValueError(
            "there is no version before the first"
            if version is None
            else f"there is no version {wanted}: the present one is {existing.version}"
        )
    return wanted


def _same(
    existing: AppRecord,
    live: Mapping[str, FunctionRecord],
    specs: Mapping[str, FunctionSpec],
    tag: str,
) -> bool:
    return (
        tag in {"", existing.tag}
        and {name: comparable(record.spec) for name, record in live.items()}
        == {name: comparable(spec) for name, spec in specs.items()}
        and {name: record.function_id for name, record in live.items()} == existing.function_ids
    )


def _records(
    app: AppRecord,
    specs: Mapping[str, FunctionSpec],
    live: Mapping[str, FunctionRecord] = MappingProxyType({}),
    *,
    recreate: bool = False,
    dev_suffix: str = "dev",
) -> tuple[FunctionRecord, ...]:
    """The functions of `specs`; what was set by hand on those that live already stays."""
    return tuple(
        FunctionRecord(
            function_id=app.function_ids[name],
            app_id=app.app_id,
            app_name=app.name,
            workspace=app.workspace,
            environment=app.environment,
            spec=spec,
            version=app.version,
            ephemeral=app.state == "ephemeral",
            recreate=recreate,
            dev_suffix=dev_suffix,
            schedule_paused=name in live and live[name].schedule_paused,
        )
        for name, spec in specs.items()
    )


def rescaled(scaling: Scaling, update: UpdateScaling) -> Scaling:
    """The bounds as `update` says. ValueError if they contradict each other."""
    default = Scaling()
    chosen = {
        bound: getattr(default, bound)
        if bound in update.reset
        else getattr(update, bound)
        if getattr(update, bound) is not None
        else getattr(scaling, bound)
        for bound in Scaling.__struct_fields__
    }
    made = Scaling(**chosen)
    if made.max_containers is not None and made.min_containers > made.max_containers:
        raise ValueError(
            f"min_containers {made.min_containers} is above max_containers {made.max_containers}"
        )
    return made


def stopped(app: AppRecord, now_unix_s: float) -> AppRecord:
    """The app's entry once it is stopped; one that was stopped already stays as it is."""
    if app.state == "stopped":
        return app
    return msgspec.structs.replace(app, state="stopped", stopped_unix_s=now_unix_s)


def silent(
    kept_s: Mapping[str, float], apps: Iterable[AppRecord], now_s: float, ttl_s: float
) -> tuple[tuple[AppRecord, ...], float | None]:
    """The ephemeral apps whose client was silent for `ttl_s`, and when the next one will be.

    `kept_s` says on the clock of `now_s` when each app was last heard of; None: none is left.
    """
    due: list[AppRecord] = []
    next_s: float | None = None
    for app in sorted(apps, key=lambda app: app.app_id):
        if app.state != "ephemeral":
            continue
        deadline_s = kept_s.get(app.app_id, now_s) + ttl_s
        if deadline_s <= now_s:
            due.append(app)
        elif next_s is None or deadline_s < next_s:
            next_s = deadline_s
    return tuple(due), next_s


def usable(record: ImageRecord, runtimes: AbstractSet[str]) -> bool:
    """Whether an image needs no build: it is there, or being built, for a runtime some machine has.

    With no machine at all nothing is known, and what is there is kept.
    """
    return record.state != "failed" and (not runtimes or record.runtime in runtimes)


def image_status(record: ImageRecord) -> ImageStatus:
    """What a client is told of an image."""
    return ImageStatus(
        image_id=record.image_id,
        state=record.state,
        failed_step=record.failed_step,
        error=record.error,
        log_tail=record.log_tail,
    )


def unused_images(
    images: Iterable[ImageRecord], specs: Iterable[FunctionSpec], now_unix_s: float
) -> tuple[str, ...]:
    """Ids of the images none of `specs` uses; those being built, and snapshots whose time is not
    over, are left alone."""
    used = {spec.image_id for spec in specs}
    return tuple(
        sorted(
            each.image_id
            for each in images
            if each.state != "building"
            and each.image_id not in used
            and not _is_kept(each, now_unix_s)
        )
    )


def expired_snapshots(
    images: Iterable[ImageRecord], specs: Iterable[FunctionSpec], now_unix_s: float
) -> tuple[ImageRecord, ...]:
    """Snapshots whose time is over and that none of `specs` uses."""
    used = {spec.image_id for spec in specs}
    return tuple(
        each
        for each in images
        if _snapshot(each) is not None
        and each.image_id not in used
        and not _is_kept(each, now_unix_s)
    )


def _is_kept(image: ImageRecord, now_unix_s: float) -> bool:
    snapshot = _snapshot(image)
    if snapshot is None:
        return False
    return snapshot.expires_unix_s is None or snapshot.expires_unix_s > now_unix_s


def _snapshot(image: ImageRecord) -> Snapshot | None:
    """What it is a snapshot of, if it is one with nothing built on it."""
    base = image.recipe.base
    return base if isinstance(base, Snapshot) and not image.recipe.steps else None


def listed(
    containers: Iterable[ContainerRecord], *, app_id: str | None, ended: bool, now_unix_s: float
) -> tuple[ContainerRecord, ...]:
    """Containers to show, oldest first; with `ended` also those that ended within the last hour."""

    def shown(record: ContainerRecord) -> bool:
        if app_id is not None and record.app_id != app_id:
            return False
        if record.state not in ENDED:
            return True
        return ended and now_unix_s - record.since_unix_s.get(record.state, 0.0) <= ENDED_LISTED_S

    def age(record: ContainerRecord) -> tuple[float, str]:
        return min(record.since_unix_s.values(), default=now_unix_s), record.container_id

    return tuple(sorted(filter(shown, containers), key=age))


def gone(why: str) -> Failure:
    """What becomes of the calls of a function that is no more; clients raise a NotFoundError."""
    return Failure(kind="cancelled", message=why, exception_type="NotFoundError")


def cancelled(message: str) -> Failure:
    return Failure(kind="cancelled", message=message)
