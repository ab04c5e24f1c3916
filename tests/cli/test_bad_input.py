"""Bad input of every kind: one line that names thing and remedy, and nothing left running."""

import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Squall, processes_of
from .test_commands import complains

Write = Callable[[str, str], Path]

HEAD = "import squall\napp = squall.App('bad')\n"
DECORATED = HEAD + "@app.function({})\ndef f(): ...\n"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ("cpu=-1", "cpu"),
        ("cpu='two'", "cpu"),
        ("cpu=(2, 1)", "cpu"),
        ("memory=0", "memory"),
        ("memory='1g'", "memory"),
        ("timeout=0", "timeout"),
        ("timeout=None", "timeout"),
        ("timeout='5'", "timeout"),
        ("gpu='H100:many'", "gpu"),
        ("gpu=3", "gpu"),
        ("name='a b'", "name"),
        ("min_containers=3, max_containers=2", "min_containers"),
        ("max_containers=0", "max_containers"),
        ("scaledown_window=0", "scaledown_window"),
        ("retries=-1", "retries"),
        ("image='debian'", "image"),
    ],
)
def test_declaration_that_can_not_be_is_refused_where_it_stands(
    squall: Squall, stack: dict[str, str], write: Write, arguments: str, word: str
) -> None:
    write("bad.py", DECORATED.format(arguments))
    complains(squall("run", "bad.py", **stack), 2, "InvalidError", word, "bad.py:")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import nowhere_to_be_found\n", ["nowhere_to_be_found", "bad.py"]),
        ("def f(:\n", ["bad.py", "SyntaxError"]),
        ("1 / 0\n", ["bad.py", "ZeroDivisionError"]),
        ("x = 1\n", ["bad", "@app.function()"]),
        (HEAD, ["bad", "@app.function()"]),
    ],
)
def test_file_that_gives_nothing_to_run_is_named(
    squall: Squall, stack: dict[str, str], write: Write, source: str, words: list[str]
) -> None:
    write("bad.py", source)
    complains(squall("run", "bad.py", **stack), 2, "InvalidError", *words)


TWO = HEAD + "@app.function()\ndef one(): ...\n@app.function()\ndef two(x: int): ...\n"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["bad.py::three"], ["InvalidError", "three", "one", "two"]),
        (["bad.py"], ["InvalidError", "one", "two"]),
        (["bad.py::one", "--x", "1"], ["unrecognized arguments: --x 1"]),
        (["bad.py::two"], ["--x"]),
        (["bad.py::two", "--x", "much"], ["invalid int value: 'much'"]),
        (["-d", "bad.py::one", "-z"], ["unrecognized arguments: -z"]),
    ],
)
def test_wrong_reference_or_arguments_are_named(
    squall: Squall, stack: dict[str, str], write: Write, argv: list[str], words: list[str]
) -> None:
    write("bad.py", TWO)
    complains(squall("run", *argv, **stack), 2, *words)


def body(text: str, decorated: str = "") -> str:
    lines = "".join(f"    {line}\n" for line in text.splitlines())
    return f"{HEAD}import threading\n@app.function({decorated})\ndef f(x=None):\n{lines}"


UNPICKLABLE_ARGUMENT = (
    body("return 1") + "@app.local_entrypoint()\ndef main():\n    f.remote(threading.Lock())\n"
)
MISSING_MODULE = (
    HEAD + "if not squall.is_local():\n    import gone\n@app.function()\ndef f(): ...\n"
)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (body("return threading.Lock()"), ["SerializationError", "lock"]),
        (UNPICKLABLE_ARGUMENT, ["SerializationError", "lock"]),
        (body("import time; time.sleep(60)", "timeout=1"), ["FunctionTimeoutError", "1 s"]),
        (MISSING_MODULE, ["gone"]),
    ],
)
def test_failure_without_user_code_is_one_line(
    squall: Squall, stack: dict[str, str], write: Write, source: str, words: list[str]
) -> None:
    write("bad.py", source)
    done = squall("run", "-q", "bad.py", **stack)
    assert done.returncode == 1, done
    last = done.stderr.strip().splitlines()[-1]
    for word in words:
        assert word in last, done.stderr


