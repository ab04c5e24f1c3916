"""One platform for all tests of the SDK: a server for each test would cost more than they do."""

import os
from collections.abc import Iterator

import pytest
from squall import _client

from .platform import Platform


@pytest.fixture(scope="session")
def shared_platform() -> Iterator[Platform]:
    platform = Platform()
    os.environ["SQUALL_SERVER_URL"] = platform.url
    os.environ["SQUALL_CREDENTIALS"] = str(platform.credentials)
    yield platform
    _client.shutdown()
    del os.environ["SQUALL_SERVER_URL"], os.environ["SQUALL_CREDENTIALS"]
    platform.stop()


@pytest.fixture
def platform(shared_platform: Platform) -> Platform:
    """The platform, as if nothing had been asked of it yet: nothing of an earlier test is under way."""
    shared_platform.hold.set()
    shared_platform.do(shared_platform.idle())
    shared_platform.asked.clear()
    shared_platform.batches.clear()
    shared_platform.secrets.clear()
    shared_platform.build = None
    shared_platform.containers = ()
    shared_platform.pools_good_for_s = None
    return shared_platform
