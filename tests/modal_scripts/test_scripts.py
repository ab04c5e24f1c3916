"""Each script prints what it promises, on the docker runtime and without a changed line."""

import json
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import Any

import pytest

from .conftest import SCRIPTS, Play

pytestmark = pytest.mark.docker
PRINTS: dict[str, list[str]] = {
    "async_entry": [r"gathered \[3, 5, 7\]", r"mapped \[3, 5, 7\]", "spawned 8"],
    "by_value": ["sums 3 11", "apply 21"],
    "cancel_work": ["called off", "then finished"],
    "concurrent_inputs": ["together True"],
    "dataclass_rows": [r"sums \{'a': 3, 'b': 499500\}", r"megabytes 5\.0"],
    "deploy_then_call": ["deployed True", r"cake 6\.0", r"total 7\.50 EUR", "no discount"],
    "dict_cache": [
        r"values \[55, 6765, 832040\]", r"kept \[10, 20, 30\] 3", "put True False 1",
        "popped 55 gone", r"scratch \[\('a', 1\), \('b', 2\)\]",
    ],
    "dockerfile_image": [r"image \('/srv', 'docker', 'kept', True\)"],
    "dynamic_batches": [r"sizes \[1, 2, 3, 1\]", "batched True"],
    "fire_and_forget": [
        r"after for_each \['a', 'b'\]", r"after spawn_map \['a', 'b', 'c', 'd'\]",
    ],
    "gpu_declared": ["threads 1"],
    "hello_args": ["local=144 remote=144 total=506"],
    "hooks_in_order": [r"story \['base', 'derived'\]", "length 2"],
    "image_steps": [r"\['prepared with fastapi 0', 'built', 'script', 'tree', 'flask'\]"],
    "include_other": [r"report desserts \(8\)", "direct evil"],
    "local_files": [r"counted \{'assets': 1, 'words': 4\}"],
    "map_many": [
        r"scaled \[10, 20, 30\]", r"areas \[6, 20\]", "any order 19", r"none \[\]",
        r"kept \['float', 'ZeroDivisionError', 'float'\]", "raised division by zero",
    ],
    "map_reduce": [r"most common \[\('to', 3\), \('be', 2\)\]"],
    "model_cache": ["again False", r"predictions \[5, 7, 25\]"],
    "model_class": ["en 2", "happy False", r"de \[1, 2, 0\]"],
    "old_spellings": ["words 4", r"files \['poem\.txt'\]"],
    "options_at_run_time": ["sizes small big", "runners True backlog 0"],
    "own_exceptions": ["clean", "row 1 below zero"],
    "own_images": [
        r"synced \[True, True, False\]",
        r"written \('own', 'from a Dockerfile', \['note\.txt', 'settings\.ini'\]\)",
    ],
    "queue_workers": [
        "done 10", r"squares \[0, 1, 4, 9, 16, 25, 36, 49, 64, 81\]", "left 0 None",
    ],
    "retry_flaky": ["worked at try 3", "gave up: never works"],
    "sandbox_agent": [
        "printed 45 0", "echoed typed in", "failed 1 True", r"files \['note\.txt'\]",
        "listed True", "kept remember meremember me", "tunnel True", r"ended -?\d+",
        "asked remember me",
    ],
    "scheduled_jobs": ["weekly report of True", "still here"],
    "secrets_and_env": [r"function \('function', '1', False\)", "env env", "key of 6 characters"],
    "snapshot_class": [r"steps \['weights', 'device', 'hello'\]"],
    "spawn_and_poll": ["not ready", "ready 42", "again 42", r"gathered \[0, 2, 4, 6, 8\]"],
    "time_limits": ["too slow: True", "rested"],
    "token_stream": [r"the\|quick\|brown\|fox\|", r"launch \[3, 2, 1\]"],
    "volume_notes": [
        r"seen \[\('first\.txt', 'from here'\), \('second\.txt', 'from there'\)\]",
        r"listed \['in', 'in/first\.txt', 'out', 'out/second\.txt'\]",
        "read from there", r"left \[\]",
    ],
    "where_am_i": [
        "client here None", "place: there", "local: False", "task: ct-", "remote: 1",
        "environment: main", "cwd: /root", "module: where_am_i", "on path: True", "input: in-",
        "call: fc-",
    ],
}  # fmt: skip
OTHERWISE = {
    "any_web_server", "asgi_jobs", "fastapi_hello", "flask_site", "typed_arguments", "web_class",
}  # fmt: skip
"""Scripts that have tests of their own below."""


