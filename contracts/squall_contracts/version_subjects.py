"""Subjects and buckets of versions and pools, and of what is remembered of failures: as subjects.py
for calls."""

from typing import Final

from squall_contracts.subjects import _token, check_environment

RELEASES_BUCKET: Final = "releases"
"""What past versions of deployed apps were made of."""
POOLS_BUCKET: Final = "pools"
"""Which pools are in use; entries expire."""
FAULTS_BUCKET: Final = "faults"
"""What the scheduler must remember of functions and machines that fail."""
ORDERS_BUCKET: Final = "runner_orders"
"""Runners that operators have taken out of work."""


def superseded(environment: str, function_id: str) -> str:
    """Unstored: the gateway tells a function's guests that a newer version takes over."""
    return f"superseded.{check_environment(environment)}.{_token(function_id)}"


def up_version(function_id: str) -> str:
    """A guest asks for the newest version of its function."""
    return f"up.version.{_token(function_id)}"


VERSIONS_ALL: Final = "up.*.version.*"
"""up_version of all functions, as the platform sees it."""


def lane_opened(environment: str, function_id: str) -> str:
    """Unstored: the scheduler tells a function's guests of a lane to take inputs from as well."""
    return f"lane.{check_environment(environment)}.{_token(function_id)}"


def function_faults_key(function_id: str) -> str:
    return f"function.{_token(function_id)}"


def runner_faults_key(runner_id: str) -> str:
    return f"runner.{_token(runner_id)}"
