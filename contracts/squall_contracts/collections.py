"""Client <-> gateway: named dicts and queues. What they hold goes past the gateway.

The limits of both stand here, since clients check them before anything is sent.
"""

from typing import Final, Literal

from squall_contracts.failures import Refused
from squall_contracts.message import Message

CollectionKind = Literal["dict", "queue"]
Create = Literal["never", "missing", "always"]
"""Make it never, if there is none, or always, refused if there is one."""

EPHEMERAL_TTL_S: Final = 900.0
"""An ephemeral dict or queue goes when nobody has kept it for so long."""
KEEP_INTERVAL_S: Final = 300.0

MAX_KEY_BYTES: Final = 32 * 1024
"""Of a dict's pickled key."""
MAX_VALUE_BYTES: Final = 100 * 1024**2
"""Of a dict's pickled value."""
MAX_UPDATE_ENTRIES: Final = 10_000
ENTRY_TTL_S: Final = 8 * 24 * 3600
"""After its last write a dict's entry stays so long; reading it renews that once a day."""
RENEW_AFTER_S: Final = 24 * 3600

MAX_ITEM_BYTES: Final = 1024**2
"""Of a queue's pickled item."""
MAX_ITEMS: Final = 5000
"""Of one partition of a queue."""
MAX_PARTITION_BYTES: Final = 64
"""Of a partition's name in UTF-8."""
PARTITION_TTL_S: Final = 24 * 3600
"""A partition goes so long after its last item was put, unless that put said otherwise."""
MAX_PARTITION_TTL_S: Final = 30 * 24 * 3600

KEY_HEADER: Final = "Squall-Key"
"""On a dict's entry: its pickled key in base64."""
BLOB_HEADER: Final = "Squall-Blob"
"""On a dict's entry whose value is an object: the object's name. The body is its BlobRef."""
TTL_HEADER: Final = "Squall-TTL"
"""On a queue's item: its partition's time to live in seconds, if not PARTITION_TTL_S."""


class CollectionRecord(Message, frozen=True, kw_only=True, tag="collection"):
    """Registry entry of a dict or queue. An ephemeral one has no name and expires unless kept."""

    workspace: str
    kind: CollectionKind
    collection_id: str
    environment: str
    name: str
    created_unix_s: float


class OpenCollection(Message, frozen=True, kw_only=True):
    """Look one up by name, or make it. Reply: CollectionRecord."""

    kind: CollectionKind
    environment: str
    name: str
    create: Create = "never"


class OpenEphemeral(Message, frozen=True, kw_only=True):
    """Make one without a name. Reply: CollectionRecord."""

    kind: CollectionKind
    environment: str


class FindCollection(Message, frozen=True, kw_only=True):
    """Look one up by its id. Reply: CollectionRecord."""

    kind: CollectionKind
    collection_id: str


class KeepEphemeral(Message, frozen=True, kw_only=True):
    """An ephemeral one is still in use. Reply: Done."""

    kind: CollectionKind
    environment: str
    collection_id: str


class ListCollections(Message, frozen=True, kw_only=True):
    """Those that have a name, oldest first. Reply: CollectionList."""

    kind: CollectionKind
    environment: str


class CollectionList(Message, frozen=True, kw_only=True, tag="collection_list"):
    collections: tuple[CollectionRecord, ...]


class DeleteCollection(Message, frozen=True, kw_only=True):
    """Remove one and all it holds. An ephemeral one has its id and no name. Reply: Done."""

    kind: CollectionKind
    environment: str
    name: str = ""
    collection_id: str = ""


CollectionReply = CollectionRecord | Refused
CollectionListReply = CollectionList | Refused
