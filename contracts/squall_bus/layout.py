"""The streams and buckets there are: of a workspace, and of the platform."""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from squall_contracts import subjects

from squall_bus.admin import StreamConfig

if TYPE_CHECKING:
    from squall_bus.bus import Bus

HOUR_S: Final = 3600.0
DAY_S: Final = 24 * HOUR_S
CONSUMERS_PER_STREAM: Final = 20_000
"""Two for each function in use; without it a stream takes no more than 1,000."""


class Objects(NamedTuple):
    """An object bucket; `ttl_s` None: its objects stay."""

    name: str
    ttl_s: float | None = None


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
    StreamConfig(name=subjects.RESULTS, subjects=subjects.RESULTS_SUBJECTS, max_age_s=7 * DAY_S),
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
    Objects(subjects.BLOBS_BUCKET, 7 * DAY_S),
)

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
    subjects.RELEASES_BUCKET,
    subjects.POOLS_BUCKET,
    subjects.FAULTS_BUCKET,
)
"""In each of them single keys may expire: `put(..., ttl_s=)`."""


async def ensure_workspace(bus: "Bus") -> None:
    """Make what a workspace needs, over a connection in its account; change what differs.

    ApiRefused where the server won't have it.
    """
    await _together(
        *(bus.admin.ensure_stream(stream) for stream in WORKSPACE_STREAMS),
        *(bus.admin.ensure_objects(bucket.name, bucket.ttl_s) for bucket in WORKSPACE_OBJECTS),
    )


async def ensure_platform(bus: "Bus") -> None:
    """Make what the platform needs, over a connection in its own account; change what differs.

    ApiRefused where the server won't have it.
    """
    await _together(
        *(bus.admin.ensure_stream(stream) for stream in PLATFORM_STREAMS),
        *(bus.admin.ensure_bucket(bucket) for bucket in PLATFORM_BUCKETS),
    )


async def _together(*steps: Coroutine[Any, Any, None]) -> None:
    """Run all at once; raise the first error as it is, not in a group."""
    try:
        async with asyncio.TaskGroup() as group:
            for step in steps:
                group.create_task(step)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
