"""Calls from other languages: arguments and results are JSON, and what is not is said."""

import dataclasses
import datetime
import decimal
import enum
import json
import uuid

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from squall.exception import SerializationError
from squall_contracts.calls import Returned, Yielded
from squall_contracts.functions import BatchPolicy
from squall_guest.forms import to_json

from tests.guest.rig import Rig


def sent(*args: object, **kwargs: object) -> list[bytes | object]:
    return [json.dumps({"args": args, "kwargs": kwargs}).encode()]


async def test_arguments_reach_the_function_as_plain_values_and_its_result_comes_as_json(
    rig: Rig,
) -> None:
    function = await rig.function("noop")
    await function.guest()
    value = {"a": [1, 2.5, None, True, "é"], "b": 10**30}
    for payload in (sent(value), sent(value=value)):
        call = await function.group(payload, "now")  # type: ignore[arg-type]
        outcome = await call.outcome()
        assert isinstance(outcome, Returned)
        assert json.loads(outcome.payload) == value  # type: ignore[arg-type]
    failure = await (await function.group(sent(1, 2, 3), "now")).failure()  # type: ignore[arg-type]
    assert failure.kind == "arguments"
    assert "noop(value: object = None)" in failure.message
    assert (await (await function.call("pickled")).value()) == "pickled"


async def test_a_result_that_can_not_be_json_is_a_failure_of_its_own_kind(rig: Rig) -> None:
    function = await rig.function("unjsonable")
    await function.guest()
    failure = await (await function.group(sent(), "now")).failure()  # type: ignore[arg-type]
    assert failure.kind == "result"
    assert failure.exception_type == "squall.exception.SerializationError"
    assert "can't be JSON" in failure.message


async def test_items_of_a_generator_are_json_too(rig: Rig) -> None:
    function = await rig.function("count", is_generator=True)
    await function.guest()
    call = await function.group(sent(3), "now")  # type: ignore[arg-type]
    await call.outcome()
    items = [each.payload for each in call.reports if isinstance(each, Yielded)]
    assert items == [b"0", b"1", b"2"]


async def test_json_and_pickled_inputs_share_a_batch_and_each_gets_its_own_form(rig: Rig) -> None:
    function = await rig.function(
        "in_batch_async", is_async=True, batch=BatchPolicy(max_size=2, wait_s=5)
    )
    await function.guest()
    by_json = await function.group(sent(4), "now")  # type: ignore[arg-type]
    pickled = await function.call(5)
    assert (await by_json.outcome()).payload == b"4"
    assert await pickled.value() == 5


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    at: datetime.date


class Dumped:
    def model_dump(self, mode: str) -> dict[str, str]:
        return {"mode": mode}


class Array:
    def tolist(self) -> list[int]:
        return [1, 2]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1, 2), [1, 2]),
        ({3}, [3]),
        (b"ab", "YWI="),
        (datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), "2026-01-02T00:00:00Z"),
        (decimal.Decimal("1.10"), "1.10"),
        (uuid.UUID(int=0), "00000000-0000-0000-0000-000000000000"),
        ([Colour.RED], ["red"]),
        (Point(1, datetime.date(2026, 1, 2)), {"x": 1, "at": "2026-01-02"}),
        ({"d": Dumped(), 1: Array()}, {"d": {"mode": "json"}, "1": [1, 2]}),
    ],
)
def test_what_has_one_obvious_form_in_json_gets_it(value: object, expected: object) -> None:
    assert json.loads(to_json(value)) == expected


NESTED: list[object] = []
NESTED.append(NESTED)


@pytest.mark.parametrize(
    "value",
    [object(), float("nan"), float("inf"), {(1, 2): 3}, "\ud800", NESTED, lambda: 1],
    ids=["object", "nan", "inf", "key", "surrogate", "cycle", "function"],
)
def test_what_has_none_is_refused(value: object) -> None:
    with pytest.raises(SerializationError, match="can't be JSON"):
        to_json(value)


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@given(PLAIN)
def test_plain_values_come_back_as_they_are(value: object) -> None:
    assert msgspec.json.decode(to_json(value)) == value
