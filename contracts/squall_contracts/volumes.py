"""Volumes: where they are mounted, how they are registered, and what containers ask of their runner."""

from typing import Annotated, Literal

from msgspec import Meta

from squall_contracts.failures import Refused
from squall_contracts.message import Message

LIVE_TTL_S = 300
"""An ephemeral volume nobody has kept alive for so long may be removed."""
KEEP_LIVE_S = 100.0


class VolumeMount(Message, frozen=True, kw_only=True):
    """One volume in a function's containers."""

    path: str
    """Absolute path inside the container."""
    volume_id: str
    read_only: bool = False
    sub_path: str = ""
    """The directory of the volume that is mounted, without slashes at its ends; empty: all of it."""


class VolumeName(Message, frozen=True, kw_only=True):
    """A volume's name in its environment. Key: volume_name_key."""

    volume_id: str
    name: str
    environment: str
    created_unix_s: float


class VolumeHead(Message, frozen=True, kw_only=True):
    """The newest committed state of a volume. Key: volume_head_key."""

    volume_id: str
    manifest: str = ""
    """Names its file tree in the volumes bucket; empty: it holds nothing yet."""
    version: Annotated[int, Meta(ge=0)] = 0
    """Commits so far."""
    files: int = 0
    size_bytes: int = 0
    """Of all files together, whatever they share."""
    created_unix_s: float
    modified_unix_s: float
    ephemeral: bool = False


class VolumeLive(Message, frozen=True, kw_only=True):
    """Somebody holds an ephemeral volume. Key: volume_live_key; it expires."""

    since_unix_s: float


class AskVolume(Message, frozen=True, kw_only=True):
    """Container -> its runner: commit or reload a volume mounted in it. Reply: VolumeAnswer.

    The same `token` asks after the same piece of work: ask again while it is `working`.
    """

    action: Literal["commit", "reload"]
    volume_id: str
    token: str


class VolumeAnswer(Message, frozen=True, kw_only=True, tag="volume_answer"):
    state: Literal["working", "done"]


ANSWER_WITHIN_S = 3.0
"""After which a runner says that it is still at work."""

VolumeReply = VolumeAnswer | Refused
