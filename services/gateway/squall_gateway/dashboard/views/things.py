"""Schedules, images, secrets, dicts, queues and the files of volumes. Pure."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from squall_contracts.collections import CollectionRecord
from squall_contracts.functions import FunctionRecord
from squall_contracts.images import ImageRecord
from squall_contracts.schedules import Schedule
from squall_volumes.model import Entry, Tree

from squall_gateway.dashboard.known import SecretName
from squall_gateway.dashboard.views.common import Paged, Place, matching, paged

FILES_A_PAGE: Final = 200


class ScheduleRow(NamedTuple):
    record: FunctionRecord
    schedule: Schedule

    @property
    def next_unix_s(self) -> float | None:
        return None if self.record.schedule_paused else self.schedule.next_unix_s


def schedules(place: Place) -> Paged[ScheduleRow]:
    """Those followed: of deployed apps, the next due first."""
    rows = []
    for record in place.known.functions_of(place.account, place.environment):
        schedule = place.known.schedules.get(record.function_id)
        if schedule is not None and record.spec.schedule is not None:
            rows.append(ScheduleRow(record, schedule))
    rows.sort(key=lambda row: row.next_unix_s or float("inf"))
    return paged(rows, place.page)


def images(place: Place) -> Paged[ImageRecord]:
    """Of the whole workspace, newest first."""
    wanted = place.asked("q")
    found = [
        each
        for each in place.known.images.values()
        if each.workspace == place.account and matching(wanted, each.image_id, each.state)
    ]
    return paged(sorted(found, key=lambda each: -each.created_unix_s), place.page)


def users_of(place: Place, image_id: str) -> list[FunctionRecord]:
    """The functions of this environment that run in an image."""
    found = place.known.functions_of(place.account, place.environment)
    return [each for each in found if each.spec.image_id == image_id]


def secrets(place: Place) -> Paged[SecretName]:
    found = [
        each
        for each in place.known.secrets.values()
        if (each.workspace, each.environment) == (place.account, place.environment)
    ]
    return paged(sorted(found, key=lambda each: each.name), place.page)


def collections(place: Place, kind: str) -> Paged[CollectionRecord]:
    """Named dicts, or queues."""
    found = [
        each
        for each in place.known.collections.values()
        if (each.workspace, each.environment, each.kind) == (place.account, place.environment, kind)
        and each.name
    ]
    return paged(sorted(found, key=lambda each: each.name), place.page)


class FileRow(NamedTuple):
    name: str
    path: str
    """From the volume's root."""
    entry: Entry


class Listing(NamedTuple):
    """One directory of a volume."""

    path: str
    """Empty: its root."""
    above: list[tuple[str, str]]
    """(name, path) of the directories on the way to it."""
    files: Paged[FileRow]


def listing(tree: Tree, path: str, page: int) -> Listing | None:
    """What a directory holds, directories first; None: there is no such directory."""
    if path and (path not in tree or not tree[path].is_directory):
        return None
    rows = [
        FileRow(name.rpartition("/")[2], name, entry)
        for name, entry in tree.items()
        if name.rpartition("/")[0] == path
    ]
    rows.sort(key=lambda row: (not row.entry.is_directory, row.name))
    parts = path.split("/") if path else []
    above = [(part, "/".join(parts[: i + 1])) for i, part in enumerate(parts)]
    return Listing(path, above, paged(rows, page, FILES_A_PAGE))


def holders(counts: Mapping[str, int]) -> int:
    """All messages of several subjects."""
    return sum(counts.values())
