"""What a failure of the file system is called. Pure."""

import errno
from typing import Final

from squall_contracts.sandbox_files import FailureKind, FileFailed

_KINDS: Final[dict[int, FailureKind]] = {
    errno.ENOENT: "not_found",
    errno.ENOTEMPTY: "not_empty",
    errno.EISDIR: "is_directory",
    errno.ENOTDIR: "not_directory",
    errno.EACCES: "permission",
    errno.EPERM: "permission",
    errno.EROFS: "permission",
    errno.EFBIG: "too_large",
    errno.EEXIST: "exists",
    errno.EOPNOTSUPP: "unsupported",
    errno.ENOSYS: "unsupported",
}


def failure(error: OSError, path: str) -> FileFailed:
    """The answer to a request about `path` that the file system refused."""
    reason = error.strerror or type(error).__name__
    return FileFailed(kind=_KINDS.get(error.errno or 0, "other"), message=f"{path}: {reason}")
