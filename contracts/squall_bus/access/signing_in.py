"""A token's way to credentials: ask in the lobby, where anybody may, for a key made here."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from squall_contracts import access_subjects, subjects
from squall_contracts.failures import Refused
from squall_contracts.guest import Credentials
from squall_contracts.identity import MintReply, Renew
from squall_contracts.message import new_id
from squall_contracts.tokens import Caller, SignIn, SignInReply

from squall_bus.connection import connect
from squall_bus.errors import BusRefused, NoResponder

if TYPE_CHECKING:
    from squall_bus.access.accounts import Key
    from squall_bus.bus import Bus

SIGN_IN_TIMEOUT_S: Final = 10.0


class SignedInBus(NamedTuple):
    """A connection made with a token, and whose it is."""

    bus: "Bus"
    caller: Caller
    seed: str
    """Of the key the credentials were made for."""


async def credentials_for(
    servers: Sequence[str], token: str, key: "Key", runner_id: str = "", ca_file: str = ""
) -> tuple[Credentials, Caller]:
    """Credentials of `key`, a user's, in exchange for `token` (`<id>.<secret>`); with `runner_id`
    those of a runner. BusRefused says why there are none; BusUnreachable."""
    inbox = f"{subjects.inbox(access_subjects.LOBBY_OWNER)}.{new_id('in')}"
    async with await connect(
        servers, None, name="squall sign-in", inbox=inbox, ca_file=ca_file
    ) as lobby:
        request = SignIn(token=token, public_key=key.public, runner_id=runner_id)
        try:
            reply = await lobby.request(
                access_subjects.SIGN_IN, request, SignInReply, timeout_s=SIGN_IN_TIMEOUT_S
            )
        except NoResponder as error:
            raise BusRefused("no gateway answers there to sign in: is one running?") from error
    if isinstance(reply, Refused):
        raise BusRefused(reply.message)
    return Credentials(jwt=reply.jwt, seed=key.seed), reply.caller


async def sign_in(
    servers: Sequence[str], token: str, *, name: str, ca_file: str = ""
) -> SignedInBus:
    """Connect with a token; credentials are renewed as long as it is good. Raises as
    credentials_for."""
    from squall_bus.access.accounts import new_key

    key = new_key("user")
    credentials, caller = await credentials_for(servers, token, key, ca_file=ca_file)

    async def renew(_old: str) -> str:
        # In the lobby again: it is open also to who slept until the old credentials had expired.
        return (await credentials_for(servers, token, key, ca_file=ca_file))[0].jwt

    bus = await connect(
        servers,
        credentials,
        name=name,
        inbox=subjects.inbox(key.public),
        renew=renew,
        ca_file=ca_file,
    )
    return SignedInBus(bus, caller, key.seed)


async def whoever(servers: Sequence[str], token: str, ca_file: str = "") -> Caller:
    """Whose token it is. Raises as credentials_for."""
    from squall_bus.access.accounts import new_key

    return (await credentials_for(servers, token, new_key("user"), ca_file=ca_file))[1]


def renewing(held: "list[Bus]") -> Callable[[str], Awaitable[str]]:
    """How a holder of credentials alone renews them: over its own connection, which `held` has by then."""

    async def renew(jwt: str) -> str:
        reply = await held[0].request(subjects.UP_RENEW, Renew(jwt=jwt), MintReply)
        if isinstance(reply, Refused):
            raise BusRefused(reply.message)
        return str(reply.jwt)

    return renew
