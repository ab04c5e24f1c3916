"""What the engine holds of this runner, and what dead runners left behind."""

from typing import Final

import msgspec
import structlog
from aiodocker import Docker
from squall_guard import owner
from squall_guard.sandboxes import LABEL_MAKER, LABEL_OWNER, LABEL_SANDBOX

from squall_runner.core import Found
from squall_runner.engine import gone_is_fine, told
from squall_runner.runtime import RunnerError

log = structlog.get_logger()

LABEL_RUNNER: Final = LABEL_MAKER
LABEL_SLOT: Final = "squall.slot"
LABEL_MOUNTED_IN: Final = "squall.mounted.in"
"""The container in which a holder's files are shown."""
LABEL_MOUNTED_AT: Final = "squall.mounted.at"
SPARE_NAMES: Final = ("/squall-warm-", "/squall-snap-")
"""Containers are renamed once they are given out, so the name tells the spare ones."""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What one look at the engine showed."""

    found: list[Found]
    spare: list[str]
    """Handles nobody uses or will use: this runner's idle sandboxes, and those of dead runners."""
    mounts: dict[str, dict[str, str]]
    """By container, by place: the holder of what is mounted there."""


async def look(docker: Docker, runner_id: str) -> Held:
    """This runner's containers, and what can go."""
    listed = await docker.containers.list(all=1, filters=f'{{"label": ["{LABEL_RUNNER}"]}}')
    found, spare, joined = list[Found](), list[str](), set[str]()
    mounts: dict[str, dict[str, str]] = {each.id: {} for each in listed}
    for container in listed:
        labels = container["Labels"]
        if LABEL_SANDBOX in labels:
            continue
        _, _, sandbox = container["HostConfig"]["NetworkMode"].partition("container:")
        handle = f"{container.id}+{sandbox}" if sandbox else container.id
        joined.add(sandbox)
        if labels[LABEL_RUNNER] == runner_id:
            begun = container["State"] != "created"
            found.append(Found(slot=labels.get(LABEL_SLOT, ""), handle=handle, begun=begun))
        elif container["Names"][0].startswith(SPARE_NAMES) and _abandoned(labels):
            spare.append(handle)
    for container in listed:
        labels = container["Labels"]
        if LABEL_SANDBOX not in labels or container.id in joined:
            continue
        mounted_in = labels.get(LABEL_MOUNTED_IN)
        if mounted_in in mounts:
            mounts[mounted_in][labels[LABEL_MOUNTED_AT]] = container.id
        elif labels[LABEL_RUNNER] == runner_id or _abandoned(labels):
            spare.append(container.id)
    return Held(found=found, spare=spare, mounts=mounts)


def _abandoned(labels: dict[str, str]) -> bool:
    return owner.is_dead(labels.get(LABEL_OWNER, ""))


async def remove(docker: Docker, handle: str) -> None:
    """A container and the sandbox it joined. What can't be removed is logged and swept later."""
    for part in handle.split("+"):
        try:
            with told("remove the container"), gone_is_fine():
                await docker.containers.container(part).delete(force=True, v=True)
        except RunnerError as error:
            log.warning("container.not_removed", handle=handle, error=str(error))
