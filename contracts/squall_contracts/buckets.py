"""S3-compatible buckets a function's containers have mounted, where Squall stores nothing itself."""

from typing import Final

from squall_contracts.message import Message

ACCESS_KEY_ID: Final = "AWS_ACCESS_KEY_ID"
SECRET_ACCESS_KEY: Final = "AWS_SECRET_ACCESS_KEY"
SESSION_TOKEN: Final = "AWS_SESSION_TOKEN"
REGION: Final = "AWS_REGION"
NEEDED_KEYS: Final = (ACCESS_KEY_ID, SECRET_ACCESS_KEY)
"""Variables the secret of a bucket must have; the other two it may have."""


class BucketMount(Message, frozen=True, kw_only=True):
    """One bucket in a function's containers. Its credentials are the SecretUse that names `path`;
    without one it is read as anybody may."""

    path: str
    """Absolute path inside the container."""
    bucket: str
    endpoint_url: str = ""
    """http:// or https://; empty: AWS."""
    key_prefix: str = ""
    """Only keys that begin so are seen; it ends in "/". Empty: all."""
    read_only: bool = False
    requester_pays: bool = False
    force_path_style: bool = False
    """The bucket's name comes in the path, not in the host's name."""
