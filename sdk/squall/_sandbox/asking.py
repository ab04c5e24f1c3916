"""Requests about a container's files, to the runner that has it."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final, TypeVar

from squall_contracts import apps
from squall_contracts import sandbox_files as words
from squall_contracts.failures import Refused
from squall_contracts.sandbox_file_subjects import up_files

from squall import _client, _errors
from squall.exception import (
    InvalidError,
    NotFoundError,
    SandboxFilesystemDirectoryNotEmptyError,
    SandboxFilesystemError,
    SandboxFilesystemFileTooLargeError,
    SandboxFilesystemIsADirectoryError,
    SandboxFilesystemNotADirectoryError,
    SandboxFilesystemNotFoundError,
    SandboxFilesystemPathAlreadyExistsError,
    SandboxFilesystemPermissionError,
)

if TYPE_CHECKING:
    from squall._client import Client

T = TypeVar("T")

ANSWER_S: Final = 120.0
"""How long a runner may take: removing many files takes its time."""
AWAY_S: Final = 30.0
"""How long it may be away (it restarts) before a request fails."""
_RETRY_S: Final = 0.1
_ERRORS: Final[dict[str, type[Exception]]] = {
    "not_found": SandboxFilesystemNotFoundError,
    "not_empty": SandboxFilesystemDirectoryNotEmptyError,
    "is_directory": SandboxFilesystemIsADirectoryError,
    "not_directory": SandboxFilesystemNotADirectoryError,
    "permission": SandboxFilesystemPermissionError,
    "too_large": SandboxFilesystemFileTooLargeError,
    "exists": SandboxFilesystemPathAlreadyExistsError,
    "unsupported": InvalidError,
    "other": SandboxFilesystemError,
}

Ready = Callable[[], Awaitable[None]]


class Files:
    """The files of one container, by requests. On the SDK loop."""

    def __init__(self, container_id: str, ready: Ready) -> None:
        """`ready` returns once the container runs, and raises where it has ended."""
        self._container_id = container_id
        self._ready = ready
        self._runner_id = ""

    async def client(self) -> "Client":
        """The connection, once the container runs."""
        await self._ready()
        return await _client.connected()

    async def runner(self, client: "Client") -> str:
        """The runner that has it, which never changes. NotFoundError."""
        if not self._runner_id:
            asked = apps.ListContainers(container_id=self._container_id)
            found = (await client.control(asked)).containers
            if not found or not found[0].runner_id:
                raise NotFoundError(f"container {self._container_id} runs nowhere")
            self._runner_id = found[0].runner_id
        return self._runner_id

    async def ask(self, what: words.FileWork, kind: type[T], *, within_s: float = ANSWER_S) -> T:
        """The answer. A SandboxFilesystemError, NotFoundError where the container is gone."""
        from squall_bus.errors import BusError, NoResponder

        client = await self.client()
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + AWAY_S
        subject = up_files(await self.runner(client), self._container_id)
        request = words.AskFiles(what=what)
        while True:
            try:
                reply: object = await client.bus.request(
                    subject, request, words.FilesReply, timeout_s=within_s
                )
                break
            except NoResponder as error:  # it has only just begun, or its runner restarts
                await self._ready()
                if loop.time() > give_up_s:
                    raise NotFoundError(
                        f"nobody has the files of container {self._container_id}: it has ended, or its "
                        "machine is gone"
                    ) from error
                await asyncio.sleep(_RETRY_S)
            except BusError as error:
                raise _errors.of_bus(error) from error
        if isinstance(reply, words.FileFailed):
            raise _ERRORS[reply.kind](reply.message)
        if isinstance(reply, Refused):
            raise _errors.of_refusal(reply)
        assert isinstance(reply, kind)
        return reply


def absolute(path: object, operation: str, *, of: str = "Sandbox.filesystem") -> str:
    """`path` as text. InvalidError: it isn't absolute, or can't be a path at all."""
    label = f"{of}.{operation}"
    if not isinstance(path, str | PurePosixPath):
        raise InvalidError(f"{label}: the path is a str, not {type(path).__name__}")
    text = str(path)
    if not text.startswith("/"):
        raise InvalidError(f"{label}: {text!r} is not absolute: begin it with '/'")
    if "\0" in text:
        raise InvalidError(f"{label}: {text!r} holds a zero byte")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidError(f"{label}: {text!r} is not Unicode") from error
    if size >= words.LONGEST_PATH:
        raise InvalidError(f"{label}: the path is longer than {words.LONGEST_PATH} bytes")
    return text
