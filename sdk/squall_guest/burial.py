"""Which failed inputs of this container leave a dead letter, and what it says."""

import time

from squall_contracts import dead
from squall_contracts.calls import Raised
from squall_contracts.guest import Assignment

from squall_guest.desk import Held


class Undertaker:
    """Writes letters about one function's inputs."""

    def __init__(self, assignment: Assignment) -> None:
        self._policy = assignment.spec.retry
        declared_id = assignment.function_ids.get(assignment.spec.name, "")
        self._function = dead.Mourned(
            assignment.function_id,
            assignment.spec.name,
            assignment.app_id,
            assignment.app_name,
            assignment.environment,
            assignment.spec.is_generator,
            assignment.spec.methods,
            assignment.spec.arguments,
            assignment.spec.variant,
            "" if declared_id == assignment.function_id else declared_id,
        )

    def keeps(self, held: Held, raised: Raised) -> bool:
        """Whether this final failure leaves a letter."""
        if held.cancelled:
            return False
        return dead.is_kept(raised.failure, self._policy, held.lane, held.inputs.reply_to)

    def letter(self, held: Held, raised: Raised) -> dead.DeadLetter:
        indexes = [item.index for item in held.inputs.items]
        position = indexes.index(raised.index)
        return dead.letter(held.inputs, position, self._function, raised.failure, time.time())
