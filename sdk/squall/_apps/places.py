"""Whether an environment is there, asked before anything is made in it."""

from typing import TYPE_CHECKING

from squall_contracts.environments import DEFAULT, FindEnvironment

if TYPE_CHECKING:
    from squall._client import Client


async def require(client: "Client", environment: str) -> None:
    """NotFoundError, with the names there are, unless it exists; `main` always does."""
    if environment != DEFAULT:
        await client.control(FindEnvironment(name=environment))
