"""Subjects as who only looks at a workspace reads them: as subjects.py for who works in it."""

from squall_contracts.subjects import CALLS, _token, check_environment


def logs_of_environment(environment: str) -> str:
    return f"log.{check_environment(environment)}.>"


def logs_of_function(environment: str, app_id: str, function_id: str) -> str:
    return f"log.{check_environment(environment)}.{_token(app_id)}.{_token(function_id)}.*"


def logs_of_function_of_any_app(environment: str, function_id: str) -> str:
    return f"log.{check_environment(environment)}.*.{_token(function_id)}.*"


def queued(subject: str) -> tuple[str, str, str]:
    """(environment, function id, call id) of a subject in CALLS. ValueError for another subject."""
    parts = subject.split(".")
    if len(parts) < 5 or parts[0] not in {"call", "retry"}:
        raise ValueError(f"{subject!r} is not a subject of {CALLS}")
    return parts[1], parts[2], parts[4]


def answered_in(subject: str) -> str:
    """The environment of a result's subject."""
    return subject.split(".")[1]
