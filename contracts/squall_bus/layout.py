"""The streams and buckets there are: of a workspace, and of the platform."""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from squall_contracts import (
    access_subjects,
    image_subjects,
    sandbox_subjects,
    state_subjects,
    subjects,
    version_subjects,
    web_subjects,
)
from squall_contracts.calls import RESULT_TTL_S
from squall_contracts.collections import MAX_ITEMS, CollectionKind

from squall_bus.streams.admin import StreamConfig

if TYPE_CHECKING:
    from squall_bus.bus import Bus

HOUR_S: Final = 3600.0
DAY_S: Final = 24 * HOUR_S
CONSUMERS_PER_STREAM: Final = 20_000
"""Two for each function in use; without it a stream takes no more than 1,000."""


class Replicas(msgspec.Struct, frozen=True, kw_only=True):
    """On how many servers of a cluster streams and buckets are kept: 1, 3 or 5."""

    everywhere: int = 1
    of: dict[str, int] = {}
    """Streams and buckets that differ, by name."""

    def __post_init__(self) -> None:
        """ValueError names what can't be."""
        for name, count in {"": self.everywhere, **self.of}.items():
            if name and name not in known_names():
                raise ValueError(f"there is no stream or bucket {name!r}")
            if count not in {1, 3, 5}:
                raise ValueError(f"{name or 'all'} can't have {count} replicas: 1, 3 or 5")

    def count(self, name: str) -> int:
        return self.of.get(name, self.everywhere)


class Objects(NamedTuple):
    """An object bucket; `ttl_s` None: its objects stay."""

    name: str
    ttl_s: float | None = None
    own_ttls: bool = False
    """Single objects may go sooner."""


WORKSPACE_STREAMS: Final = (
    StreamConfig(
        name=subjects.CALLS,
        subjects=subjects.CALLS_SUBJECTS,
        retention="workqueue",
        duplicate_window_s=120.0,
        allow_msg_ttl=True,
        allow_msg_schedules=True,
        max_consumers=CONSUMERS_PER_STREAM,
    ),
    StreamConfig(name=subjects.REPLIES, subjects=subjects.REPLIES_SUBJECTS, max_age_s=HOUR_S),
    StreamConfig(
        name=subjects.RESULTS,
        subjects=subjects.RESULTS_SUBJECTS,
        max_age_s=RESULT_TTL_S,
        allow_msg_ttl=True,
    ),
    StreamConfig(
        name=subjects.DEAD,
        subjects=subjects.DEAD_SUBJECTS,
        max_age_s=30 * DAY_S,
        max_messages_per_subject=1,  # the subject names the input: however late it dies again
    ),
    StreamConfig(
        name=subjects.LOGS,
        subjects=subjects.LOGS_SUBJECTS,
        max_age_s=7 * DAY_S,
        max_bytes=1024**3,
    ),
)

WORKSPACE_OBJECTS: Final = (
    Objects(subjects.CODE_BUCKET),
    # Arguments of dead letters stay as long as the letters; what calls put says how long it stays.
    Objects(subjects.BLOBS_BUCKET, 30 * DAY_S, own_ttls=True),
    Objects(state_subjects.VOLUMES_BUCKET),
    Objects(image_subjects.IMAGE_FILES_BUCKET, 7 * DAY_S),
)

DICT_STREAM: Final = StreamConfig(
    name=state_subjects.DICTS,
    subjects=state_subjects.DICTS_SUBJECTS,
    max_messages_per_subject=1,
    allow_msg_ttl=True,
)
QUEUE_STREAM: Final = StreamConfig(
    name=state_subjects.QUEUES,
    subjects=state_subjects.QUEUES_SUBJECTS,
    retention="workqueue",
    max_messages_each=MAX_ITEMS,
    allow_together=True,
    max_consumers=CONSUMERS_PER_STREAM,
)
TAKEN_STREAM: Final = StreamConfig(
    name=state_subjects.TAKEN,
    subjects=(state_subjects.TAKEN_SUBJECT,),
    max_age_s=120.0,
    duplicate_window_s=120.0,
)
WORKSPACE_BUCKETS: Final = (state_subjects.VOLUMES_BUCKET,)

PLATFORM_STREAMS: Final = (
    StreamConfig(name=subjects.BUILDS, subjects=subjects.BUILDS_SUBJECTS, retention="workqueue"),
    StreamConfig(
        name=subjects.COMMANDS, subjects=subjects.COMMANDS_SUBJECTS, retention="workqueue"
    ),
    StreamConfig(name=subjects.EVENTS, subjects=subjects.EVENTS_SUBJECTS, max_age_s=3 * DAY_S),
)

