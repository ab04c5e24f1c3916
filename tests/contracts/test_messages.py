"""Wire stability: bytes that are on the bus today can be read tomorrow."""

import importlib
import pkgutil
import re
import subprocess
import sys

import msgspec
import pytest
import squall_contracts
from squall_contracts.calls import BlobRef, Input, Inputs, Raised, Results, Returned, Yielded
from squall_contracts.failures import Failure
from squall_contracts.functions import Resources, Scaling
from squall_contracts.images import (
    ContextFile,
    DebianSlim,
    PipInstall,
    Recipe,
    RunFunction,
    image_id,
)
from squall_contracts.message import Message, decode, encode


def all_messages() -> list[type[msgspec.Struct]]:
    found: list[type[msgspec.Struct]] = []
    for module in pkgutil.iter_modules(squall_contracts.__path__):
        names = vars(importlib.import_module(f"squall_contracts.{module.name}"))
        found += [
            kind
            for kind in names.values()
            if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind is not Message
        ]
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("kind", all_messages(), ids=lambda kind: kind.__name__)
def test_every_message_is_frozen_and_explained_or_named(kind: type[msgspec.Struct]) -> None:
    assert kind.__struct_config__.frozen


@pytest.mark.parametrize(
    ("message", "golden"),
    [
        (
            Inputs("fc-1", "reply.main.c.fc-1", (Input(0, b"x"),)),
            b"\x98\xa4fc-1\xb1reply.main.c.fc-1\x91\x92\x00\xc4\x01x\x00\xa0\xa0\xc0\xa0",
        ),
        (
            Results("fc-1", "ct-1", (Returned(0, b"x", 0.5),)),
            b"\x93\xa4fc-1\xa4ct-1\x91\x94\xa1r\x00\xc4\x01x\xcb?\xe0\x00\x00\x00\x00\x00\x00",
        ),
        (
            Failure(kind="timeout", message="too long"),
            b"\x82\xa4kind\xa7timeout\xa7message\xa8too long",
        ),
    ],
)
def test_golden_bytes_hold(message: object, golden: bytes) -> None:
    assert encode(message) == golden
    assert decode(golden, type(message)) == message


def test_every_report_survives_the_wire() -> None:
    blob = BlobRef(name="fc-1/0", size_bytes=9, sha256="00")
    results = Results(
        "fc-1",
        "ct-1",
        (
            Returned(0, blob),
            Raised(1, Failure(kind="exception", message="no")),
            Yielded(2, 0, 3, b""),
        ),
    )
    assert decode(encode(results), Results) == results


def test_unknown_fields_are_ignored_so_that_messages_can_grow() -> None:
    wire = encode({"kind": "timeout", "message": "m", "added_later": 1})
    assert decode(wire, Failure) == Failure(kind="timeout", message="m")


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        (Resources, {"cpu": 0}),
        (Resources, {"memory_mib": -1}),
        (Scaling, {"scaledown_window_s": 0.5}),
        (Scaling, {"max_containers": 0}),
    ],
)
def test_out_of_range_values_are_refused_by_name(
    kind: type[msgspec.Struct], bad: dict[str, object]
) -> None:
    with pytest.raises(msgspec.ValidationError, match=next(iter(bad))):
        decode(encode(bad), kind)


def test_the_same_recipe_has_the_same_id_and_every_change_another() -> None:
    base = Recipe(base=DebianSlim(python_version="3.11"))
    more = Recipe(base=base.base, steps=(PipInstall(packages=("six",)),))
    other = Recipe(base=base.base, steps=(PipInstall(packages=("six",), installer="uv"),))
    assert image_id(base) == image_id(Recipe(base=DebianSlim(python_version="3.11")))
    assert len({image_id(recipe) for recipe in (base, more, other)}) == 3


def test_a_build_function_is_known_by_its_source_not_by_its_pickle() -> None:
    def recipe(pickle_digest: str, source: str) -> Recipe:
        pickled = ContextFile(path="f.pkl", sha256=pickle_digest, size_bytes=1)
        step = RunFunction(serialized=pickled, source_sha256=source)
        return Recipe(base=DebianSlim(python_version="3.11"), steps=(step,))

    assert image_id(recipe("a", "s")) == image_id(recipe("b", "s"))
    assert image_id(recipe("a", "s")) != image_id(recipe("a", "t"))


def test_inputs_of_clients_that_know_no_methods_are_read() -> None:
    old = b"\x95\xa4fc-1\xb1reply.main.c.fc-1\x91\x92\x00\xc4\x01x\x00\xa0"
    assert decode(old, Inputs) == Inputs("fc-1", "reply.main.c.fc-1", (Input(0, b"x"),))


def test_ids_can_not_be_foretold() -> None:
    """Whatever else of a process is known or set: they come from the system."""
    script = (
        "import random; random.seed(1); from squall_contracts.message import new_id;"
        "print(*(new_id('fc') for _ in range(100)))"
    )
    ids = [
        each
        for _ in range(2)
        for each in subprocess.check_output([sys.executable, "-c", script], text=True).split()
    ]
    assert len(set(ids)) == 200
    assert all(re.fullmatch(r"fc-[0-9A-Za-z]{22}", each) for each in ids)