def test_every_script_is_run_and_says_modal_alone() -> None:
    scripts = {path.stem: path.read_text() for path in SCRIPTS.glob("*.py")}
    assert set(scripts) == {*PRINTS, *OTHERWISE}
    assert len(scripts) >= 30
    assert not [name for name, text in scripts.items() if "squall" in text.lower()]


@pytest.mark.parametrize("name", sorted(PRINTS))
def test_script_runs_unchanged(play: Play, name: str) -> None:
    done = play("run", "--modal", str(SCRIPTS / f"{name}.py"))
    assert done.status == 0, done
    printed = done.out.splitlines()
    for pattern in PRINTS[name]:
        assert any(re.fullmatch(pattern, line) for line in printed), (pattern, done)


def test_arguments_of_every_kind_reach_the_script(play: Play) -> None:
    given = ["--count", "3", "--dry-run", "--since", "2024-05-01", "--mode", "slow"]
    done = play("run", "--modal", str(SCRIPTS / "typed_arguments.py"), *given)
    assert done.out.splitlines()[-1] == "given 3 0.5 x True 2024 slow", done
    missing = play("run", "--modal", str(SCRIPTS / "typed_arguments.py"))
    assert missing.status == 2
    assert "--count" in missing.err


def asked(url: str, body: bytes | None = None, kind: str = "application/json") -> str:
    """What a request is answered with; a body makes it a POST."""
    request = urllib.request.Request(url, data=body, headers={"content-type": kind})
    with urllib.request.urlopen(request, timeout=60) as answer:
        text: str = answer.read().decode()
    return text


@pytest.fixture
def deployed(play: Play) -> Any:
    """`deployed(name)`: deploy a script; its addresses by function."""

    def deploy(name: str) -> dict[str, str]:
        done = play("deploy", "--modal", "--json", str(SCRIPTS / f"{name}.py"))
        assert done.status == 0, done
        urls: dict[str, str] = json.loads(done.out)["web_urls"]
        return urls

    return deploy


def test_functions_answer_at_an_address_each(deployed: Any) -> None:
    urls = deployed("fastapi_hello")
    assert json.loads(asked(f"{urls['greet']}?name=Ada")) == {"message": "Hello, Ada!"}
    assert json.loads(asked(urls["add"], b'{"a": 2, "b": 3}')) == {"sum": 5}
    assert "swagger" in asked(f"{urls['greet']}/docs").lower()


def test_front_hands_out_results_of_spawned_work(deployed: Any) -> None:
    (url,) = deployed("asgi_jobs").values()
    submitted = json.loads(asked(f"{url}/submit?text=hey", b""))["id"]
    until = time.monotonic() + 60
    while not (answer := json.loads(asked(f"{url}/result/{submitted}"))):
        assert time.monotonic() < until
        time.sleep(0.05)  # as a browser does: 202 until it is there
    assert answer == {"result": "HEY!"}


def test_flask_site_is_served(deployed: Any) -> None:
    (url,) = deployed("flask_site").values()
    assert asked(f"{url}/echo", b"abc", "text/plain") == "cba"


def test_class_answers_with_what_enter_prepared(deployed: Any) -> None:
    urls = deployed("web_class")
    assert json.loads(asked(f"{urls['Counter.bump']}?by=2")) == {"count": 42}


def test_serve_keeps_a_script_up(modal_environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "squall.cli", "serve", "--modal"]
    with subprocess.Popen(
        [*command, str(SCRIPTS / "any_web_server.py")],
        env=modal_environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as serving:
        assert serving.stderr is not None
        try:
            for line in serving.stderr:
                if (found := re.search(r"http://\S+", line)) is not None:
                    break
            assert found is not None
            assert "<h1>served</h1>" in asked(found.group())
        finally:
            serving.send_signal(signal.SIGINT)
            serving.stderr.close()
            serving.wait(60)
