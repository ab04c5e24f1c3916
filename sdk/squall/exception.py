"""Every error Squall raises. `Error` is the root; each class says when it is raised."""


class Error(Exception):
    """Raised when Squall itself reports a failure; the root of all the others."""


class AlreadyExistsError(Error):
    """Raised when a thing of that name exists already."""


class AuthError(Error):
    """Raised when the server refuses the credentials."""


class InternalError(Error):
    """Raised when a service failed through no fault of the caller."""


class InvalidError(Error):
    """Raised when an argument, declaration or use is not allowed; the message names it."""


class ConflictError(InvalidError):
    """Raised when somebody else changed the thing in the meantime."""


class DataLossError(Error):
    """Raised when stored data turned out to be damaged."""


class NotFoundError(Error):
    """Raised when a thing of that name or id does not exist."""


class PermissionDeniedError(Error):
    """Raised when the credentials don't allow what was asked."""


class ResourceExhaustedError(Error):
    """Raised when a quota or limit is reached."""


class ServiceError(Error):
    """Raised when a service can't answer at present."""


class UnimplementedError(Error):
    """Raised when the server doesn't know the operation."""


class RemoteError(Error):
    """Raised when an input failed remotely without an exception of user code: cancelled, killed."""


class ContainerLostError(RemoteError):
    """Raised when the container died under an input more often than is retried; names the cause."""


class ImageBuildError(RemoteError):
    """Raised when an image doesn't build.

    `image_id` names it, `failed_step` is the step that failed and `log_tail` the end of its log.
    """

    def __init__(
        self, *args: object, image_id: str = "", failed_step: str = "", log_tail: str = ""
    ) -> None:
        super().__init__(*args)
        self.image_id = image_id
        self.failed_step = failed_step
        self.log_tail = log_tail


class TimeoutError(Error):
    """Raised when something took longer than allowed; not the builtin of that name."""


class SandboxTimeoutError(TimeoutError):
    """Raised when a sandbox ran longer than its timeout."""


class ExecTimeoutError(TimeoutError):
    """Raised when a command in a container ran longer than its timeout."""


class FunctionTimeoutError(TimeoutError):
    """Raised when an input ran longer than its function's timeout."""


class MountUploadTimeoutError(TimeoutError):
    """Raised when local files could not be uploaded in time."""


class VolumeUploadTimeoutError(TimeoutError):
    """Raised when files could not be uploaded to a volume in time."""


class InteractiveTimeoutError(TimeoutError):
    """Raised when an interactive session could not be opened in time."""


class OutputExpiredError(TimeoutError):
    """Raised when a call's results are no longer kept."""


class SandboxTerminatedError(Error):
    """Raised when a sandbox was terminated from outside."""


class SnapshotCreationError(Error):
    """Raised when a snapshot could not be made."""


class LogsFetchError(Error):
    """Raised when logs could not be read."""


class ConnectionError(Error):
    """Raised when no server can be reached; not the builtin of that name."""


class VersionError(Error):
    """Raised when client and server are of versions that can't work together."""


class ExecutionError(Error):
    """Raised when something is used before it can be, such as before its app runs."""


class DeserializationError(Error):
    """Raised when a value from outside can't be unpickled here."""


class SerializationError(Error):
    """Raised when a value can't be pickled; names the original where there was one."""


class RequestSizeError(Error):
    """Raised when a payload is larger than any transport takes."""


class InternalFailure(Error):  # noqa: N818 - Modal's name
    """Raised when an input failed through a fault of Squall's own; running it again may help."""


class ClientClosed(Error):  # noqa: N818 - Modal's name
    """Raised when a connection is used after it was closed."""


class WorkspaceManagementError(Error):
    """Raised when a workspace can't be changed as asked."""


class SandboxFilesystemError(Error):
    """Raised when a file operation in a sandbox fails."""


class SandboxFilesystemNotFoundError(SandboxFilesystemError):
    """Raised when a path in a sandbox does not exist."""


class SandboxFilesystemDirectoryNotEmptyError(SandboxFilesystemError):
    """Raised when a directory in a sandbox is not empty."""


class SandboxFilesystemIsADirectoryError(SandboxFilesystemError):
    """Raised when a path in a sandbox is a directory and a file was expected."""


class SandboxFilesystemNotADirectoryError(SandboxFilesystemError):
    """Raised when a path in a sandbox is not a directory and one was expected."""


class SandboxFilesystemPermissionError(SandboxFilesystemError):
    """Raised when a path in a sandbox may not be read or written."""


class SandboxFilesystemFileTooLargeError(SandboxFilesystemError):
    """Raised when a file in a sandbox is too large to be transferred."""


class SandboxFilesystemPathAlreadyExistsError(SandboxFilesystemError):
    """Raised when a path in a sandbox exists already."""


class InputCancellation(BaseException):
    """Raised inside a running function when its input is cancelled; not an `Exception`, so that
    `except Exception` doesn't swallow it."""


class ModuleNotMountable(Exception):  # noqa: N818 - Modal's name
    """Raised when a module has no source that could be shipped."""


class UserCodeException(Exception):  # noqa: N818 - Modal's name
    """Wraps an exception of user code where old scripts ask for it; `exc` is the original."""

    def __init__(self, exc: BaseException) -> None:
        super().__init__(exc)
        self.exc = exc


class DeprecationError(UserWarning):
    """Warns that an old spelling is used and names the new one."""


class NoEffectWarning(UserWarning):
    """Warns that an option of Modal's cloud is accepted and has no effect here."""


class PendingDeprecationError(UserWarning):
    """Warns that a spelling will become old."""


class ServerWarning(UserWarning):
    """Warns of something the server noticed."""


class AsyncUsageWarning(UserWarning):
    """Warns that a blocking call is made inside a running event loop, where `.aio` belongs."""


class InternalAPIWarning(UserWarning):
    """Warns that something internal is used."""


def simulate_preemption(wait_seconds: int, jitter_seconds: int = 0) -> None:
    """In a container: interrupt it as a machine that goes away does, after `wait_seconds` and up to
    `jitter_seconds` more; its inputs run again elsewhere. ValueError for negative ones."""
    from squall._modal.preempting import interrupt_after

    interrupt_after(wait_seconds, jitter_seconds)
