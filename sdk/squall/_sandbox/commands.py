"""Commands in a sandbox: `exec`, and what they wait for."""

import asyncio
import builtins
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Literal

from squall_contracts.sandboxes import Ended, SandboxInfo
from squall_contracts.secrets import SecretUse
from squall_contracts.terminals import OpenTerminal, Screen

from squall import _client, _sync, _validate
from squall._sandbox import waiting
from squall._sandbox.creating import check_argv, check_workdir
from squall._sandbox.running import Command, session
from squall.container_process import ContainerProcess
from squall.exception import InvalidError, TimeoutError
from squall.stream_type import StreamType

if TYPE_CHECKING:
    from squall._client import Client
    from squall.secret import Secret

__all__ = ["Commands"]


class Commands:
    """The part of a Sandbox that runs commands in it."""

    _info: SandboxInfo
    _ended: Ended | None

    @abstractmethod
    def _ensure_attached(self) -> None: ...

    @abstractmethod
    def _note(self, info: SandboxInfo) -> None: ...

    @_sync.synced
    async def exec(
        self,
        *args: str,
        stdout: StreamType = StreamType.PIPE,
        stderr: StreamType = StreamType.PIPE,
        timeout: int | None = None,
        workdir: str | None = None,
        env: Mapping[str, str | None] | None = None,
        secrets: "Collection[Secret] | None" = None,
        text: bool = True,
        bufsize: Literal[-1, 1] = -1,
        pty: bool = False,
    ) -> ContainerProcess[Any]:
        """Run a command in it; returns once it runs.

        `timeout`: seconds after which it is killed and its exit code is -1; None: none. `workdir`: an
        absolute path, None: the sandbox's. `env` and `secrets` come beside the sandbox's. `text`:
        streams are str, else bytes. `bufsize` 1: iterating gives lines (only with `text`). `pty`: it
        has a terminal, and errors come with its output. SandboxTerminatedError or
        SandboxTimeoutError: the sandbox has ended.
        """
        self._ensure_attached()
        if not args:
            raise InvalidError("exec needs a command")
        if bufsize not in {-1, 1} or (bufsize == 1 and not text):
            raise InvalidError("bufsize must be -1, or 1 with text=True")
        for field, kind in (("stdout", stdout), ("stderr", stderr)):
            if not isinstance(kind, StreamType):
                raise InvalidError(f"{field} must be a squall.stream_type.StreamType, not {kind!r}")
        request = OpenTerminal(
            container_id=self._info.container_id,
            session=session(),
            argv=check_argv("exec", args),
            screen=Screen() if _validate.truth("pty", pty) else None,
            env=_validate.variables(env),
            workdir=check_workdir(workdir),
            timeout_s=None
            if timeout is None
            else _validate.number("timeout", timeout, least=0.001),
            secrets=await _uses(await _client.connected(), secrets),
        )
        await self._running()
        command = await Command.start(await _client.connected(), request, (stdout, stderr))
        return ContainerProcess(
            command, stdout=stdout, stderr=stderr, text=text, by_line=bufsize == 1
        )

    async def _running(self) -> None:
        """Return once its command has begun. SandboxTerminatedError, SandboxTimeoutError: it has
        ended; ClientClosed after detach()."""
        self._ensure_attached()
        if self._ended is None and waiting.has_begun(self._info):
            return
        await self._until(waiting.has_begun, None, "begun")

    async def _until(
        self, satisfied: Callable[[SandboxInfo], bool], within_s: float | None, what: str
    ) -> None:
        sandbox_id = self._info.sandbox_id
        client = await _client.connected()
        if self._ended is None:
            try:
                async with asyncio.timeout(within_s):
                    self._note(await waiting.until(client, sandbox_id, satisfied))
            except builtins.TimeoutError as error:
                raise TimeoutError(
                    f"sandbox {sandbox_id} was not {what} within {within_s:g} s"
                ) from error
        if self._ended is not None:
            raise waiting.error_of(sandbox_id, self._ended)


async def _uses(client: "Client", secrets: "Collection[Secret] | None") -> tuple[SecretUse, ...]:
    """Secrets as they are sent: sealed, those with values of their own."""
    from squall._secret.sealing import sealed_uses
    from squall.secret import check_list

    return await sealed_uses(client, check_list("secrets", tuple(secrets or ())))
