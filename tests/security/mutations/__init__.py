"""Every guard of the table of threats, taken away."""

from typing import Final

from tests.security.mutation import Mutation
from tests.security.mutations import access, bus, containers, outside

ALL: Final[tuple[Mutation, ...]] = (
    *access.MUTATIONS,
    *bus.MUTATIONS,
    *containers.MUTATIONS,
    *outside.MUTATIONS,
)
