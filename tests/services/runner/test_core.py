"""The runner's decisions, as properties first."""

from hypothesis import given
from hypothesis import strategies as st
from squall_contracts.functions import FileEntry, FunctionSpec, Resources
from squall_contracts.placement import ENDED, ContainerState, StartContainer
from squall_runner import core

STATES: list[ContainerState] = [
    "requested",
    "placed",
    "starting",
    "importing",
    "ready",
    "draining",
    "stopped",
    "failed",
]
slot_names = st.sampled_from([f"s{n}" for n in range(6)])
found_lists = st.lists(
    st.builds(core.Found, slot=slot_names, handle=st.just("h"), begun=st.booleans()),
    unique_by=lambda item: item.slot,
)
remembered_lists = st.lists(
    st.builds(
        core.Remembered,
        slot=slot_names,
        container_id=st.sampled_from(["", "c0", "c1", "c2"]),
        started=st.booleans(),
    ),
    unique_by=lambda item: item.slot,
)
known_maps = st.dictionaries(st.sampled_from(["c0", "c1", "c2"]), st.sampled_from(STATES))
resources = st.builds(
    Resources,
    cpu=st.floats(0.001, 1024),
    cpu_limit=st.none() | st.floats(0.001, 1024),
    memory_mib=st.integers(1, 1 << 20),
    memory_limit_mib=st.none() | st.integers(1, 1 << 20),
)


def start(**fields: object) -> StartContainer:
    spec = FunctionSpec(
        name="f",
        module="m",
        qualname="f",
        image_id="im-1",
        **fields,  # type: ignore[arg-type]
    )
    return StartContainer(
        container_id="ct-1",
        function_id="fn-1",
        app_id="ap-1",
        app_name="app",
        workspace="A",
        environment="main",
        version=1,
        spec=spec,
    )


@given(found_lists, remembered_lists, known_maps)
def test_every_slot_gets_one_decision(
    found: list[core.Found],
    remembered: list[core.Remembered],
    known: dict[str, ContainerState],
) -> None:
    plan = core.adoption(found, remembered, known)
    decided = [*plan.adopt, *plan.lost, *plan.remove]
    assert sorted(decided) == sorted({item.slot for item in found} | {r.slot for r in remembered})


@given(found_lists, remembered_lists, known_maps)
def test_only_what_all_agree_on_is_adopted(
    found: list[core.Found],
    remembered: list[core.Remembered],
    known: dict[str, ContainerState],
) -> None:
    plan = core.adoption(found, remembered, known)
    memories = {item.slot: item for item in remembered}
    alive = {item.slot for item in found if item.begun}
    for slot in plan.adopt:
        assert slot in alive
        assert known[memories[slot].container_id] not in ENDED
    for slot in plan.lost:
        assert slot not in {item.slot for item in found}
        assert known[memories[slot].container_id] not in ENDED


@given(resources, st.floats(1, 128))
def test_limits_are_what_docker_accepts(wanted: Resources, cores: float) -> None:
    limits = core.limits(wanted, pids=100, cores=cores)
    assert limits.cpu_shares >= 2
    assert limits.nano_cpus == 0 or 10_000_000 <= limits.nano_cpus <= cores * 1e9
    if limits.memory_bytes:
        assert limits.memory_reservation_bytes <= limits.memory_bytes
    assert (limits.memory_bytes == 0) == (wanted.memory_limit_mib is None)


@given(resources, resources)
def test_warm_containers_never_keep_a_limit_nobody_asked_for(a: Resources, b: Resources) -> None:
    have, wanted = (core.limits(each, pids=100, cores=8) for each in (a, b))
    if core.can_become(have, wanted):
        assert not (have.memory_bytes and not wanted.memory_bytes)
        assert not (have.nano_cpus and not wanted.nano_cpus)
    assert core.can_become(have, have)


