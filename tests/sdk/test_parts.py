"""The SDK's small parts, each by itself."""

import os
import pickle
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from squall import _ids, _pickling, config, exception
from squall._apps import loader
from squall._apps.source import source_of
from squall._calling.generating import Sequence
from squall._calling.mapping import MAX_GROUP, Ordering, group_size
from squall._calling.unary import Outcome
from squall._traceback import to_exception
from squall.app import LocalEntrypoint
from squall.function import Function
from squall_contracts.calls import Exhausted, Raised, Report, Returned, Yielded
from squall_contracts.failures import Failure, FailureKind

# --- weight ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "forbidden"),
    [
        (
            "import squall",
            {"nats", "asyncio", "typer", "rich", "aiohttp", "cloudpickle", "msgspec"},
        ),
        (
            "import squall; squall.App; squall.Image",
            {"nats", "typer", "rich", "aiohttp", "cloudpickle", "uvloop", "anyio", "structlog"},
        ),
        (
            "import squall.function; from squall import _container, _pickling",
            {"nats", "typer", "rich", "aiohttp", "anyio", "structlog"},
        ),
    ],
)
def test_importing_stays_light(code: str, forbidden: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not forbidden & set(done.stdout.split())


def test_every_public_name_is_there() -> None:
    import squall

    assert all(getattr(squall, name) is not None for name in squall.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = squall.nonsense


# --- ids and pickles ------------------------------------------------------------------------------


def test_call_ids_are_unique_and_of_the_right_shape() -> None:
    ids = [_ids.new_call_id() for _ in range(5000)]
    assert len(set(ids)) == 5000
    assert all(each.startswith("fc-") and len(each) == 25 and each[3:].isalnum() for each in ids)


def test_a_forked_child_draws_ids_of_its_own() -> None:
    _ids.new_call_id()
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writing, " ".join(_ids.new_call_id() for _ in range(50)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = set(os.read(reading, 10_000).decode().split())
    assert not theirs & {_ids.new_call_id() for _ in range(500)}
    os.close(reading)
    os.close(writing)


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
)


@given(PLAIN)
def test_what_is_pickled_comes_back(value: object) -> None:
    assert _pickling.loads(_pickling.dumps(value)) == value


def test_functions_of_main_travel_by_value() -> None:
    code = (
        "from squall import _pickling\n"
        "import pickle\n"
        "def f(x): return x + 1\n"
        "print(_pickling.dumps((f, 1)).hex())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    function, _ = pickle.loads(bytes.fromhex(done.stdout.strip()))
    assert function(1) == 2


# --- failures -------------------------------------------------------------------------------------

TRACE = """Traceback (most recent call last):
  File "/root/hello.py", line 12, in outer
    return inner(x)
           ^^^^^^^^
  File "/root/hello.py", line 7, in inner
    raise ValueError("x")
ValueError: x
"""


def test_remote_frames_are_shown_with_their_source() -> None:
    failure = Failure(
        kind="exception",
        message="ValueError: x",
        pickled=_pickling.dumps(ValueError("x")),
        traceback=TRACE,
    )
    error = to_exception(failure, "ct-1")
    assert isinstance(error, ValueError)
    shown = "".join(traceback.format_exception(error))
    assert 'File "<ct-1>:/root/hello.py", line 12, in outer' in shown
    assert 'raise ValueError("x")' in shown


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("timeout", exception.FunctionTimeoutError),
        ("cancelled", exception.RemoteError),
        ("container_lost", exception.ContainerLostError),
        ("startup", exception.ExecutionError),
        ("result", exception.SerializationError),
        ("arguments", exception.DeserializationError),
        ("internal", exception.InternalFailure),
        ("exception", exception.SerializationError),
    ],
)
def test_each_kind_of_failure_has_its_error(kind: FailureKind, expected: type[Exception]) -> None:
    error = to_exception(Failure(kind=kind, message="it went wrong", traceback=TRACE))
    assert type(error) is expected
    assert "it went wrong" in str(error)


def test_a_start_failure_keeps_the_original_type() -> None:
    failure = Failure(kind="startup", message="no", pickled=_pickling.dumps(ImportError("no")))
    assert type(to_exception(failure)) is ImportError


def test_an_exception_that_cannot_be_read_here_shows_the_remote_traceback() -> None:
    pickled = b"\x80\x05cno_such_module\nError\n."
    failure = Failure(kind="exception", message="Error: x", pickled=pickled, traceback=TRACE)
    error = to_exception(failure)
    assert isinstance(error, exception.ExecutionError)
    assert "no_such_module" in str(error)
    assert "line 7, in inner" in str(error)


@pytest.mark.parametrize("original", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_a_remote_exit_does_not_end_the_caller(original: BaseException) -> None:
    failure = Failure(kind="exception", message="exit", pickled=_pickling.dumps(original))
    error = to_exception(failure)
    assert type(error) is exception.RemoteError
    assert type(original).__name__ in str(error)


# --- generators and maps --------------------------------------------------------------------------


@given(st.lists(st.integers(0, 9)), st.integers(0, 10))
def test_each_position_is_yielded_once_and_in_order(noise: list[int], count: int) -> None:
    """Reruns repeat positions and replays shuffle them: the reader sees neither."""
    sequence = Sequence()
    reports: list[Report] = [
        *(Yielded(0, 0, position, b"%d" % position) for position in noise if position < count),
        *(Yielded(0, 1, position, b"%d" % position) for position in range(count)),
        Exhausted(0, count),
        *(Yielded(0, 2, position, b"late") for position in range(count)),
    ]
    seen = [due for report in reports for due in sequence.take(report)]
    assert seen == [*(b"%d" % position for position in range(count)), None]


def test_a_generators_failure_comes_behind_its_items() -> None:
    sequence = Sequence()
    failed = Raised(0, Failure(kind="exception", message="x"))
    assert sequence.take(Yielded(0, 0, 0, b"a")) == [b"a"]
    assert sequence.take(failed) == [failed]
    assert sequence.take(Yielded(0, 0, 1, b"b")) == []


@given(st.permutations(range(12)))
def test_ordering_hands_on_every_outcome_in_order(arrivals: list[int]) -> None:
    order = Ordering(ordered=True)
    outcomes = {index: Outcome(Returned(index, b"")) for index in arrivals}
    handed = [due for index in arrivals for due in order.take(index, outcomes[index])]
    assert handed == [outcomes[index] for index in range(12)]


@given(st.floats(1e-7, 10), st.integers(0, 5000))
def test_groups_are_short_and_leave_work_for_others(run_s: float, under_way: int) -> None:
    size = group_size(run_s, under_way, retryable=False)
    assert 1 <= size <= MAX_GROUP
    assert size == 1 or (size * run_s <= 0.0101 and size * 8 <= under_way)
    assert group_size(run_s, under_way, retryable=True) == 1
    assert group_size(None, under_way, retryable=False) == 1


# --- finding a server -----------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("SERVER_URL", "CREDENTIALS", "ENVIRONMENT", "PROFILE"):
        monkeypatch.delenv(f"SQUALL_{name}", raising=False)
    monkeypatch.setenv("SQUALL_CONFIG_PATH", str(tmp_path / "squall.toml"))
    monkeypatch.setenv("SQUALL_STATE_DIR", str(tmp_path / "state"))
    return tmp_path


def test_with_nothing_configured_there_is_no_server(home: Path) -> None:
    assert config.find_server() is None
    assert config.settings().environment == "main"


def test_the_environment_wins_over_the_profile(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.save_profile("lab", {"server_url": "nats://lab:4222", "credentials": "/lab.creds"})
    found = config.find_server()
    assert found is not None
    assert (found.url, found.credentials) == ("nats://lab:4222", "/lab.creds")
    monkeypatch.setenv("SQUALL_SERVER_URL", "nats://here:4222")
    found = config.find_server()
    assert found is not None
    assert found.url == "nats://here:4222"


def test_profiles_are_kept_and_switched(home: Path) -> None:
    config.save_profile("a", {"environment": "one"})
    config.save_profile("b", {"environment": "two"})
    assert config.settings().environment == "one"
    config.activate_profile("b")
    assert config.settings().environment == "two"
    assert (home / "squall.toml").stat().st_mode & 0o777 == 0o600
    with pytest.raises(exception.NotFoundError, match="no profile 'c'"):
        config.activate_profile("c")
    with pytest.raises(exception.InvalidError, match="unknown key 'colour'"):
        config.save_profile("a", {"colour": "red"})


def test_a_broken_file_is_named(home: Path) -> None:
    (home / "squall.toml").write_text("= 3")
    with pytest.raises(exception.InvalidError, match=r"squall\.toml"):
        config.settings()


def test_a_running_server_announces_itself(home: Path) -> None:
    state = home / "state"
    state.mkdir()
    said = '{"url": "nats://127.0.0.1:1", "pid": %d, "credentials": "c", "runtime": "docker"}'
    (state / "server.json").write_text(said % os.getpid())
    found = config.find_server()
    assert found is not None
    assert found.runtime == "docker"
    (state / "server.json").write_text(said % 2**22)
    assert config.find_server() is None
    (state / "server.json").write_text("{}")
    with pytest.raises(exception.InvalidError, match="damaged"):
        config.find_server()


def test_a_url_without_credentials_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUALL_SERVER_URL", "nats://here:4222")
    with pytest.raises(exception.InvalidError, match="SQUALL_CREDENTIALS"):
        config.find_server()


def test_credentials_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(exception.AuthError, match="No such file"):
        config.read_credentials(str(tmp_path / "none.creds"))
    (tmp_path / "bad.creds").write_text("hello")
    with pytest.raises(exception.AuthError, match="not a NATS credentials file"):
        config.read_credentials(str(tmp_path / "bad.creds"))


# --- source and loading ---------------------------------------------------------------------------

SCRIPT = """
import squall
app = squall.App("loaded")

@app.function()
def work(x: int) -> int:
    return x

@app.local_entrypoint()
def main(): ...
"""


@pytest.fixture
def path_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))


def test_a_file_is_imported_under_its_stem(tmp_path: Path, path_kept: None) -> None:
    file = tmp_path / "01_script.py"
    file.write_text(SCRIPT)
    module = loader.load_module(str(file))
    assert module.__name__ == "01_script"
    assert set(loader.find_apps(module)) == {"app"}
    assert isinstance(loader.pick(module, None), LocalEntrypoint)
    work = loader.pick(module, "app.work")
    assert isinstance(work, Function)
    source = source_of(work.raw)
    assert source.module == "01_script"
    assert source.files == {"/root/01_script.py": file}
    with pytest.raises(exception.InvalidError, match="it has: main, work"):
        loader.pick(module, "nothing")


def test_a_missing_file_or_module_is_named(path_kept: None) -> None:
    with pytest.raises(exception.InvalidError, match=r"no_such\.py: there is no such file"):
        loader.load_module("no_such.py")
    with pytest.raises(exception.InvalidError, match="no_such_module: there is no such module"):
        loader.load_module("no_such_module", as_module=True)


def test_a_package_is_shipped_whole_without_hidden_folders(
    tmp_path: Path, path_kept: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "shipped"
    (package / "sub").mkdir(parents=True)
    (package / ".hidden").mkdir()
    for name in ("__init__.py", "sub/__init__.py", "sub/work.py", ".hidden/no.py", "data.txt"):
        (package / name).write_text("def f(): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    module: Any = loader.load_module("shipped.sub.work")
    source = source_of(module.f)
    assert source.module == "shipped.sub.work"
    assert sorted(source.files) == [
        "/root/shipped/__init__.py",
        "/root/shipped/sub/__init__.py",
        "/root/shipped/sub/work.py",
    ]
