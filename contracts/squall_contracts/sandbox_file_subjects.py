"""Subjects of the files of running containers: as subjects.py for calls.

They name the runner, so that no other one hears what is read and written.
"""

from typing import Final

from squall_contracts.subjects import _token


def up_files(runner_id: str, container_id: str) -> str:
    """Client -> the runner of a container (request), as the workspace spells it: AskFiles."""
    return f"up.files.{_token(runner_id)}.{_token(container_id)}"


def file_requests(account: str, runner_id: str, container_id: str) -> str:
    """up_files of one container, as its runner hears it: the server says whose request it is."""
    return f"up.{_token(account)}.files.{_token(runner_id)}.{_token(container_id)}"


def file_requests_to(runner_id: str) -> str:
    """file_requests of all containers of a runner."""
    return f"up.*.files.{_token(runner_id)}.*"


UP_FILES: Final = "up.files.*.*"


def watch_to_runner(runner_id: str, session: str) -> str:
    """Client -> runner, as the workspace spells it: the client's end of a watch's stream."""
    return f"up.watch.{_token(runner_id)}.{_token(session)}"


def watch_heard_by_runner(account: str, runner_id: str, session: str) -> str:
    """watch_to_runner as the platform sees it."""
    return f"up.{_token(account)}.watch.{_token(runner_id)}.{_token(session)}"


def watch_from_runner(account: str, runner_id: str, session: str) -> str:
    """Runner -> client, platform side: events."""
    return f"down.{_token(account)}.watch.{_token(runner_id)}.{_token(session)}"


def watch_heard_by_client(runner_id: str, session: str) -> str:
    """Workspace side of watch_from_runner."""
    return f"down.watch.{_token(runner_id)}.{_token(session)}"


def watches_of(runner_id: str) -> tuple[str, str]:
    """(what a runner says, what it hears) in all watches."""
    return f"down.*.watch.{_token(runner_id)}.*", f"up.*.watch.{_token(runner_id)}.*"


UP_WATCHES: Final = "up.watch.*.*"


def runner_snapshot(runner_id: str) -> str:
    """Gateway -> runner (request): TakeSnapshot."""
    return f"platform.snapshot.{_token(runner_id)}"
