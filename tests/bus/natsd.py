"""A real nats-server in operator mode, in a directory of its own."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from squall_bus.access.accounts import Key, new_key, user_jwt
from squall_bus.access.keyring import Keyring
from squall_bus.access.resolver import server_config
from squall_bus.bus import Bus
from squall_bus.connection import connect
from squall_contracts import subjects
from squall_contracts.guest import Credentials

from tests.ports import free_port

BINARY = shutil.which("nats-server") or str(Path(sys.executable).with_name("nats-server"))


class NatsServer:
    """One server with PLATFORM and the workspace `test`; `kill` and `start` keep what is stored."""

    def __init__(self, folder: Path) -> None:
        self.keys = Keyring(folder / "keys")
        self.workspace = self.keys.workspace("test")
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self._log = (folder / "nats.log").open("ab")
        accounts = folder / "jwt"
        accounts.mkdir(exist_ok=True)
        for account, jwt in self.keys.account_jwts().items():
            (accounts / f"{account}.jwt").write_text(jwt)
        self._config = folder / "nats.conf"
        self._config.write_text(
            server_config(
                name="test",
                listen=f"127.0.0.1:{self.port}",
                operator=self.keys.operator_jwt(),
                system_account=self.keys.system.public,
                accounts=self.keys.preloaded_jwts(),
                jetstream_dir=folder / "js",
                accounts_dir=accounts,
                lobby_user=self.keys.lobby_user(),
            )
        )

    async def start(self) -> None:
        self._spawn()
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                if self.process is None or self.process.poll() is not None:
                    raise RuntimeError(f"nats-server ended: see {self._log.name}") from None
                await asyncio.sleep(0.005)
            else:
                writer.close()
                return

    def _spawn(self) -> None:
        self.process = subprocess.Popen(
            [BINARY, "-c", str(self._config)], stdout=self._log, stderr=self._log
        )

    def stop(self, how: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait()

    def pause(self) -> None:
        """Keep the connections and answer nothing, until `resume`."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)  # it has stopped, not only been told to

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self.stop()
        self._log.close()

    def user(
        self,
        account: Key,
        *,
        publish: tuple[str, ...] = (">",),
        subscribe: tuple[str, ...] = (">",),
        expires_unix_s: float | None = None,
        key: Key | None = None,
    ) -> Credentials:
        user = key or new_key("user")
        jwt = user_jwt(
            account,
            user.public,
            "test",
            publish=publish,
            subscribe=subscribe,
            expires_unix_s=expires_unix_s,
        )
        return Credentials(jwt=jwt, seed=user.seed)

    async def connect(
        self,
        owner: str = "tester",
        *,
        publish: tuple[str, ...] = (">",),
        subscribe: tuple[str, ...] = (">",),
    ) -> Bus:
        """A user of the workspace; by default one who may do anything in it."""
        credentials = self.user(self.workspace, publish=publish, subscribe=subscribe)
        return await connect([self.url], credentials, name=owner, inbox=subjects.inbox(owner))
