"""Keys, JWTs, the files that hold them, and what each role may do."""

import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from squall_bus.access.accounts import (
    InvalidCredentials,
    InvalidJwt,
    Key,
    new_key,
    owner_of,
    read_credentials,
    read_jwt,
    renewed_jwt,
    user_jwt,
    verify_jwt,
    workspace_jwt,
    write_credentials,
)
from squall_bus.access.keyring import Keyring
from squall_contracts import rights
from squall_contracts.guest import Credentials


def signed(account: Key, user: Key, expires_unix_s: float | None = None) -> str:
    return user_jwt(
        account,
        user.public,
        "me",
        publish=["a"],
        subscribe=["b"],
        tags=["role:guest", "container:ct-x"],
        expires_unix_s=expires_unix_s,
    )


def test_jwt_is_good_until_it_expires_and_only_for_its_issuer() -> None:
    account, user = new_key("account"), new_key("user")
    jwt = signed(account, user, expires_unix_s=1000)
    claims = verify_jwt(jwt, account, now_unix_s=999)
    assert (claims.sub, claims.tag("container"), claims.tag("nope")) == (user.public, "ct-x", "")
    with pytest.raises(InvalidJwt, match="expired"):
        verify_jwt(jwt, account, now_unix_s=1000)
    with pytest.raises(InvalidJwt, match="not signed"):
        verify_jwt(jwt, new_key("account"), now_unix_s=999)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_changed_jwt_is_refused(position: int, flip: int) -> None:
    account = Key(SEED)
    jwt = bytearray(JWT.encode())
    jwt[position % len(jwt)] ^= flip
    try:
        changed = jwt.decode()
    except UnicodeDecodeError:
        return
    if changed.rstrip("=") == JWT:
        return
    with pytest.raises(InvalidJwt):
        # The last character of a base64 part may hold bits nobody reads: then it is the same JWT.
        claims = verify_jwt(changed, account, now_unix_s=0)
        if claims == read_jwt(JWT):
            raise InvalidJwt("equal")


_ACCOUNT = new_key("account")
SEED = _ACCOUNT.seed
JWT = signed(_ACCOUNT, new_key("user"))


def test_renewed_jwt_gives_the_same_rights_to_the_same_key() -> None:
    account, user = new_key("account"), new_key("user")
    old = verify_jwt(signed(account, user, 1000), account, now_unix_s=0)
    new = verify_jwt(renewed_jwt(account, old, expires_unix_s=2000), account, now_unix_s=1500)
    assert (new.sub, new.nats, new.exp) == (old.sub, old.nats, 2000)


def test_creds_file_is_read_as_written_and_private(tmp_path: Path) -> None:
    user = new_key("user")
    credentials = Credentials(jwt=signed(new_key("account"), user), seed=user.seed)
    path = tmp_path / "deep" / "x.creds"
    write_credentials(path, credentials)
    assert read_credentials(path) == credentials
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert owner_of(credentials.jwt) == user.public
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("text", [None, "", "-----BEGIN X-----\nabc\n------END X------\n"])
def test_broken_creds_file_is_named(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "x.creds"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InvalidCredentials, match=r"x\.creds"):
        read_credentials(path)


@pytest.mark.parametrize("seed", ["", "nonsense", "SU" + "A" * 56, "ü"])
def test_text_that_is_no_seed_is_refused(seed: str) -> None:
    with pytest.raises(InvalidCredentials):
        Key(seed)


def test_keyring_is_the_same_when_opened_again(tmp_path: Path) -> None:
    first = Keyring(tmp_path / "keys")
    account = first.workspace("main").public
    again = Keyring(tmp_path / "keys")
    assert again.operator.public == first.operator.public
    assert again.workspaces() == {"main": account}
    found = again.account(account)
    assert found is not None and found.seed == first.workspace("main").seed
    files = [path for path in (tmp_path / "keys").rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700


def test_keyrings_opened_at_once_agree(tmp_path: Path) -> None:
    found: list[str] = []

    def open_it() -> None:
        keyring = Keyring(tmp_path / "keys")
        found.append(f"{keyring.operator.public} {keyring.workspace('main').public}")

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1 and len(found) == 8


@pytest.mark.parametrize("name", ["", "../x", "a/b", "A", "-a", "x" * 64])
def test_bad_workspace_name_makes_no_key(tmp_path: Path, name: str) -> None:
    keyring = Keyring(tmp_path / "keys")
    with pytest.raises(ValueError, match="can't name a workspace"):
        keyring.workspace(name)
    assert keyring.workspaces() == {}


def test_workspace_imports_only_its_own_part() -> None:
    operator, account, platform = new_key("operator"), new_key("account"), new_key("account")
    claims = read_jwt(workspace_jwt(operator, account.public, "main", platform.public))
    assert {entry["subject"] for entry in claims.nats["imports"]} == {
        f"up.{account.public}.>",
        f"down.{account.public}.>",
    }


def test_no_role_but_services_may_do_everything() -> None:
    lists = [
        *rights.guest_may("main", "fn-a", "ct-a"),
        *rights.client_may("U1"),
        *rights.service_in_workspace_may("runner", "U1"),
        *rights.service_in_workspace_may("builder", "U1"),
    ]
    for allowed in lists:
        assert not {">", "*", "$JS.>", "$JS.API.>", "_INBOX.>"} & set(allowed)


def test_each_bucket_is_written_by_its_services_alone() -> None:
    for service in rights.SERVICES:
        _, _, never = rights.service_may(service, "U1")
        assert ("$KV.functions.>" in never) == (service != "gateway")
        assert ("$KV.targets.>" in never) == (service != "autoscaler")
        assert "$KV.leases.>" not in never
