"""Connect tokens: what they open, and that nobody else can make them."""

from hypothesis import given
from hypothesis import strategies as st
from squall_gateway.sandboxes.passes import Pass, Seal, parted, token_of, without_token

SEAL = Seal(b"secret")
PASSES = st.builds(
    Pass,
    st.text(),
    st.text(),
    st.integers(1, 65535),
    st.none() | st.text(max_size=50),
    st.floats(1, 1e10),
)


@given(PASSES, st.floats(0, 1e10), st.binary(min_size=1))
def test_token_opens_what_it_was_made_for_until_it_expires_and_for_no_other_key(
    opens: Pass, now: float, other: bytes
) -> None:
    token = SEAL.sealed(opens)
    assert SEAL.opened(token, now) == (opens if now < opens.expires_unix_s else None)
    if other != b"secret":
        assert Seal(other).opened(token, 0.0) is None


@given(PASSES, st.data())
def test_changed_token_opens_nothing(opens: Pass, data: st.DataObject) -> None:
    token = SEAL.sealed(opens)
    at = data.draw(st.integers(0, len(token) - 2))
    letter = data.draw(st.sampled_from("Ab0_-é.").filter(lambda each: each != token[at]))
    assert SEAL.opened(token[:at] + letter + token[at + 1 :], 0.0) is None


@given(st.text(max_size=200))
def test_what_nobody_made_opens_nothing(text: str) -> None:
    assert SEAL.opened(text, 0.0) is None


def test_token_is_found_in_the_query_or_the_header_and_the_query_is_kept_as_it_came() -> None:
    header = ((b"authorization", b"Bearer abc"),)
    assert token_of(header, "") == "abc"
    assert token_of(header, "a=1&_modal_connect_token=xyz") == "xyz"
    assert token_of(((b"authorization", b"Basic abc"),), "a=1") == ""
    assert without_token("a=%20&_squall_connect_token=xyz&b&a=2") == "a=%20&b&a=2"
    assert parted("/sandbox/sb-1/a%2Fb/c") == ("sb-1", "/a%2Fb/c")
    assert parted("/sandbox/sb-1") == ("sb-1", "/")
