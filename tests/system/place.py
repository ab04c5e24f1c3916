"""Where containers reach this host."""

import anyio
from squall_server.place import choose


def gateway() -> str:
    """The listening host the one-machine server would choose with Docker."""

    async def ask() -> str:
        return (await choose("docker", "squall")).listen_host

    return anyio.run(ask)
