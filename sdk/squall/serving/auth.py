"""Keys that callers of a service must send."""

import hmac
import os
from collections.abc import Callable

from fastapi import HTTPException, Request

from squall.serving.errors import AuthConfigError
from squall.serving.settings import AuthConfig


def key_check(auth: AuthConfig) -> Callable[[Request], None]:
    """A FastAPI dependency that lets nobody in without one of the keys: 401.

    AuthConfigError if there is no key in the variable that the secret should have.
    """
    keys = [key.strip().encode() for key in os.environ.get(auth.key, "").split(",") if key.strip()]
    if not keys:
        raise AuthConfigError(
            f"auth_config: the variable {auth.key} has no keys: put them into the secret "
            f"{auth.secret!r}, as in `squall secret create {auth.secret} {auth.key}=…`"
        )

    def check(request: Request) -> None:
        given = request.headers.get(auth.auth_header, "").encode()
        if not any(hmac.compare_digest(given, key) for key in keys):
            raise HTTPException(401, f"the header {auth.auth_header} must have one of the keys")

    return check
