"""Subjects, streams and buckets of what users keep in dicts, queues, volumes and secrets: as
subjects.py for calls."""

from typing import Final

from squall_contracts import subjects
from squall_contracts.subjects import _token, check_environment

# --- workspace account -------------------------------------------------------------------------

DICTS: Final = "DICTS"
"""Limits, the last message of each subject: entries of dicts, each with a time to live."""
DICTS_SUBJECTS: Final = ("dict.>",)
QUEUES: Final = "QUEUES"
"""WorkQueue: items of queues until somebody takes them."""
QUEUES_SUBJECTS: Final = ("queue.>",)
TAKEN: Final = "TAKEN"
"""Limits, two minutes: who took an item, where two may have been given it."""
TAKEN_SUBJECT: Final = "taken"
DICT_VALUES_BUCKET: Final = "dictvalues"
"""Objects named `<dict id>/<entry>/<random>`: values past the inline limit."""


def dict_entry(dict_id: str, entry: str) -> str:
    """One entry of a dict; `entry` is a digest of its key."""
    return f"dict.{_token(dict_id)}.{_token(entry)}"


def dict_entries(dict_id: str) -> str:
    """All entries of a dict."""
    return f"dict.{_token(dict_id)}.*"


def queue_items(queue_id: str, partition: str) -> str:
    """The items of one partition; `partition` is its name in a form fit for subjects."""
    return f"queue.{_token(queue_id)}.{_token(partition)}"


def queue_partitions(queue_id: str) -> str:
    """All items of a queue."""
    return f"queue.{_token(queue_id)}.*"


QUEUE_ALL: Final = "queue.>"


def queue_consumer(queue_id: str, partition: str) -> str:
    """Durable consumer of one partition on QUEUES, shared by all who take from it."""
    return f"{_token(queue_id)}_{_token(partition)}"


def queue_room(queue_id: str) -> str:
    """Unstored: a queue that was nearly full has room again."""
    return f"room.{_token(queue_id)}"


ROOM_ALL: Final = "room.*"


def collection_gone(collection_id: str) -> str:
    """Gateway -> clients, unstored: this dict or queue was deleted."""
    return f"gone.{_token(collection_id)}"


COLLECTION_GONE_ALL: Final = "gone.*"


# --- PLATFORM ----------------------------------------------------------------------------------

COLLECTIONS_BUCKET: Final = "collections"
"""Named dicts and queues, and ephemeral ones, whose entries expire."""


def collections_of(account: str, kind: str, environment: str) -> str:
    """Prefix of the keys of one kind in one environment."""
    return f"{_token(account)}.{_token(kind)}.{check_environment(environment)}."


def collection_key(account: str, kind: str, environment: str, name: str) -> str:
    """A key can't begin, end or be split with '.', which names may hold: '/' stands for it."""
    return collections_of(account, kind, environment) + name.replace(".", "/")


def ephemeral_key(account: str, kind: str, environment: str, collection_id: str) -> str:
    """No name begins with '='."""
    return f"{collections_of(account, kind, environment)}={_token(collection_id)}"


# --- volumes --------------------------------------------------------------------------------------

VOLUMES_BUCKET: Final = "volumes"
"""Key-value bucket of volumes' names and heads; also the object store of their blocks."""


def volume_name_key(environment: str, name: str) -> str:
    """Where a volume's name is registered. Dots are spelled out: keys use them to part words."""
    return f"name.{check_environment(environment)}.{_token(name.replace('.', '=2E'))}"


def volume_names_key(environment: str) -> str:
    """What the keys of all names of an environment begin with."""
    return f"name.{check_environment(environment)}."


VOLUME_NAMES_KEY: Final = "name."
VOLUME_HEADS_KEY: Final = "head."


def volume_head_key(volume_id: str) -> str:
    """Where the newest state of a volume is named."""
    return f"{VOLUME_HEADS_KEY}{_token(volume_id)}"


def volume_live_key(volume_id: str) -> str:
    """Expires once nobody keeps an ephemeral volume any more."""
    return f"live.{_token(volume_id)}"


# --- platform account: environments and secrets ----------------------------------------------------

ENVIRONMENTS_BUCKET: Final = "environments"
SECRETS_BUCKET: Final = "secrets"
"""Named secrets, sealed; the gateway's alone to read and write."""


def environment_key(account: str, name: str) -> str:
    return f"{_token(account)}.{check_environment(name)}"


def secret_key(account: str, environment: str, name: str) -> str:
    """A dot separates the parts of a key, so that in a secret's name becomes `=`."""
    if "=" in name:
        raise ValueError(f"{name!r} can't name a secret")
    return f"{_token(account)}.{check_environment(environment)}.{_token(name.replace('.', '='))}"


def kept_of_environment(environment: str) -> dict[str, tuple[str, ...]]:
    """What the streams of a workspace keep of an environment: filters by stream."""
    place = check_environment(environment)
    return {
        subjects.CALLS: (f"call.{place}.>", f"retry.{place}.>"),
        subjects.REPLIES: (f"reply.{place}.>",),
        subjects.RESULTS: (f"result.{place}.>",),
        subjects.DEAD: (f"dead.{place}.>",),
        subjects.LOGS: (f"log.{place}.>",),
    }
