"""Secrets: environment variables sealed by clients, opened by the runner that starts a container.

A value is encrypted with a key of its own, and that key is sealed to the workspace's public sealing
key. The gateway opens only the key, to seal it again to the runner: it never sees a value.
"""

from typing import Annotated, Final, Literal

from msgspec import Meta

from squall_contracts.failures import Refused
from squall_contracts.message import Message

MAX_VALUE_BYTES: Final = 64 * 1024
MAX_VARIABLES: Final = 500
MAX_SECRET_BYTES: Final = 512 * 1024


class Sealed(Message, frozen=True, kw_only=True):
    """One value as it is stored and sent. Useless without the private key named by `key_id`."""

    key_id: str
    """The sealing key `wrapped` is for."""
    wrapped: bytes
    """The workspace's account and the value's own key, sealed."""
    box: bytes
    """The value, encrypted with its own key and bound to the variable's name."""
    mark: bytes = b""
    """A keyed digest of the value only who sealed it can make: the same value has the same mark,
    so that a deploy of the same secret changes nothing. Empty: unknown."""


class SecretUse(Message, frozen=True, kw_only=True):
    """A secret of a function: one that is stored under a name, or one of the function's own."""

    name: str = ""
    """Empty: the function's own, whose values are `variables`."""
    environment: str = ""
    """Where the name is looked up; empty: in the app's environment."""
    required_keys: tuple[str, ...] = ()
    variables: dict[str, Sealed] = {}
    bucket: str = ""
    """The mount path of the bucket it opens, for its runner alone; empty: its variables are the
    function's."""


class StepSecret(Message, frozen=True, kw_only=True):
    """A secret of one step of an image, as the image is named by it: never by a value."""

    name: str = ""
    """A stored one; empty: the values are sent along."""
    environment: str = ""
    """Where the name is looked up."""
    keys: tuple[str, ...] = ()
    """Variables it must have, sorted; all of them where the values are sent along."""


# --- client <-> gateway ---------------------------------------------------------------------------


class GetSealingKey(Message, frozen=True, kw_only=True):
    """To which key does this workspace seal at present? Reply: SealingKey."""


class SealingKey(Message, frozen=True, kw_only=True, tag="sealing_key"):
    key_id: str
    public_key: bytes
    """32 bytes, X25519."""
    account: str
    """The workspace's account: what is sealed is bound to it."""


class RotateSealingKey(Message, frozen=True, kw_only=True):
    """Make another sealing key, and seal all of the workspace's secrets to it. Reply: KeyRotated."""

    revoke: bool = False
    """Also destroy the older keys: what was sealed to them and is kept elsewhere is lost."""


class KeyRotated(Message, frozen=True, kw_only=True, tag="key_rotated"):
    key_id: str
    secrets: int
    functions: int
    """Live functions whose own secrets were sealed anew."""
    revoked: tuple[str, ...] = ()


class PutSecret(Message, frozen=True, kw_only=True):
    """Store a secret. Containers that run with what it was make way for new ones before the reply.
    Reply: SecretInfo."""

    environment: str
    name: str
    variables: dict[str, Sealed]
    mode: Literal["create", "replace", "merge"] = "create"
    """create: refused if the name is taken; merge: refused if it isn't, other variables stay."""


class DeleteSecret(Message, frozen=True, kw_only=True):
    """Reply: Done. Functions that use it can't start containers any more."""

    environment: str
    name: str


class FindSecret(Message, frozen=True, kw_only=True):
    """Reply: SecretInfo."""

    environment: str
    name: str
    required_keys: tuple[str, ...] = ()


class ListSecrets(Message, frozen=True, kw_only=True):
    """Reply: SecretList. None: of all environments."""

    environment: str | None = None


class SecretInfo(Message, frozen=True, kw_only=True, tag="secret_info"):
    """All that anybody can learn of a secret; its values can't be read back."""

    secret_id: str
    environment: str
    name: str
    keys: tuple[str, ...]
    created_unix_s: float
    updated_unix_s: float
    replaced_containers: int = 0
    """In the reply to PutSecret: how many containers made way."""


class SecretList(Message, frozen=True, kw_only=True, tag="secret_list"):
    secrets: tuple[SecretInfo, ...]


# --- runner <-> gateway ---------------------------------------------------------------------------


class OpenSecrets(Message, frozen=True, kw_only=True):
    """Runner -> gateway (PLATFORM): the values of a container that is being started, for a key made
    for this one start. Reply: ResealedSecrets."""

    container_id: str
    runner_id: str
    public_key: Annotated[bytes, Meta(min_length=32, max_length=32)]


class Resealed(Message, frozen=True, kw_only=True):
    """One value for the runner that asked."""

    wrapped: bytes
    box: bytes


class ResealedSecrets(Message, frozen=True, kw_only=True, tag="resealed_secrets"):
    variables: dict[str, Resealed]
    """Of all the function's secrets, the later ones having won."""
    buckets: dict[str, dict[str, Resealed]] = {}
    """Those of its buckets, by mount path."""
    key_id: str = ""


# --- builder <-> gateway --------------------------------------------------------------------------


class OpenBuildSecrets(Message, frozen=True, kw_only=True):
    """Builder -> gateway (PLATFORM): the values of the secrets an image is built with, for a key
    made for this one build. Reply: BuildSecrets."""

    workspace: str
    image_id: str
    secrets: tuple[StepSecret, ...]
    """Of all steps, in order."""
    own: tuple[dict[str, Sealed], ...] = ()
    """As in the order."""
    grant: bytes
    """As in the order: proof that a client of the workspace ordered this image with these."""
    public_key: Annotated[bytes, Meta(min_length=32, max_length=32)]


class BuildSecrets(Message, frozen=True, kw_only=True, tag="build_secrets"):
    secrets: tuple[dict[str, Resealed], ...]
    """The variables of each."""


# --- registry -------------------------------------------------------------------------------------


class SecretRecord(Message, frozen=True, kw_only=True):
    """A named secret as it is stored. Key: registry key secret_key(…)."""

    secret_id: str
    workspace: str
    environment: str
    name: str
    variables: dict[str, Sealed]
    created_unix_s: float
    updated_unix_s: float


SealingKeyReply = SealingKey | Refused
RotateReply = KeyRotated | Refused
SecretReply = SecretInfo | Refused
SecretListReply = SecretList | Refused
OpenReply = ResealedSecrets | Refused
BuildSecretsReply = BuildSecrets | Refused
