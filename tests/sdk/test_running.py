"""Running and deploying apps: what is asked of the server, in how few steps, and what fails."""

import asyncio
import hashlib
import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import squall
from squall import _client, config, exception, runner
from squall._apps import replacing
from squall._console.plain import PlainOutput
from squall._console.showing import AppOutput
from squall.app import App
from squall_contracts import apps, images, subjects
from squall_contracts.calls import Inputs
from squall_contracts.functions import FunctionSpec
from squall_contracts.guest import Assignment, Credentials
from squall_contracts.logs import LogBatch, LogLine
from squall_contracts.placement import ContainerNews, ContainerRecord

from . import functions as f
from .platform import Platform


def kinds(platform: Platform) -> list[str]:
    return [type(each).__name__ for each in platform.asked]


def test_a_run_asks_for_image_and_start_and_then_stops(platform: Platform) -> None:
    with f.app.run(name="named") as running:
        assert running is f.app
        assert f.app.app_id is not None
        assert f.square.object_id.startswith("fn-")
    assert kinds(platform) == ["EnsureImage", "StartApp", "StopApp"]
    started = platform.asked[1]
    assert isinstance(started, apps.StartApp)
    assert started.name == "named"
    assert {spec.name for spec in started.functions} == set(f.app.functions)
    assert f.app.app_id is None
    with pytest.raises(exception.ExecutionError, match="not been hydrated"):
        f.square.remote(1)


def test_a_run_is_entered_once(platform: Platform) -> None:
    run = f.app.run()
    with run:
        pass
    with pytest.raises(exception.InvalidError, match="entered once"), run:
        pass


async def test_a_run_works_in_a_loop(platform: Platform) -> None:
    platform.functions = {"square": f.square.raw}
    async with f.app.run():
        assert await f.square.remote.aio(3) == 9


def test_source_is_uploaded_once_and_named_by_content(platform: Platform) -> None:
    with f.app.run():
        pass
    started = next(each for each in platform.asked if isinstance(each, apps.StartApp))
    files = {entry.path: entry.sha256 for entry in started.functions[0].files}
    here = Path(f.__file__)
    path = "/root/tests/sdk/functions.py"
    assert files[path] == hashlib.sha256(here.read_bytes()).hexdigest()
    objects = platform.workspace.objects(subjects.CODE_BUCKET)
    before = platform.do(objects.info(files[path]))
    with f.app.run():
        pass
    assert before is not None
    assert platform.do(objects.info(files[path])) == before


def test_a_serialized_function_travels_without_its_source(platform: Platform) -> None:
    app = App("serialized")
    factor = 3

    @app.function(serialized=True)
    def times(x: int) -> int:
        return x * factor

    with app.run():
        spec = platform.specs[times.object_id]
        assert spec.files == ()
        assert spec.serialized is not None
        objects = platform.workspace.objects(subjects.CODE_BUCKET)
        from squall import _pickling

        function = _pickling.loads(platform.do(objects.get(spec.serialized)))
        assert function(2) == 6


def test_a_serialized_function_may_call_its_siblings(platform: Platform) -> None:
    app = App("siblings")

    @app.function(serialized=True, name="one")
    def one() -> int:
        return 1

    @app.function(serialized=True, name="two")
    def two() -> int:
        return one.remote() + 1

    with app.run():
        assert platform.specs[two.object_id].serialized is not None


def test_a_huge_serialized_function_is_refused(platform: Platform) -> None:
    app = App("huge")
    luggage = os.urandom(17 * 2**20)

    @app.function(serialized=True)
    def carry() -> int:
        return len(luggage)

    with pytest.raises(exception.InvalidError, match="16 MiB"), app.run():
        pass
    assert "StartApp" not in kinds(platform)


def test_include_source_false_ships_nothing(platform: Platform) -> None:
    app = App("bare", include_source=False)
    bare = app.function(name="bare")(f.square.raw)
    with app.run():
        assert platform.specs[bare.object_id].files == ()


def test_a_failing_build_fails_the_run_with_step_and_log(platform: Platform) -> None:
    def failed(request: images.EnsureImage) -> images.ImageStatus:
        return images.ImageStatus(
            image_id=images.image_id(request.recipe),
            state="failed",
            failed_step="RUN false",
            error="exit code 1",
            log_tail="the last line",
        )

    platform.build = failed
    with pytest.raises(exception.ImageBuildError, match="RUN false") as caught, f.app.run():
        pass
    assert caught.value.failed_step == "RUN false"
    assert "the last line" in str(caught.value)
    assert "StartApp" not in kinds(platform)


