"""`squall shell`, `container exec`, `run -i`: a real terminal at one end, a container at the other."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator

import pexpect
import pytest

from tests.system.conftest import PROGRAMS, Program, Server

Terminal = Callable[..., "pexpect.spawn[str]"]
FILE = str(PROGRAMS / "shelled.py")
PROMPT = re.compile(r"[$#] $")


def environment(server: Server) -> dict[str, str]:
    return {
        **os.environ,
        "SQUALL_SERVER_URL": server.ready["url"],
        "SQUALL_CREDENTIALS": server.ready["credentials"],
        "TERM": "xterm",
    }


@pytest.fixture
def terminal(server: Server) -> Iterator[Terminal]:
    """`terminal(*argv)`: a command at a terminal of 100 columns and 40 rows."""
    opened = []

    def open_terminal(*argv: str) -> "pexpect.spawn[str]":
        command = pexpect.spawn(
            sys.executable,
            ["-m", "squall.cli", *argv],
            env=environment(server),
            dimensions=(40, 100),
            encoding="utf-8",
            timeout=60,
        )
        opened.append(command)
        return command

    yield open_terminal
    for command in opened:
        command.close(force=True)


def piped(server: Server, *argv: str, given: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "squall.cli", *argv],
        env=environment(server), input=given, capture_output=True, text=True, timeout=90,
        check=False,
    )  # fmt: skip


def ended(command: "pexpect.spawn[str]") -> int:
    command.expect(pexpect.EOF)
    command.close()
    assert command.exitstatus is not None
    return command.exitstatus


def test_shell_of_a_function_has_what_its_containers_have(
    terminal: Terminal, server: Server
) -> None:
    command = terminal("shell", f"{FILE}::plain", "--cmd", "sh")
    command.expect(PROMPT)
    command.sendline("echo $FROM_IMAGE, $TOKEN, $(stty size), $SQUALL_FUNCTION_NAME")
    command.expect("yes, of a secret, 40 100, plain")
    command.sendline("test -d /kept && echo mounted-$((20 + 3))")
    command.expect("mounted-23")
    command.setwinsize(33, 77)
    command.sendline("stty size")
    command.expect("33 77")
    command.sendline("sh -c 'echo sleeps-$((20 + 4)); exec sleep 1000'")
    command.expect("sleeps-24")  # it has the terminal by now, and not the shell
    command.sendintr()
    command.sendline("echo after $?")
    command.expect("after 130")
    command.sendline("exit 7")
    assert ended(command) == 7
    listed = piped(server, "container", "list", "--app", "shelled-shell")
    assert "ready" not in listed.stdout


def test_shell_of_a_function_keeps_what_it_wrote_in_a_volume(
    terminal: Terminal, server: Server, program: Program
) -> None:
    done = piped(server, "shell", f"{FILE}::plain", "--cmd", "cat > /kept/note", given="kept words")
    assert done.returncode == 0, done.stderr
    assert b"".join(program("shelled").kept.read_file("note")) == b"kept words"


@pytest.mark.docker
@pytest.mark.parametrize("server", ["docker"], indirect=True)
def test_shell_without_a_reference_is_of_an_image(server: Server) -> None:
    done = piped(server, "shell", "--cmd", "python -c 'import sys; print(sys.version_info[:2])'")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1:] == [str(sys.version_info[:2])]


@pytest.fixture
def container(program: Program) -> Iterator[str]:
    """Id of a running container."""
    call = program("waiting").wait.spawn()
    yield next(iter(call.stream()))
    call.cancel()


def test_running_container_gives_a_terminal(
    terminal: Terminal, server: Server, container: str
) -> None:
    command = terminal("shell", container, "--cmd", "sh")
    command.expect(PROMPT)
    command.sendline("stty size; echo of $WAITS")
    command.expect("40 100")
    command.expect("of waiting")
    command.setwinsize(30, 90)
    command.sendline("stty size")
    command.expect("30 90")
    command.sendline("sh -c 'echo sleeps-$((20 + 4)); exec sleep 1000'")
    command.expect("sleeps-24")  # it has the terminal by now, and not the shell
    command.sendintr()
    command.expect(PROMPT)
    command.sendeof()
    assert ended(command) == 130


def test_command_in_a_container_is_fed_and_read_to_the_end(server: Server, container: str) -> None:
    text = "".join(f"line {number}\n" for number in range(200_000))
    counted = piped(server, "container", "exec", container, "wc", "-c", given=text)
    assert counted.stdout.split() == [str(len(text))]
    back = piped(server, "container", "exec", container, "cat", given=text)
    assert back.stdout == text
    apart = piped(
        server, "container", "exec", container, "sh", "-c", "echo out; echo err >&2; exit 4"
    )
    assert (apart.returncode, apart.stdout, apart.stderr) == (4, "out\n", "err\n")


def test_terminal_ends_with_its_container(
    terminal: Terminal, server: Server, container: str
) -> None:
    command = terminal("container", "exec", container, "sh")
    command.expect(PROMPT)
    assert piped(server, "container", "stop", "--now", container).returncode == 0
    assert ended(command) != 0


@pytest.mark.parametrize("server", ["process"], indirect=True)
def test_function_asks_the_person_who_runs_it(terminal: Terminal, server: Server) -> None:
    command = terminal("run", "-i", f"{FILE}::ask")
    command.expect("who are you\\? ")
    command.sendline("Ada")
    command.expect("hello Ada")
    assert ended(command) == 0


@pytest.mark.parametrize("server", ["process"], indirect=True)
def test_breakpoint_stops_at_the_terminal_of_who_runs_it(terminal: Terminal) -> None:
    command = terminal("run", "-i", f"{FILE}::stops")
    command.expect("\\(Pdb\\) ")
    command.sendline("p number")
    command.expect("41")
    command.sendline("number = 99")
    command.expect("\\(Pdb\\) ")
    command.sendline("continue")
    command.expect("100")
    assert ended(command) == 0


@pytest.mark.parametrize("server", ["process"], indirect=True)
def test_nobody_to_ask_is_an_error_that_says_so(server: Server) -> None:
    done = piped(server, "run", f"{FILE}::ask")
    assert done.returncode == 2
    assert "squall run --interactive" in done.stderr
