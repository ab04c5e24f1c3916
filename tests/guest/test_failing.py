"""What becomes of inputs whose function fails."""

import pytest
from squall import _pickling
from squall.exception import DeserializationError, InvalidError, SerializationError
from squall_contracts import subjects
from squall_contracts.calls import Raised, Retrying
from squall_contracts.dead import DeadLetter
from squall_contracts.functions import RetryPolicy
from squall_contracts.message import decode

from tests.guest import functions
from tests.guest.rig import ENVIRONMENT, Rig


async def test_an_exception_travels_with_its_type_and_the_users_frames(rig: Rig) -> None:
    function = await rig.function("fail")
    guest = await function.guest()
    failure = await (await function.call("bad row")).failure()
    assert failure.kind == "exception"
    assert failure.message == "Odd: bad row"
    assert failure.exception_type == "functions.Odd"
    assert "functions.py" in failure.traceback
    assert "in fail" in failure.traceback
    assert "squall_guest" not in failure.traceback
    assert failure.pickled is not None
    assert await (await function.call("again")).failure()
    assert guest.process.poll() is None


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        ("exit", "exception", "SystemExit: 3"),
        ("unpicklable", "exception", "Unpicklable: kept"),
        ("two", "exception", "WantsTwo: ab"),
        ("lock", "result", "SerializationError: can't pickle a lock"),
        ("generator", "exception", "InvalidError: fail_how returned a generator"),
    ],
)
async def test_every_way_to_fail_is_an_answer(rig: Rig, how: str, kind: str, message: str) -> None:
    function = await rig.function("fail_how")
    await function.guest()
    failure = await (await function.call(how)).failure()
    assert failure.kind == kind
    assert failure.message.startswith(message)
    if how in ("unpicklable", "two"):
        assert failure.pickled is None
    elif how == "lock":
        assert isinstance(_pickling.loads(failure.pickled), SerializationError)
    elif how == "generator":
        assert isinstance(_pickling.loads(failure.pickled), InvalidError)
    assert await (await function.call("fine")).value() == "fine"


async def test_arguments_that_cannot_be_read_fail_only_their_input(rig: Rig) -> None:
    function = await rig.function("double")
    await function.guest()
    good = _pickling.dumps(((4,), {}))
    bad = good.replace(b"K\x04", b"\xff\x04")
    missing = b"\x80\x04cno_such_module\nthing\n."
    call = await function.group([good, bad, missing, good])
    outcomes = await call.outcomes(4)
    assert [type(outcomes[at]) is Raised for at in range(4)] == [False, True, True, False]
    for at in (1, 2):
        assert outcomes[at].failure.kind == "arguments"
        assert isinstance(_pickling.loads(outcomes[at].failure.pickled), DeserializationError)
    assert "no_such_module" in outcomes[2].failure.message


async def test_wrong_arguments_are_a_type_error(rig: Rig) -> None:
    function = await rig.function("double")
    await function.guest()
    failure = await (await function.call(1, 2, 3)).failure()
    assert failure.message.startswith("TypeError: double() takes 1 positional argument")


async def test_a_generator_that_fails_midway_keeps_its_earlier_items(rig: Rig) -> None:
    function = await rig.function("count", is_generator=True)
    await function.guest()
    call = await function.call(10, fail_at=4)
    failure = await call.failure()
    assert failure.message == "Odd: at 4"
    assert call.yielded() == [0, 1, 2, 3]


async def test_a_function_that_is_no_generator_although_declared_one(rig: Rig) -> None:
    function = await rig.function("double", is_generator=True)
    await function.guest()
    failure = await (await function.call(1)).failure()
    assert failure.message.startswith("InvalidError: double is declared a generator")


async def test_a_failing_input_is_retried_until_it_succeeds(rig: Rig) -> None:
    policy = RetryPolicy(max_retries=3, initial_delay_s=1.0)
    function = await rig.function("fail_twice", retry=policy)
    await function.guest()
    call = await function.call(7)
    assert await call.value() == 7
    retries = [report for report in call.reports if isinstance(report, Retrying)]
    assert [(r.attempt, r.delay_s, r.message) for r in retries] == [
        (0, 1.0, "Odd: attempt 1"),
        (1, 1.0, "Odd: attempt 2"),
    ]
    await function.settled()


async def letters(rig: Rig, function_id: str) -> list[str]:
    stored = await rig.bus.admin.backlog(subjects.DEAD, subjects.dead_letters(ENVIRONMENT))
    return [subject for subject in stored if function_id in subject]


async def test_the_last_error_counts_when_all_retries_fail(rig: Rig) -> None:
    function = await rig.function("fail", retry=RetryPolicy(max_retries=1))
    await function.guest()
    call = await function.call("always")
    assert (await call.failure()).message == "Odd: always"
    assert sum(isinstance(report, Retrying) for report in call.reports) == 1
    await function.settled()
    (subject,) = await letters(rig, function.function_id)
    message = await rig.bus.admin.last_message(subjects.DEAD, subject)
    assert message is not None
    letter = decode(message.data, DeadLetter)
    assert (letter.attempts, letter.failure.message) == (2, "Odd: always")


async def test_a_failure_without_retries_leaves_no_letter(rig: Rig) -> None:
    function = await rig.function("fail")
    await function.guest()
    call = await function.call("always")
    assert (await call.failure()).message == "Odd: always"
    await function.settled()
    assert not await letters(rig, function.function_id)


def test_the_functions_module_is_the_one_shipped() -> None:
    assert functions.double(2) == 4
