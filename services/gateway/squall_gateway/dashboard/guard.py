"""Which requests may be answered with a session's data. Pure.

Apps without a domain of their own are served at `/web/…` of the same origin, so their scripts could
ask for our pages with the visitor's cookie. Browsers say what a request is for: pages are given to
navigations of a whole window only, which nobody else's script can read, and everything else needs the
key that stands in the page.
"""

import hmac
from collections.abc import Mapping
from typing import Final

KEY_HEADER: Final = "Squall-Form-Key"
KEY_FIELD: Final = "key"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
"""On whatever the dashboard answers."""


def may_read(headers: Mapping[str, str], key: str, given: str) -> bool:
    """Whether a GET may be answered. `key` is the session's, `given` what came with the request."""
    if given:
        return hmac.compare_digest(given.encode("utf-8", "replace"), key.encode())
    destination = headers.get("Sec-Fetch-Dest", "document")
    return destination == "document" and headers.get("Sec-Fetch-Mode", "navigate") == "navigate"


def may_act(headers: Mapping[str, str], host: str, scheme: str, key: str, given: str) -> bool:
    """Whether a POST may do what it says: from our own pages, with the session's key."""
    origin = headers.get("Origin")
    if origin is not None and origin != f"{scheme}://{host}":
        return False
    if headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        return False
    return hmac.compare_digest(given.encode("utf-8", "replace"), key.encode())
