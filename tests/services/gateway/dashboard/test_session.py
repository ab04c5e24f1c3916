"""Who is let in, and which requests a session's cookie alone is not enough for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from squall_gateway.dashboard import guard
from squall_gateway.dashboard.session import COOKIE, Signer, Visitor, cookie_of

SIGNER = Signer(b"secret")
VISITOR = Visitor("A1", "main", "nonce", 1000.0)


def test_what_was_sealed_opens_until_it_expires() -> None:
    text = SIGNER.sealed("session", VISITOR)
    assert SIGNER.opened("session", text, 999.0) == VISITOR
    assert SIGNER.opened("session", text, 1000.0) is None


def test_a_code_is_no_session_and_another_servers_word_counts_nothing() -> None:
    assert SIGNER.opened("session", SIGNER.sealed("code", VISITOR), 0.0) is None
    assert Signer(b"other").opened("session", SIGNER.sealed("session", VISITOR), 0.0) is None


@given(st.text(max_size=300))
def test_no_other_text_opens_anything(text: str) -> None:
    assert SIGNER.opened("session", text, 0.0) is None


@given(st.integers(0, 150), st.characters(codec="ascii"))
def test_a_changed_character_opens_nothing(at: int, put: str) -> None:
    text = SIGNER.sealed("session", VISITOR)
    at %= len(text)
    changed = text[:at] + put + text[at + 1 :]
    opened = SIGNER.opened("session", changed, 0.0)
    # The last character holds bits that stand for nothing; whatever it says, it says the same.
    assert opened is None or opened == VISITOR


def test_the_cookie_is_found_among_others() -> None:
    assert cookie_of(f"a=b; {COOKIE}=x.y; c=d") == "x.y"
    assert cookie_of("a=b") == ""


def test_form_keys_differ_by_session() -> None:
    other = Visitor("A1", "main", "other", 1000.0)
    assert SIGNER.form_key(VISITOR) != SIGNER.form_key(other)


@pytest.mark.parametrize("destination", ["empty", "iframe", "script", "image", "frame", "object"])
def test_a_page_is_not_for_scripts_and_frames(destination: str) -> None:
    headers = {"Sec-Fetch-Dest": destination, "Sec-Fetch-Mode": "cors"}
    assert not guard.may_read(headers, "key", "")
    assert not guard.may_read(headers, "key", "guess")
    assert guard.may_read(headers, "key", "key")


def test_a_page_is_for_a_window_of_its_own() -> None:
    assert guard.may_read({"Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate"}, "key", "")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://here:8000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_an_action_from_elsewhere_is_not_done_even_with_the_key(headers: dict[str, str]) -> None:
    assert not guard.may_act(headers, "here:8000", "http", "key", "key")


@given(st.text(max_size=50).filter(lambda text: text != "key"))
def test_an_action_needs_the_key(given_key: str) -> None:
    own = {"Origin": "http://here:8000", "Sec-Fetch-Site": "same-origin"}
    assert guard.may_act(own, "here:8000", "http", "key", "key")
    assert not guard.may_act(own, "here:8000", "http", "key", given_key)