def test_image_that_does_not_build_shows_the_step_and_the_logs_end(
    squall: Squall, stack: dict[str, str], write: Write
) -> None:
    image = "image=squall.Image.debian_slim().pip_install('no-such-package-as-this==9.9')"
    write("bad.py", DECORATED.format(image))
    done = squall("run", "bad.py", **stack)
    assert done.returncode == 1
    assert "ImageBuildError" in done.stderr.strip().splitlines()[-1]
    assert "no-such-package-as-this" in done.stderr


def test_unreachable_server_is_named(squall: Squall, stack: dict[str, str], write: Write) -> None:
    write("bad.py", DECORATED.format(""))
    nowhere = {**stack, "SQUALL_SERVER_URL": "nats://127.0.0.1:1"}
    complains(squall("run", "bad.py", **nowhere), 2, "ConnectionError", "nats://127.0.0.1:1")


def test_refused_credentials_are_named(
    squall: Squall, stack: dict[str, str], write: Write, home: Path
) -> None:
    write("bad.py", DECORATED.format(""))
    own = Path(stack["SQUALL_CREDENTIALS"]).read_text().splitlines()
    jwt_at = next(n for n, line in enumerate(own) if "BEGIN NATS USER JWT" in line) + 1
    own[jwt_at] = own[jwt_at][:-4] + ("AAAA" if not own[jwt_at].endswith("AAAA") else "BBBB")
    write("creds", "\n".join(own))
    done = squall("run", "bad.py", **{**stack, "SQUALL_CREDENTIALS": str(home / "creds")})
    complains(done, 2, "AuthError", "credentials")


@pytest.mark.parametrize("command", [("run", "bad.py"), ("up", "--runtime", "docker")])
def test_missing_docker_is_named_and_nothing_is_left(
    squall: Squall, write: Write, home: Path, no_docker: dict[str, str], command: tuple[str, ...]
) -> None:
    write("bad.py", DECORATED.format(""))
    done = squall(*command, SQUALL_RUNTIME="docker", **no_docker)
    complains(done, 2, "Docker")
    assert processes_of(home) == []


def test_port_in_use_is_named_and_nothing_is_left(squall: Squall, home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = squall("up", "--runtime", "process", "--port", str(port))
    complains(done, 2, f"port {port} is in use", "--port")
    assert processes_of(home) == []


def test_state_that_can_not_be_written_is_named(squall: Squall, write: Write) -> None:
    write("bad.py", DECORATED.format(""))
    done = squall("run", "bad.py", SQUALL_RUNTIME="process", SQUALL_STATE_DIR="/proc/squall")
    complains(done, 2, "/proc/squall", "SQUALL_STATE_DIR")


def test_detach_without_a_server_that_stays_is_refused(squall: Squall, write: Write) -> None:
    write("bad.py", DECORATED.format(""))
    complains(squall("run", "--detach", "bad.py"), 2, "--detach", "squall up")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a small disk")
def test_full_disk_is_named_with_its_remedy(squall: Squall, write: Write, home: Path) -> None:
    write("bad.py", DECORATED.format(""))
    small = home / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)], check=False
    )
    if mounted.returncode != 0:
        pytest.skip("this machine mounts nothing")
    try:
        done = squall("run", "bad.py", SQUALL_RUNTIME="process", SQUALL_STATE_DIR=str(small))
    finally:
        subprocess.run(["umount", str(small)], check=True)
    assert done.returncode == 1, done
    last = done.stderr.strip().splitlines()[-1]
    assert "No space left on device" in last
    assert "free some disk" in last
    assert processes_of(home) == []
