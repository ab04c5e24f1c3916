"""The grammar of names: what goes in comes out, and nothing can smuggle a token in."""

import string
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from squall_contracts import rights, subjects
from squall_contracts.calls import Lane
from squall_contracts.message import input_id, input_place, new_id

tokens = st.text(string.ascii_letters + string.digits + "_-=", min_size=1, max_size=64)
environments = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True)
hostile = st.text(min_size=1).filter(lambda text: any(c in ".*> \t\r\n\0/é" for c in text))


@given(environments, tokens, st.sampled_from(subjects.LANES), tokens)
def test_call_subject_gives_back_its_parts(env: str, function: str, lane: Lane, call: str) -> None:
    subject = subjects.call(env, function, lane, call)
    assert subjects.call_parts(subject) == (env, function, lane, call)


@given(hostile)
def test_no_subject_accepts_a_token_with_structure(value: str) -> None:
    builders: tuple[Callable[[], str], ...] = (
        lambda: subjects.call("main", value, "now", "fc-1"),
        lambda: subjects.call("main", "fn-1", "now", value),
        lambda: subjects.reply("main", f"key.{value}", "fc-1"),
        lambda: subjects.log("main", "ap-1", "fn-1", value),
        lambda: subjects.up_api(value),
        lambda: subjects.command(value),
        lambda: subjects.app_feed(value, "ap-1"),
        lambda: subjects.cancel("main", value),
    )
    for build in builders:
        with pytest.raises(ValueError, match="subject"):
            build()


@given(hostile)
def test_no_environment_with_structure_is_accepted(value: str) -> None:
    with pytest.raises(ValueError, match="environment"):
        subjects.call(value, "fn-1", "now", "fc-1")


@pytest.mark.parametrize(
    "subject", ["call.main.fn-1.now", "reply.main.a.b.c", "call.main.fn.slow.c"]
)
def test_call_parts_refuses_other_subjects(subject: str) -> None:
    with pytest.raises(ValueError, match="not a call subject"):
        subjects.call_parts(subject)


def test_speaker_is_the_account_the_server_inserted() -> None:
    assert subjects.speaker("up.ABC.api.start_app") == "ABC"
    with pytest.raises(ValueError, match="workspace"):
        subjects.speaker("down.ABC.api")


@given(st.integers(min_value=0, max_value=10**9))
def test_input_id_leads_back_to_its_call(index: int) -> None:
    call = new_id("fc")
    assert input_place(input_id(call, index)) == (call, index)


def test_ids_do_not_repeat() -> None:
    assert len({new_id("fc") for _ in range(10_000)}) == 10_000


def test_guest_reaches_its_own_function_only() -> None:
    publish, subscribe = rights.guest_may("main", "fn-mine", "ct-1")
    assert not any(
        "fn-other" in rule or rule in {">", "*", "call.>"} for rule in publish + subscribe
    )
    assert all("fn-mine" in rule for rule in publish if "CALLS" in rule)
