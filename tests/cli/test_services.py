"""`squall up SERVICE`: what a bare machine lacks is said before anything starts."""

from pathlib import Path

import pytest
from squall_bus.access.accounts import write_credentials
from squall_bus.access.keyring import Keyring

from .conftest import Squall

URL = "nats://127.0.0.1:1"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["scheduler"], "--nats-url or SQUALL_NATS_URLS"),
        (["scheduler", "--nats-url", URL], "--credentials or SQUALL_CREDENTIALS"),
        (["scheduler", "--nats-url", URL, "--credentials", "gone.creds"], "gone.creds"),
        (["shceduler"], "choose of gateway, builder, scheduler"),
        (["--nats-url", URL], "name some"),
    ],
)
def test_what_a_service_lacks_is_one_line(squall: Squall, arguments: list[str], says: str) -> None:
    done = squall("up", *arguments)
    assert done.returncode != 0
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_services_take_their_own_credentials_of_a_directory(squall: Squall, home: Path) -> None:
    keyring = Keyring(home / "keys")
    write_credentials(home / "cron.creds", keyring.service("cron"))
    wanting = squall("up", "cron", "scheduler", "--nats-url", URL, "--credentials", str(home))
    assert "scheduler.creds" in wanting.stderr
    done = squall("up", "cron", "--nats-url", URL, "--credentials", str(home))
    assert done.returncode == 1
    assert f"can't reach {URL}" in done.stderr