@given(
    st.lists(st.sampled_from(["H100:1", "H100:2", "A100:1", "any:1", "any:3", "T4"]), max_size=3),
    st.lists(st.sampled_from(["H100", "A100", "T4"]), max_size=6),
    st.sets(st.integers(0, 5)),
)
def test_gpus_are_free_of_one_type_and_as_many_as_asked(
    requests: list[str], devices: list[str], taken: set[int]
) -> None:
    chosen = core.choose_gpus(requests, devices, taken)
    if not requests:
        assert chosen == ()
    elif chosen is not None:
        assert not taken & set(chosen)
        assert len({devices[number] for number in chosen}) == 1
        counts = {int(request.partition(":")[2] or 1) for request in requests}
        assert len(set(chosen)) in counts


def test_gpus_follow_the_order_of_preference() -> None:
    devices = ("A100", "H100", "H100")
    assert core.choose_gpus(("H100:2", "A100:1"), devices, set()) == (1, 2)
    assert core.choose_gpus(("H100:2", "A100:1"), devices, {1}) == (0,)
    assert core.choose_gpus(("H100:3",), devices, set()) is None


@given(st.none() | st.integers(0, 255), st.booleans(), st.none() | st.text())
def test_verdict_is_an_end_in_one_line(
    code: int | None, out_of_memory: bool, stop_reason: str | None
) -> None:
    told = core.verdict(
        code, out_of_memory=out_of_memory, stop_reason=stop_reason, memory_limit_mib=None
    )
    assert told.state in ENDED
    assert stop_reason is None or (told.state, told.reason) == ("stopped", stop_reason)
    if stop_reason is None:
        assert told.reason
        assert "\n" not in told.reason
        assert (told.state == "stopped") == (code == 0 and not out_of_memory)


def test_verdict_names_memory_and_signals() -> None:
    def reason(code: int | None, *, oom: bool = False, limit: int | None = None) -> str:
        return core.verdict(
            code, out_of_memory=oom, stop_reason=None, memory_limit_mib=limit
        ).reason

    assert reason(137, oom=True, limit=512) == "container killed: out of memory (limit 512 MiB)"
    assert reason(137) == "container killed by SIGKILL, exit code 137"
    assert reason(139) == "container killed by SIGSEGV, exit code 139"
    assert reason(42) == "container exited with code 42"
    assert "while its runner was away" in reason(None)


def test_function_variables_do_not_hide_squalls() -> None:
    env = core.environment(start(env={"A": "1", "SQUALL_TASK_ID": "x", "OMP_NUM_THREADS": "9"}))
    assert env["A"] == "1"
    assert env["OMP_NUM_THREADS"] == "9"
    assert env["MKL_NUM_THREADS"] == "1"
    assert env["SQUALL_TASK_ID"] == env["MODAL_TASK_ID"] == "ct-1"
    assert env["SQUALL_IS_REMOTE"] == "1"


def test_threads_follow_the_reserved_cores() -> None:
    assert core.environment(start(resources=Resources(cpu=2.5)))["OMP_NUM_THREADS"] == "3"


def test_variables_only_a_start_reads_need_one() -> None:
    assert core.starts_alone({"PYTHONOPTIMIZE": "1"})
    assert core.starts_alone({"LD_PRELOAD": "x.so"})
    assert not core.starts_alone({"A": "1", "PATH": "/bin"})


def test_process_runtime_refuses_files_outside_root() -> None:
    entry = FileEntry(path="/etc/motd", sha256="0" * 64, size_bytes=1)
    refused = core.refusal(start(files=(entry,)).spec, "process")
    assert refused is not None
    assert "/etc/motd" in refused
    assert "Docker" in refused
    assert core.refusal(start(files=(entry,)).spec, "docker") is None


def test_memory_limit_below_dockers_least_is_refused() -> None:
    spec = start(resources=Resources(memory_limit_mib=3)).spec
    assert "3 MiB" in (core.refusal(spec, "docker") or "")


def test_old_and_unknown_pythons_are_refused_by_image() -> None:
    assert core.python_refusal("im-1", "3.11") is None
    assert core.python_refusal("im-1", "3.14.1") is None
    for version in ("3.10", "2.7", "", "x.y"):
        assert "im-1" in (core.python_refusal("im-1", version) or "")