PLATFORM_BUCKETS: Final = (
    subjects.WORKSPACES_BUCKET,
    subjects.APPS_BUCKET,
    subjects.FUNCTIONS_BUCKET,
    subjects.IMAGES_BUCKET,
    subjects.CONTAINERS_BUCKET,
    subjects.TARGETS_BUCKET,
    subjects.RUNNERS_BUCKET,
    subjects.LEASES_BUCKET,
    subjects.SCHEDULES_BUCKET,
    subjects.DEATHS_BUCKET,
    version_subjects.RELEASES_BUCKET,
    version_subjects.POOLS_BUCKET,
    version_subjects.FAULTS_BUCKET,
    version_subjects.ORDERS_BUCKET,
    state_subjects.COLLECTIONS_BUCKET,
    state_subjects.SECRETS_BUCKET,
    state_subjects.ENVIRONMENTS_BUCKET,
    web_subjects.WEB_TOKENS_BUCKET,
    access_subjects.ACCESS_TOKENS_BUCKET,
    access_subjects.MEMBERS_BUCKET,
    access_subjects.SIGN_INS_BUCKET,
    access_subjects.REVOCATIONS_BUCKET,
    sandbox_subjects.SANDBOXES_BUCKET,
    sandbox_subjects.SANDBOX_NAMES_BUCKET,
)
"""In each of them single keys may expire: `put(..., ttl_s=)`."""


def known_names() -> frozenset[str]:
    """Every stream and bucket there is."""
    streams = (*WORKSPACE_STREAMS, *PLATFORM_STREAMS, DICT_STREAM, QUEUE_STREAM, TAKEN_STREAM)
    objects = (*(each.name for each in WORKSPACE_OBJECTS), state_subjects.DICT_VALUES_BUCKET)
    names = (each.name for each in streams)
    return frozenset({*names, *objects, *WORKSPACE_BUCKETS, *PLATFORM_BUCKETS})


async def ensure_workspace(bus: "Bus", replicas: Replicas | None = None) -> None:
    """Make what a workspace needs, over a connection in its account; change what differs.

    `replicas` None: one of each. ApiRefused where the server won't have it.
    """
    own = replicas or Replicas()
    await _together(
        *(bus.admin.ensure_stream(_kept(stream, own)) for stream in WORKSPACE_STREAMS),
        *(
            bus.admin.ensure_objects(
                bucket.name,
                bucket.ttl_s,
                own_ttls=bucket.own_ttls,
                replicas=own.count(bucket.name),
            )
            for bucket in WORKSPACE_OBJECTS
        ),
        *(
            bus.admin.ensure_bucket(bucket, replicas=own.count(bucket))
            for bucket in WORKSPACE_BUCKETS
        ),
    )


async def ensure_collections(
    bus: "Bus", kind: CollectionKind, replicas: Replicas | None = None
) -> None:
    """Make what a workspace's dicts, or its queues, are kept in: with the first of them, since a
    stream costs 73 KB and a file. ApiRefused where the server won't have it."""
    own = replicas or Replicas()
    if kind == "queue":
        await _together(
            bus.admin.ensure_stream(_kept(QUEUE_STREAM, own)),
            bus.admin.ensure_stream(_kept(TAKEN_STREAM, own)),
        )
        return
    values = state_subjects.DICT_VALUES_BUCKET
    await _together(
        bus.admin.ensure_stream(_kept(DICT_STREAM, own)),
        bus.admin.ensure_objects(values, replicas=own.count(values)),
    )


async def ensure_platform(bus: "Bus", replicas: Replicas | None = None) -> None:
    """Make what the platform needs, over a connection in its own account; change what differs.

    `replicas` None: one of each. ApiRefused where the server won't have it.
    """
    own = replicas or Replicas()
    await _together(
        *(bus.admin.ensure_stream(_kept(stream, own)) for stream in PLATFORM_STREAMS),
        *(
            bus.admin.ensure_bucket(bucket, replicas=own.count(bucket))
            for bucket in PLATFORM_BUCKETS
        ),
    )


def _kept(stream: StreamConfig, replicas: Replicas) -> StreamConfig:
    return msgspec.structs.replace(stream, replicas=replicas.count(stream.name))


async def _together(*steps: Coroutine[Any, Any, None]) -> None:
    """Run all at once; raise the first error as it is, not in a group."""
    try:
        async with asyncio.TaskGroup() as group:
            for step in steps:
                group.create_task(step)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
