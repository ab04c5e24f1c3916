"""By which authorities containers know NATS: those by which their runner does."""

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from squall_bus.wire.opening import show_certificates

_USUAL: Final = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
"""Where Debian and Fedora keep what OpenSSL itself reads from a directory."""


def authorities(servers: Sequence[str]) -> bytes:
    """Their certificates (PEM): of SSL_CERT_FILE, or the system's. Empty: no server shows one, or
    there are none here, so that containers go by what their image has. OSError."""
    if not show_certificates(servers):
        return b""
    own = ssl.get_default_verify_paths().cafile or ""
    for place in (own, *_USUAL):
        if Path(place).is_file():
            return Path(place).read_bytes()
    return b""
