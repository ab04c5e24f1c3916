"""The secrets an image is built with: asked for when its build begins, opened, and hidden in its log.

They are in this process while the image is built, and in the environment of the steps they are for.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from squall_bus.access.sealing import KeyPair, Unsealable, new_pair
from squall_bus.bus import Bus
from squall_contracts import access_subjects, images
from squall_contracts.failures import Refused
from squall_contracts.secrets import (
    BuildSecrets,
    BuildSecretsReply,
    OpenBuildSecrets,
    Resealed,
)

from squall_builder.built import BuildError, StepValues

SHORTEST: Final = 4
"""A value shorter than this is in every other word: hiding it would hide the log."""
HIDDEN: Final = "****"


async def opened(bus: Bus, order: images.BuildImage) -> StepValues:
    """The variables of each step that has any. BuildError names what can't be had; BusError."""
    wanted = images.build_secrets(order.recipe)
    if not wanted:
        return {}
    if not order.grant:
        raise BuildError("the values of its secrets came with the app: run or deploy it again")
    pair = new_pair()
    reply: BuildSecrets | Refused = await bus.request(
        access_subjects.OPEN_BUILD_SECRETS,
        OpenBuildSecrets(
            workspace=order.workspace,
            image_id=order.image_id,
            secrets=wanted,
            own=order.own,
            grant=order.grant,
            public_key=pair.public,
        ),
        BuildSecretsReply,
    )
    if isinstance(reply, Refused):
        raise BuildError(f"secrets: {reply.message}")
    clear = iter([_open(pair, order.workspace, each) for each in reply.secrets])
    found: dict[int, dict[str, str]] = {}
    for number, step in enumerate(order.recipe.steps, 1):
        for _ in images.step_secrets(step):
            found.setdefault(number, {}).update(next(clear))
    return found


def _open(pair: KeyPair, account: str, variables: Mapping[str, Resealed]) -> dict[str, str]:
    try:
        return pair.open_all(variables, account)
    except Unsealable as error:
        raise BuildError(f"secrets: {error}; create them again") from error


def needles(values: StepValues) -> tuple[str, ...]:
    """What a log must not show: the values line by line, the longest first."""
    found = {
        line
        for variables in values.values()
        for value in variables.values()
        for line in (value.strip(), *value.splitlines())
        if len(line.strip()) >= SHORTEST
    }
    return tuple(sorted(found, key=lambda line: (-len(line), line)))


def hide(text: str, hidden: Iterable[str]) -> str:
    """The text with nothing of `hidden` in it."""
    for needle in hidden:
        text = text.replace(needle, HIDDEN)
    return text
