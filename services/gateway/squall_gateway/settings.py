"""Knobs of the gateway."""

from typing import Annotated

import msgspec
from msgspec import Meta

Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(gt=0)]
Port = Annotated[int, Meta(ge=0, le=65535)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    keys_dir: str
    """Directory of the operator's and the accounts' seeds; made when it is missing."""
    workspaces: tuple[str, ...] = ("main",)
    """Workspaces that exist from the start; others are made by whoever holds the keys."""
    admin_token_file: str = ""
    """Where the first run writes an operator's token, if there is none of any kind yet; empty:
    nowhere."""
    credential_ttl_s: Positive = 3600.0
    """For how long credentials are minted; holders renew them before."""
    app_ttl_s: Positive = 45.0
    """An ephemeral app whose client is silent for so long is stopped."""
    stopped_ttl_s: Positive = 3600.0
    """For how long a stopped ephemeral app stays listed."""
    pool_idle_s: Positive = 3600.0
    """A pool of a class's parameters, or of options, that nobody asked for or used for so long is
    removed until somebody does. Clients ask again after half of it."""
    sandbox_kept_s: Positive = 3 * 24 * 3600.0
    """For how long a sandbox that has ended is found by its id, with its exit code."""
    versions_kept: Annotated[int, Meta(ge=1)] = 20
    """Of each deployed app: how many versions are listed, and can be rolled back to."""
    volume_sweep_s: Positive = 3600.0
    """How often blocks that no volume refers to any more are looked for."""
    drain_s: Positive = 10.0
    web_host: str = "127.0.0.1"
    """The address web requests are taken at; `0.0.0.0`: all of the machine's."""
    web_ports: tuple[Port, ...] = (8000,)
    """The first of these that is free is listened on; 0: any."""
    web_domain: str = ""
    """`squall.example.org`: endpoints are at its subdomains, `<name>.squall.example.org`. Empty:
    they are at `<web_url>/web/<name>`. In either case both forms are answered."""
    web_url: str = ""
    """How clients reach the listener, such as `https://squall.example.org`; empty: by its host and
    port."""
    web_address_file: str = ""
    """A file the listener's own URL is written to; empty: none."""
    tunnel_ports: tuple[Port, Port] = (0, 0)
    """First and last of the ports tunnels of containers may listen on; 0, 0: any that is free."""
    tunnel_listen: str = ""
    """The address they listen on; empty: as `web_host`."""
    tunnel_host: str = ""
    """The name of this machine as clients of tunnels reach it; empty: the address, or localhost."""
    web_trusted_proxies: tuple[str, ...] = ()
    """Addresses or ranges, such as `10.0.0.0/8`, whose forwarded headers are believed."""
    web_access_log: bool = True
    dashboard: bool = True
    """Whether the dashboard is served, at `<web_url>/dashboard/`."""
    web_max_connections: Count = 10_000
    web_max_header_bytes: Count = 16 * 1024
    """Of the request line, and of one header."""
    web_max_headers: Count = 128
    web_max_body_bytes: Count = 4 * 1024**3
    web_max_message_bytes: Count = 2 * 1024**2
    """Of one WebSocket message from a client."""
    web_head_patience_s: Positive = 20.0
    """How long a connection may be without a whole request head, at first and between requests."""
    web_client_patience_s: Positive = 60.0
    """How long a client may neither send of its body nor read of its response."""
    web_request_wait_s: Positive = 150.0
    """After this long without a response, a request is answered 303: come back for it."""
    web_parked_s: Positive = 60.0
    """How long a client may take to come back before its request is cancelled."""
    rest_max_body_bytes: Count = 32 * 1024**2
    """Of one request of the REST API: a call's arguments, as JSON."""
