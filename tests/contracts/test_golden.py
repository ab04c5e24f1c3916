"""Today reads what yesterday wrote, and what tomorrow adds."""

from typing import Any

import msgspec
import pytest
from squall_contracts.failures import Failure
from squall_contracts.message import CONTRACT, Message, decode, encode

from .golden import all_messages, example, load, today

MESSAGES = all_messages()
KEPT = load()


@pytest.mark.parametrize("name", MESSAGES)
def test_bytes_of_every_message_are_kept(name: str) -> None:
    kept = KEPT.get(name, [])
    assert today(MESSAGES[name]) in kept[-1:], "run python -m tests.contracts.golden and commit"


@pytest.mark.parametrize("name", sorted(KEPT))
def test_all_that_was_ever_written_is_read(name: str) -> None:
    kind = MESSAGES.get(name)
    assert kind is not None, f"{name} went: keep its kind as long as anybody may send it"
    for written in KEPT[name]:
        assert isinstance(decode(bytes.fromhex(written), kind), kind)
    assert decode(bytes.fromhex(KEPT[name][-1]), kind) == example(kind)


@pytest.mark.parametrize("name", MESSAGES)
def test_what_a_newer_version_adds_is_ignored(name: str) -> None:
    kind = MESSAGES[name]
    wire: Any = msgspec.msgpack.decode(encode(example(kind)))
    if isinstance(wire, dict):
        wire["added_later"] = {"deeply": [1, 2]}
    else:
        wire.append("added later")
    assert decode(encode(wire), kind) == example(kind)


def test_another_contract_is_refused_by_saying_what_to_do() -> None:
    wire = encode({"kind": "timeout", "message": "m", "contract": CONTRACT + 1})
    with pytest.raises(msgspec.ValidationError, match=r"newer Squall.*upgrade this one"):
        decode(wire, Failure)


def test_contract_costs_nothing_on_the_wire() -> None:
    for kind in MESSAGES.values():
        if issubclass(kind, Message):
            assert b"contract" not in encode(example(kind))
