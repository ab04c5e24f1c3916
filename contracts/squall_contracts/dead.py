"""Dead letters: inputs that failed for good, kept so that they can be read and run again.

A letter is stored before its input is acked, under the input's own id, so there is one at most.
"""

from typing import Any

import msgspec

from squall_contracts.calls import Inputs, Lane, Payload
from squall_contracts.failures import Failure
from squall_contracts.functions import MethodSpec, RetryPolicy, Variant
from squall_contracts.message import Message, input_id

LONGEST_TRACEBACK = 64 * 1024


class DeadLetter(Message, frozen=True, kw_only=True):
    """One input that failed for good, as the stream DEAD holds it."""

    letter_id: str
    """The input's id."""
    function_id: str
    function_name: str
    app_id: str
    app_name: str
    environment: str
    call_id: str
    index: int
    payload: Payload
    """Its pickled `(args, kwargs)`; a blob is the letter's own copy."""
    attempts: int
    """How often user code was started by the retry policy, the first time included."""
    deaths: int = 0
    """How many containers died under it."""
    failure: Failure
    """The last one, without the pickled exception."""
    died_unix_s: float
    parent: str = ""
    """Id of the input during which the call was made; empty for calls from outside."""
    is_generator: bool = False
    """Whether its function yields: how a retry's results are read."""
    method: str = ""
    """The method it called, where the function is a class."""
    arguments: dict[str, Any] = {}
    """The parameters of the class's pool; empty for the class itself, or a function."""
    variant: Variant | None = None
    """The options of its pool; None: as declared."""
    declared_id: str = ""
    """The function or class itself, where `function_id` is a pool of it; empty: it is none."""


def is_kept(failure: Failure, policy: RetryPolicy | None, lane: Lane, reply_to: str) -> bool:
    """Whether an input that failed so leaves a letter.

    It does when its function has a retry policy, when it was spawned by itself, and when its
    containers died. It does not when somebody cancelled it, and not when it merely raised in
    `remote` or `map` without retries: the caller has the error, and a map of a million inputs
    that fail would be stored twice.
    """
    if failure.kind == "cancelled":
        return False
    if failure.kind == "container_lost" or policy is not None:
        return True
    return lane == "now" and reply_to.startswith("result.")


class Mourned(msgspec.Struct, frozen=True):
    """The function a letter is about."""

    function_id: str
    function_name: str
    app_id: str
    app_name: str
    environment: str
    is_generator: bool
    methods: tuple[MethodSpec, ...] = ()
    arguments: dict[str, Any] = {}
    variant: Variant | None = None
    declared_id: str = ""


def letter(
    inputs: Inputs,
    position: int,
    function: Mourned,
    failure: Failure,
    died_unix_s: float,
    *,
    deaths: int = 0,
) -> DeadLetter:
    """What is kept of one input of a message."""
    item = inputs.items[position]
    return DeadLetter(
        letter_id=input_id(inputs.call_id, item.index),
        function_id=function.function_id,
        function_name=function.function_name,
        app_id=function.app_id,
        app_name=function.app_name,
        environment=function.environment,
        call_id=inputs.call_id,
        index=item.index,
        payload=item.payload,
        attempts=inputs.attempt + 1,
        deaths=deaths,
        failure=msgspec.structs.replace(
            failure, pickled=None, traceback=failure.traceback[-LONGEST_TRACEBACK:]
        ),
        died_unix_s=died_unix_s,
        parent=inputs.parent,
        is_generator=function.is_generator
        or any(m.is_generator for m in function.methods if m.name == inputs.method),
        method=inputs.method,
        arguments=function.arguments,
        variant=function.variant,
        declared_id=function.declared_id,
    )
