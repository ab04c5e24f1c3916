"""What all tests share."""

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes, or its making, says nothing on a busy machine; benchmarks measure time.
settings.register_profile("squall", deadline=None, suppress_health_check=(HealthCheck.too_slow,))
settings.load_profile("squall")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, so that none is begun when everything else is over; the order
    is random otherwise."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
