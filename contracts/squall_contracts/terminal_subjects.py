"""Subjects of terminals, tunnels, traces and of looking on: as subjects.py for calls."""

from typing import Final

from squall_contracts.subjects import _token, check_environment

# --- a client and a runner ------------------------------------------------------------------------


def terminal_to_runner(session: str) -> str:
    """Client -> runner, as the workspace spells it."""
    return f"up.terminal.{_token(session)}"


def terminal_heard_by_runner(account: str, session: str) -> str:
    """terminal_to_runner as the platform sees it."""
    return f"up.{_token(account)}.terminal.{_token(session)}"


def terminal_from_runner(account: str, session: str) -> str:
    """Runner -> client, platform side."""
    return f"down.{_token(account)}.terminal.{_token(session)}"


def terminal_heard_by_client(session: str) -> str:
    """Workspace side of terminal_from_runner."""
    return f"down.terminal.{_token(session)}"


UP_TERMINALS: Final = "up.terminal.*"
TERMINALS_TO_RUNNERS: Final = "up.*.terminal.*"
TERMINALS_FROM_RUNNERS: Final = "down.*.terminal.*"


def runner_terminal(runner_id: str) -> str:
    """Gateway -> runner (request): OpenTerminal."""
    return f"platform.terminal.{_token(runner_id)}"


def runner_terminal_key(runner_id: str) -> str:
    """Gateway -> runner (request): PrepareTerminal."""
    return f"platform.terminal_key.{_token(runner_id)}"


# --- a client and a container ---------------------------------------------------------------------


def terminal_call(app_id: str) -> str:
    """Container -> the client that runs its app: TerminalCall. Asked as a request, so that the server
    says when nobody hears it; the answer comes on the stream, since clients may not reply."""
    return f"terminal.call.{_token(app_id)}"


TERMINAL_CALLS: Final = "terminal.call.*"


def terminal_to_client(container_id: str, session: str) -> str:
    return f"terminal.up.{_token(container_id)}.{_token(session)}"


def terminal_to_container(container_id: str, session: str) -> str:
    return f"terminal.down.{_token(container_id)}.{_token(session)}"


TERMINALS_TO_CLIENTS: Final = "terminal.up.*.*"
TERMINALS_TO_CONTAINERS: Final = "terminal.down.*.*"


def terminals_to_container(container_id: str) -> str:
    """All sessions of a container."""
    return f"terminal.down.{_token(container_id)}.*"


def terminals_from_container(container_id: str) -> str:
    return f"terminal.up.{_token(container_id)}.*"


# --- a gateway and a container: tunnels -----------------------------------------------------------


def tunnel_to_gateway(container_id: str, tunnel_id: str) -> str:
    return f"tunnel.up.{_token(container_id)}.{_token(tunnel_id)}"


def tunnel_to_container(container_id: str, tunnel_id: str) -> str:
    return f"tunnel.down.{_token(container_id)}.{_token(tunnel_id)}"


def tunnels_to_container(container_id: str) -> str:
    """All tunnels of a container."""
    return f"tunnel.down.{_token(container_id)}.*"


def tunnels_from_container(container_id: str) -> str:
    return f"tunnel.up.{_token(container_id)}.*"


# --- a container and the gateway: traces ----------------------------------------------------------


def up_span(container_id: str) -> str:
    """Container -> gateway: SpansTold."""
    return f"up.span.{_token(container_id)}"


SPANS_ALL: Final = "up.*.span.*"
"""up_span of all containers, as the platform sees it."""


# --- looking on ----------------------------------------------------------------------------------


def runner_usage(runner_id: str) -> str:
    """Gateway -> runner (request): RunnerUsage."""
    return f"platform.usage.{_token(runner_id)}"


def replies_of_all() -> tuple[str, str]:
    """What is sent back to anybody in the workspace."""
    return "reply.*.*.*.*", "result.*.*.*.*"


def logs_of_container_in_app(environment: str, app_id: str, container_id: str) -> str:
    return f"log.{check_environment(environment)}.{_token(app_id)}.*.{_token(container_id)}"
