"""How rclone is told to mount a bucket, without doing it."""

import re
from collections.abc import Mapping
from typing import Final

from squall_contracts.buckets import (
    ACCESS_KEY_ID,
    NEEDED_KEYS,
    REGION,
    SECRET_ACCESS_KEY,
    SESSION_TOKEN,
    BucketMount,
)

REMOTE: Final = "bucket"
INSTALL: Final = "apt-get install rclone fuse3"
SEEN_AFTER: Final = "5s"
"""How old what a container sees of a directory may be: another's change shows after that."""
PART: Final = "16M"
"""Of a file that is written: 10,000 parts at most, so up to 156 GiB; two of them in memory."""
_VALUE: Final = re.compile(r"[!#-_a-~][!-~]*")
"""What stands in a line of the configuration as it is: printable, and no quote at its front."""
_ERROR: Final = re.compile(r"(?:ERROR|CRITICAL|Failed)\b[^\n]*")


class UnfitError(ValueError):
    """Raised when a bucket can't be mounted with what is given; the text shows no value."""


def configuration(mount: BucketMount, variables: Mapping[str, str]) -> bytes:
    """rclone's, for one bucket. UnfitError names a variable at fault."""
    lines = {
        "type": "s3",
        "provider": "Other" if mount.endpoint_url else "AWS",
        "env_auth": "false",  # what this machine may do is nothing to the container
        "no_check_bucket": "true",  # a bucket that isn't there is not to be made
        "no_head": "true",
        "chunk_size": PART,
        "upload_concurrency": "2",
        "force_path_style": str(mount.force_path_style).lower(),
        "requester_pays": str(mount.requester_pays).lower(),
        "endpoint": mount.endpoint_url,
        "region": variables.get(REGION, "us-east-1"),
        "access_key_id": variables.get(ACCESS_KEY_ID, ""),
        "secret_access_key": variables.get(SECRET_ACCESS_KEY, ""),
        "session_token": variables.get(SESSION_TOKEN, ""),
    }
    for name in (*NEEDED_KEYS, SESSION_TOKEN, REGION):
        value = variables.get(name, "")
        if value and not _VALUE.fullmatch(value):
            raise UnfitError(f"the secret's {name} can't be one: mind spaces, quotes and line ends")
    body = "".join(f"{name} = {value}\n" for name, value in lines.items() if value)
    return f"[{REMOTE}]\n{body}".encode()


def remote(mount: BucketMount) -> str:
    return f"{REMOTE}:{mount.bucket}/{mount.key_prefix}".rstrip("/")


def mounting(mount: BucketMount, place: str, configured: str, *, shared: bool) -> list[str]:
    """The command that mounts it until it is ended. `shared`: with other users of the machine."""
    return [
        "rclone", "mount", remote(mount), place, "--config", configured,
        "--vfs-cache-mode", "off",  # a file is in the bucket once it is closed
        "--dir-cache-time", SEEN_AFTER, "--attr-timeout", "1s", "--use-server-modtime",
        "--dir-perms", "0777", "--file-perms", "0666", "--umask", "0",
        *(("--allow-other",) if shared else ()),
        *(("--read-only",) if mount.read_only else ()),
    ]  # fmt: skip


def looking(mount: BucketMount, configured: str) -> list[str]:
    """The command that fails where the bucket isn't there, or isn't theirs to read."""
    return [
        "rclone", "lsf", remote(mount), "--max-depth", "1", "--config", configured,
        "--retries", "1", "--low-level-retries", "2", "--contimeout", "5s",
    ]  # fmt: skip


def reason(said: str) -> str:
    """The line of rclone's that says best what went wrong; empty: it said nothing."""
    found: list[str] = _ERROR.findall(said)
    line = found[-1] if found else said.strip().rpartition("\n")[2]
    return " ".join(line.split())[:300]
