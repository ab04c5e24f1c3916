"""Making a connection: each server in turn, and in one line why none took us."""

import base64
import ssl
from collections.abc import Callable, Sequence
from typing import Any

import nkeys

from squall_bus.errors import BusError, BusRefused, BusUnreachable
from squall_bus.tasks import within
from squall_bus.wire.nats_wire import RECONNECT_WAIT_S, NatsWire
from squall_bus.wire.stock import nats_errors

PING_S = 8
"""Three unanswered in a row and the connection counts as lost: after a broken network the kernel alone
might not try again for minutes."""


async def open_wire(
    servers: Sequence[str],
    *,
    name: str,
    inbox: str,
    jwt: Callable[[], str],
    seed: str,
    timeout_s: float,
    ca_file: str = "",
) -> NatsWire:
    """Connect to the first server that answers; each is tried once. An empty `seed`: without
    credentials. BusUnreachable, BusRefused.

    A `tls://` or `wss://` server must show a certificate for its name, of an authority in `ca_file`
    (PEM), or where that is empty in SSL_CERT_FILE or the system's.
    """
    secured = ssl_context(servers, ca_file)
    signing_in = _signing_in(jwt, seed) if seed else {}
    failure: BusError = BusUnreachable("no server is named: give at least one NATS URL")
    for url in servers:
        wire = NatsWire(inbox)
        try:
            await within(
                timeout_s,
                wire.connect(
                    [url],
                    name=name,
                    inbox_prefix=inbox,
                    **signing_in,
                    tls=secured,
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    reconnect_time_wait=RECONNECT_WAIT_S,  # type: ignore[arg-type]
                    connect_timeout=timeout_s,  # type: ignore[arg-type]
                    error_cb=wire.on_error,
                    disconnected_cb=wire.on_lost,
                    reconnected_cb=wire.on_reconnected,
                    closed_cb=wire.on_closed,
                    ping_interval=PING_S,
                ),
            )
        except (nats_errors.Error, OSError, TimeoutError) as error:
            failure = _why(url, wire, error, timeout_s)
            await wire.close()
            if isinstance(failure, BusRefused):
                break
            continue
        if url.startswith("tls://") and not wire.is_encrypted:
            await wire.close()
            raise BusRefused(f"{url} does not speak TLS: is it the server you mean?")
        wire.options["allow_reconnect"] = True
        wire.options["max_reconnect_attempts"] = -1
        wire.set_server_pool(list(servers))
        return wire
    raise failure


def show_certificates(servers: Sequence[str]) -> bool:
    """Whether any of them does."""
    return any(url.startswith(("tls://", "wss://")) for url in servers)


def ssl_context(servers: Sequence[str], ca_file: str) -> ssl.SSLContext | None:
    """What certificates are checked with; None: no server wants any. BusRefused for a bad file."""
    if not ca_file and not show_certificates(servers):
        return None
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise BusRefused(f"ca_file: {ca_file} holds no certificates: {error}") from error


def _signing_in(jwt: Callable[[], str], seed: str) -> dict[str, Any]:
    keys = nkeys.from_seed(bytearray(seed.encode()))
    return {
        "user_jwt_cb": lambda: bytearray(jwt().encode()),
        "signature_cb": lambda nonce: base64.b64encode(keys.sign(nonce.encode())),
    }


def _why(url: str, wire: NatsWire, error: Exception, timeout_s: float) -> BusError:
    text = str(error).removeprefix("nats: ").strip("'")
    if isinstance(wire.failure, ssl.SSLCertVerificationError):
        why = wire.failure.verify_message or str(wire.failure)
        return BusRefused(f"{url} shows a certificate that is not trusted: {why}; set ca_file")
    if isinstance(error, TimeoutError) and not isinstance(error, nats_errors.Error):
        return BusUnreachable(f"{url} did not answer in {timeout_s:g} s: is the server running?")
    if isinstance(error, (nats_errors.NoServersError, OSError)):
        text = text if isinstance(error, OSError) else wire._last_error
        return BusUnreachable(f"can't reach {url}: {text}; is the server running?")
    if "authentication timeout" in text.lower():
        return BusUnreachable(f"{url} did not let us in within its time: it has too much to do")
    if "authori" in text.lower() or "authenti" in text.lower() or "maximum" in text.lower():
        return BusRefused(f"{url} refuses these credentials: {text}; get new ones")
    return BusUnreachable(f"{url} does not answer as a NATS server: {text}")