def test_a_build_is_awaited_and_its_lines_are_shown(
    platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    def building(request: images.EnsureImage) -> images.ImageStatus:
        image_id = images.image_id(request.recipe)
        account = platform.server.workspace.public
        platform.platform.tasks.spawn(_build(platform, account, image_id), "build")
        return images.ImageStatus(image_id=image_id, state="building")

    platform.build = building
    with squall.enable_output(), f.app.run():
        pass
    said = capsys.readouterr().err
    assert "[1/2] step one" in said
    assert "ready" in said


async def _build(platform: Platform, account: str, image_id: str) -> None:
    feed = subjects.build_feed(account, image_id)
    line = images.BuildLine(image_id=image_id, text="step one", step=1, steps=2)
    await platform.platform.publish(feed, line)
    await platform.platform.publish(feed, images.BuildEnded(image_id=image_id, state="ready"))


def test_logs_and_news_are_shown_until_the_containers_closed(
    platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    with squall.enable_output(timestamps=False), f.app.run() as running:
        app_id = str(running.app_id)
        subject = subjects.log("main", app_id, "fn-x", "ct-1")
        news = ContainerNews(container_id="ct-1", function_name="square", state="starting")
        account = platform.server.workspace.public
        platform.do(platform.platform.publish(subjects.app_feed(account, app_id), news))
        platform.do(platform.workspace.store(subject, _batch(app_id, "out", "stdout")))
        platform.do(platform.workspace.store(subject, _batch(app_id, "err", "stderr")))
        last = threading.Timer(
            0.3,
            lambda: platform.do(
                platform.workspace.store(subject, _batch(app_id, "bye", "stdout", closed=True))
            ),
        )
        last.start()
        started = time.monotonic()
    assert time.monotonic() - started < 20
    last.join()
    said = capsys.readouterr()
    assert "out\n" in said.out
    assert "bye\n" in said.out
    assert "err\n" in said.err


def _batch(app_id: str, text: str, source: str, *, closed: bool = False) -> LogBatch:
    line = LogLine(time.time(), source, text)  # type: ignore[arg-type]
    return LogBatch(
        container_id="ct-1",
        function_id="fn-x",
        function_name="square",
        app_id=app_id,
        lines=(line,),
        closed=closed,
    )


def test_deploying_gives_functions_their_ids_for_good(platform: Platform) -> None:
    app = App(
        "deployed"
    )  # its own: what f.app's functions are told here, all later tests would see
    square = app.function(serialized=True, name="square")(f.square.raw)
    assert app.deploy(tag="v1") is app
    sent = platform.asked[-1]
    assert isinstance(sent, apps.DeployApp)
    assert (sent.name, sent.tag) == ("deployed", "v1")
    assert app.app_id is not None
    assert square.object_id.startswith("fn-")
    result = runner.deploy_app(app, name="other")
    assert result.app_name == "other"
    app.stop()
    assert kinds(platform)[-1] == "StopApp"


def test_deploying_needs_a_name_and_a_strategy_that_exists(platform: Platform) -> None:
    with pytest.raises(exception.InvalidError, match="name: an app needs a name"):
        App().deploy()
    with pytest.raises(exception.InvalidError, match="strategy"):
        f.app.deploy(strategy="sideways")
    with pytest.raises(exception.InvalidError, match="at most 50"):
        f.app.deploy(tag="x" * 51)
    assert platform.asked == []


def test_recreating_waits_for_the_end_of_older_containers_and_says_who_deploys(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = App("replaced")
    old = ContainerRecord(
        container_id="ct-old",
        function_id="fn-1",
        function_name="square",
        app_id="ap-1",
        app_name="replaced",
        workspace="",
        environment="main",
        version=0,
        state="draining",
    )
    platform.containers = (old, msgspec.structs.replace(old, container_id="ct-new", version=1))
    monkeypatch.setattr(replacing, "REPLACED_S", 0.2)
    with pytest.warns(exception.ServerWarning, match=r"wait for it: ct-old$"):
        runner.deploy_app(mine, strategy="recreate")
    asked = next(each for each in platform.asked if isinstance(each, apps.DeployApp))
    assert asked.strategy == "recreate"
    assert "@" in asked.deployed_by

    monkeypatch.setattr(replacing, "REPLACED_S", 30.0)

    async def end() -> None:
        news = ContainerNews(container_id="ct-old", function_name="square", state="stopped")
        while not done.is_set():
            app_id = platform.started["replaced"][0]
            subject = subjects.app_feed(platform.server.workspace.public, app_id)
            await platform.platform.publish(subject, news)
            await asyncio.sleep(0.05)

    done = threading.Event()
    telling = asyncio.run_coroutine_threadsafe(end(), platform._loop)
    runner.deploy_app(mine, strategy="recreate")
    done.set()
    telling.result(10)


def test_a_bad_environment_name_is_refused() -> None:
    with pytest.raises(exception.InvalidError, match="environment_name"):
        f.app.run(environment_name="a.b")


def test_an_interrupt_inside_a_run_stops_the_app_and_ends_there(platform: Platform) -> None:
    with f.app.run():
        raise KeyboardInterrupt
    assert kinds(platform)[-1] == "StopApp"


def test_a_detached_run_is_not_stopped(platform: Platform) -> None:
    with f.app.run(detach=True):
        pass
    assert "StopApp" not in kinds(platform)


# --- no server -----------------------------------------------------------------------------------

RUN = "import squall\napp = squall.App('x')\nwith app.run(): pass\n"


def run_alone(tmp_path: Path, **environment: str) -> str:
    """The last line a program without a usable server ends with."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("SQUALL_")}
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        env={**clean, "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    return done.stderr.strip().splitlines()[-1]


def test_without_a_server_the_error_says_how_to_get_one(tmp_path: Path) -> None:
    said = run_alone(tmp_path)
    assert said.startswith("squall.exception.ConnectionError: no Squall server")
    assert "squall up" in said


def test_a_server_that_does_not_answer_is_named(tmp_path: Path, platform: Platform) -> None:
    said = run_alone(
        tmp_path,
        SQUALL_SERVER_URL="nats://127.0.0.1:1",
        SQUALL_CREDENTIALS=str(platform.credentials),
    )
    assert "ConnectionError" in said
    assert "127.0.0.1:1" in said


def test_credentials_the_server_refuses_are_an_auth_error(
    tmp_path: Path, platform: Platform
) -> None:
    text = platform.credentials.read_text()
    foreign = tmp_path / "foreign.creds"
    from squall_bus.access.accounts import write_credentials
    from squall_bus.access.keyring import Keyring

    write_credentials(foreign, Keyring(tmp_path / "keys").client("elsewhere"))
    assert foreign.read_text() != text
    said = run_alone(tmp_path, SQUALL_SERVER_URL=platform.url, SQUALL_CREDENTIALS=str(foreign))
    assert said.startswith("squall.exception.AuthError")


# --- in a container ------------------------------------------------------------------------------


@pytest.fixture
def inside(platform: Platform) -> Iterator[Assignment]:
    """As if this process were a container of the test app."""
    from squall import _container

    credentials: Credentials = config.read_credentials(str(platform.credentials))
    assignment = Assignment(
        container_id="ct-1",
        function_id="fn-1",
        app_id="ap-1",
        app_name="sdk-tests",
        workspace="w",
        environment="main",
        image_id="im-1",
        spec=FunctionSpec(name="square", module="m", qualname="square", image_id="im-1"),
        function_ids={"square": "fn-square"},
        servers=(platform.url,),
        guest=credentials,
        client=credentials,
        files_dir="/",
        root="/",
        flight_record="/dev/null",
        ack_wait_s=5.0,
    )
    _container.enter(assignment)
    yield assignment
    _container._Here.assignment = None
    _container._Here.served = None


def test_in_a_container_siblings_have_ids(inside: Assignment) -> None:
    from squall import _container

    assert not squall.is_local()
    assert _container.serve(f.square) is f.square.raw
    assert f.square.object_id == "fn-square"
    inputs = Inputs("fc-abc", "reply.main.cl-1.fc-abc", (), scheduled_unix_s=3600.0)
    with _container.running(inputs, 3):
        assert squall.current_input_id() == "in-abc-3"
        assert squall.current_function_call_id() == "fc-abc"
        assert str(squall.current_scheduled_time()) == "1970-01-01 01:00:00+00:00"
    assert squall.current_scheduled_time() is None
    assert squall.current_input_id() is None


def test_in_a_container_a_run_at_import_is_refused(inside: Assignment) -> None:
    with pytest.raises(exception.InvalidError, match="__main__"), f.app.run():
        pass


def test_handles_travel_as_arguments(inside: Assignment) -> None:
    import pickle

    copy = pickle.loads(pickle.dumps(f.square))
    assert copy.object_id == "fn-square"
    call = squall.FunctionCall.from_id("fc-" + "a" * 22)
    assert pickle.loads(pickle.dumps(call)).object_id == call.object_id


# --- plain output --------------------------------------------------------------------------------


def test_quiet_output_shows_logs_only(capsys: pytest.CaptureFixture[str]) -> None:
    output = PlainOutput(quiet=True, timestamps=True)
    output.app_started("x", "ap-1")
    output.logs(_batch("ap-1", "hello", "stdout"))
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.endswith(" hello\n")


def test_live_output_draws_states_and_progress() -> None:
    from rich.console import Console
    from squall._console.live import LiveOutput

    drawn = io.StringIO()
    output = LiveOutput(
        timestamps=False, console=Console(file=drawn, force_terminal=True, width=100)
    )
    output.build_started("im-1")
    output.build_line(images.BuildLine(image_id="im-1", text="RUN pip", step=1, steps=3))
    output.build_ended("im-1", "ready")
    output.container(
        ContainerNews(
            container_id="ct-1", function_name="f", state="requested", waits_for="4 cores"
        )
    )
    output.container(ContainerNews(container_id="ct-1", function_name="f", state="ready"))
    output.progress(1, "f", 3, 10, True)
    output.progress(1, "f", 4, 10, True)
    output.logs(_batch("ap-1", "printed", "stdout"))
    output.progress_ended(1)
    output.close()
    text = drawn.getvalue()
    assert "RUN pip" in text
    assert "printed" in text


def test_the_end_of_logs_is_not_awaited_forever(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("squall._console.showing.LOGS_TIMEOUT_S", 0.2)
    with f.app.run():
        client = _client.current()
        assert client is not None
        show = AppOutput(client, PlainOutput(quiet=True, timestamps=False), "main", "ap-x")
        show._open.add("ct-silent")
        from squall._sync import run

        run(asyncio.wait_for(show.finish(stopped=True), 30))
    assert "ct-silent" in capsys.readouterr().err
