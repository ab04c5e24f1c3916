"""CloudBucketMount: an S3-compatible bucket as a directory of a function's containers."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from squall_contracts.buckets import NEEDED_KEYS

from squall import _container, _validate
from squall.exception import InvalidError
from squall.secret import Secret


@dataclass(frozen=True)
class CloudBucketMount:
    """`volumes={"/data": CloudBucketMount("bucket", …)}`: objects as files, read and written where
    they are. InvalidError names a field at fault.

    `secret` has AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and may have AWS_SESSION_TOKEN and
    AWS_REGION; containers don't see them. None: the bucket is open to anybody.
    """

    bucket_name: str
    bucket_endpoint_url: str | None = None
    """http:// or https://; None: AWS."""
    key_prefix: str | None = None
    """Shows what lies below it alone; it ends in "/". None: all of the bucket."""
    secret: Secret | None = None
    oidc_auth_role_arn: str | None = None
    """Refused: Squall issues no identities AWS knows."""
    read_only: bool = False
    requester_pays: bool = False
    force_path_style: bool = False
    """Name the bucket in the path of requests rather than in the host; most servers other than AWS
    need it."""

    def __post_init__(self) -> None:
        _validate.text("bucket_name", self.bucket_name)
        if self.oidc_auth_role_arn is not None:
            raise InvalidError(
                "oidc_auth_role_arn: Squall issues no OIDC tokens: give the bucket's keys as secret="
            )
        self._check_secret()
        self._check_place()

    def _check_secret(self) -> None:
        if self.secret is None:
            if self.requester_pays:
                raise InvalidError("requester_pays needs secret=: whoever pays must be known")
            return
        if not isinstance(self.secret, Secret):
            raise InvalidError(f"secret must be a squall.Secret, not {type(self.secret).__name__}")
        if self.secret._values is None or _container.assignment() is not None:
            return  # looked up when the app starts; in a container there is nothing to be read
        missing = [key for key in NEEDED_KEYS if key not in self.secret._values]
        if missing:
            raise InvalidError(
                f"secret of bucket {self.bucket_name}: it lacks {', '.join(missing)}"
            )

    def _check_place(self) -> None:
        prefix = self.key_prefix or ""
        if prefix and not prefix.endswith("/"):
            raise InvalidError(f"key_prefix {prefix!r} must end in '/'")
        if prefix and {"", ".", ".."} & set(prefix[:-1].split("/")):
            raise InvalidError(f"key_prefix {prefix!r}: no part of it may be empty, '.' or '..'")
        url = self.bucket_endpoint_url
        if url is not None:
            parts = urlsplit(url)
            if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
                raise InvalidError(
                    "bucket_endpoint_url must be http://HOST or https://HOST, without credentials"
                )
