"""Sealing: only the right key, workspace and name open a value; keys come, go and are revoked."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from squall_bus.access.accounts import InvalidCredentials
from squall_bus.access.sealing import KeyPair, Unsealable, mark, new_pair, seal
from squall_bus.access.sealing_keys import SealingKeys
from squall_contracts.message import encode
from squall_contracts.secrets import SealingKey

MARK_KEY = b"k" * 32
names = st.text(min_size=1, max_size=40)
values = st.text(st.characters(exclude_categories=["Cs"]), max_size=2000)


def key_of(pair: KeyPair, account: str = "AC") -> SealingKey:
    return SealingKey(key_id=pair.key_id, public_key=pair.public, account=account)


@given(values, st.sampled_from(["PASSWORD", "TOKEN", "Ä"]))
def test_value_passes_from_client_to_runner_without_the_gateway_seeing_it(
    value: str, name: str
) -> None:
    platform, runner = new_pair(), new_pair()
    sealed = seal(value, name=name, key=key_of(platform), mark_key=MARK_KEY)
    rewrapped = platform.rewrap(sealed.wrapped, "AC", runner.public)
    assert runner.open(rewrapped, sealed.box, account="AC", name=name) == value
    if len(value) > 3:
        assert value.encode() not in encode(sealed) + rewrapped


def test_nobody_else_opens_it() -> None:
    platform, stranger = new_pair(), new_pair()
    sealed = seal("v", name="A", key=key_of(platform), mark_key=MARK_KEY)
    for pair, account, name in (
        (stranger, "AC", "A"),
        (platform, "OTHER", "A"),
        (platform, "AC", "B"),
    ):
        with pytest.raises(Unsealable):
            pair.open(sealed.wrapped, sealed.box, account=account, name=name)
    with pytest.raises(Unsealable, match="another workspace"):
        platform.rewrap(sealed.wrapped, "OTHER", stranger.public)
    with pytest.raises(Unsealable, match="damaged"):
        platform.rewrap(b"nonsense", "AC", stranger.public)
    with pytest.raises(ValueError, match="public key"):
        platform.rewrap(sealed.wrapped, "AC", b"short")


@given(st.binary(min_size=1, max_size=8), st.integers(min_value=0))
def test_damage_is_noticed(noise: bytes, at: int) -> None:
    platform = new_pair()
    sealed = seal("a value", name="A", key=key_of(platform), mark_key=MARK_KEY)
    position = at % len(sealed.box)
    damaged = sealed.box[:position] + noise + sealed.box[position + len(noise) :]
    if damaged != sealed.box:
        with pytest.raises(Unsealable):
            platform.open(sealed.wrapped, damaged, account="AC", name="A")


def test_the_same_value_has_the_same_mark_for_who_sealed_it_alone() -> None:
    pair = new_pair()
    first, second = (seal("v", name="A", key=key_of(pair), mark_key=MARK_KEY) for _ in range(2))
    assert first.mark == second.mark
    assert (first.box, first.wrapped) != (second.box, second.wrapped)
    assert first.mark != mark("v", name="A", mark_key=b"other" * 4)
    assert first.mark != mark("v", name="B", mark_key=MARK_KEY)


def test_keys_are_made_rotated_and_revoked(tmp_path: Path) -> None:
    keys = SealingKeys(tmp_path)
    first = keys.load("AC").current
    assert SealingKeys(tmp_path).load("AC").current.key_id == first.key_id
    assert keys.load("OTHER").current.key_id != first.key_id
    rotated = keys.rotate("AC")
    second = rotated.current
    assert second.key_id != first.key_id
    assert rotated.find(first.key_id) is not None
    assert keys.revoke_older("AC", second.key_id) == (first.key_id,)
    now = keys.load("AC")
    assert now.find(first.key_id) is None
    assert list(now.revoked.values()) == [first.key_id]
    assert now.current.key_id == second.key_id
    assert keys.rotate("AC").current.key_id not in {first.key_id, second.key_id}


def test_key_files_are_private_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    keys = SealingKeys(tmp_path)
    keys.load("AC")
    [path] = (tmp_path / "AC").iterdir()
    assert path.stat().st_mode & 0o077 == 0
    path.write_text("no key")
    with pytest.raises(InvalidCredentials, match=r"000001\.key holds no sealing key"):
        keys.load("AC")


def test_repr_shows_no_key() -> None:
    pair = new_pair()
    assert repr(pair) == f"KeyPair({pair.key_id})"
