"""Secrets of image builds: granted to whoever orders one, sealed anew to the builder that makes it.

A builder is told the values of what a client of the workspace ordered, and of nothing else: each
order carries a grant that only a gateway can make, so nothing has to be kept meanwhile.
"""

from collections.abc import Mapping

import structlog
from squall_bus.errors import SquallRefusal
from squall_contracts import images, secrets
from squall_contracts.message import encode
from squall_contracts.secrets import Sealed, StepSecret

from squall_gateway.resealing import Resealing, resealed, rewrapped
from squall_gateway.secrets import Secrets
from squall_gateway.validation import InvalidFieldError, check_sealed

log = structlog.get_logger()


class BuildSecrets:
    """Answers clients who order images, and builders."""

    def __init__(self, stored: Secrets, keys: Resealing) -> None:
        self._stored = stored
        self._keys = keys

    async def grant(self, account: str, image_id: str, request: images.EnsureImage) -> bytes:
        """For the order of an image; empty where it needs none. SquallRefusal names a secret or a
        variable that can't be had."""
        wanted = images.build_secrets(request.recipe)
        if not wanted and not request.own:
            return b""
        for own in request.own:
            try:
                check_sealed("an image's secret", own)
            except InvalidFieldError as error:
                raise SquallRefusal("invalid", str(error)) from error
        keys = await self._keys.load(account)
        for variables in await self._variables(account, wanted, request.own):
            for name, each in variables.items():
                rewrapped(keys, account, f"image: variable {name}", each)
        return keys.current.grant(_content(account, image_id, wanted, request.own))

    async def open(self, _: str, request: secrets.OpenBuildSecrets) -> secrets.BuildSecrets:
        account = request.workspace
        keys = await self._keys.load(account)
        content = _content(account, request.image_id, request.secrets, request.own)
        if not any(pair.granted(content, request.grant) for pair in keys.pairs.values()):
            raise SquallRefusal(
                "denied",
                f"nobody ordered image {request.image_id} with these secrets since the sealing "
                "keys were revoked: run or deploy the app again",
            )
        found = await self._variables(account, request.secrets, request.own)
        log.info("secrets.resealed", image_id=request.image_id, workspace=account)
        return secrets.BuildSecrets(
            secrets=tuple(
                resealed(keys, account, "image: variable", variables, request.public_key)
                for variables in found
            )
        )

    async def _variables(
        self, account: str, wanted: tuple[StepSecret, ...], own: tuple[dict[str, Sealed], ...]
    ) -> list[Mapping[str, Sealed]]:
        """Of each secret, in order."""
        given = iter(own)
        found: list[Mapping[str, Sealed]] = []
        for secret in wanted:
            if secret.name:
                record = await self._stored.record(account, secret)
                found.append(record.variables)
                continue
            variables = next(given, None)
            if variables is None or tuple(sorted(variables)) != secret.keys:
                raise SquallRefusal(
                    "invalid", "own: an image's values are not those its recipe names"
                )
            found.append(variables)
        return found


def _content(
    account: str,
    image_id: str,
    wanted: tuple[StepSecret, ...],
    own: tuple[dict[str, Sealed], ...],
) -> bytes:
    return encode((account, image_id, wanted, own))
