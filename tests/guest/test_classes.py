"""Classes in their container: hooks around inputs, methods, and the order of the end."""

import signal
from typing import Any

from squall_contracts.calls import Exhausted
from squall_contracts.functions import MethodSpec, ParameterSpec
from squall_contracts.guest import EXIT_STARTUP

from tests.guest.rig import Function, Rig, eventually

SIZE = ParameterSpec(name="size", kind="int", default=2)
METHODS = (MethodSpec(name="story", is_async=True), MethodSpec(name="in_thread"))


async def service(rig: Rig, qualname: str = "Service", **fields: Any) -> Function:
    return await rig.function(qualname, methods=METHODS, parameters=(SIZE,), **fields)


async def test_hooks_run_once_parent_first_on_the_loop_of_the_inputs(rig: Rig) -> None:
    function = await service(rig, arguments={"size": 5})
    guest = await function.guest(ready=False)
    report = await guest.report("ready")
    assert "enter" in report.phases_ms
    for _ in range(2):
        call = await function.call_method("story")
        assert await call.value() == (["first 5", "second"], True)


async def test_sync_methods_beside_async_ones_run_in_threads(rig: Rig) -> None:
    function = await service(rig, max_inputs=4)
    await function.guest()
    calls = [await function.call_method("in_thread", 0.3) for _ in range(4)]
    names = {await call.value() for call in calls}
    assert len(names) == 4
    assert all(name.startswith("squall-input") for name in names)


async def test_methods_of_a_sync_class_run_on_the_main_thread(rig: Rig) -> None:
    function = await service(rig, "SyncService")
    await function.guest()
    assert await (await function.call_method("on_main")).value() is True


async def test_generator_methods_yield(rig: Rig) -> None:
    function = await service(rig)
    await function.guest()
    call = await function.call_method("numbers")
    assert await call.outcome() == Exhausted(0, 2)
    assert call.yielded() == [0, 1]


async def test_unknown_method_is_a_clear_error(rig: Rig) -> None:
    function = await service(rig)
    await function.guest()
    failure = await (await function.call_method("nope")).failure()
    assert "has no method 'nope'; it has: story" in failure.message


async def test_timeout_reaches_a_sync_method_in_its_thread(rig: Rig) -> None:
    function = await service(rig, timeout_s=1)
    await function.guest()
    failure = await (await function.call_method("spin")).failure()
    assert failure.kind == "timeout"
    assert (await (await function.call_method("story")).value())[1]


async def test_enter_hook_that_raises_fails_the_start(rig: Rig) -> None:
    function = await rig.function("BrokenService", methods=(MethodSpec(name="run"),))
    guest = await function.guest(ready=False)
    assert await guest.exit_code() == EXIT_STARTUP
    reports = [guest.reports.get_nowait() for _ in range(guest.reports.qsize())]
    assert reports[-1].failure is not None
    assert reports[-1].failure.message == "Odd: no weights"


async def test_exit_hooks_run_on_sigterm_and_their_errors_are_logged(rig: Rig) -> None:
    function = await service(rig)
    guest = await function.guest()
    await (await function.call_method("story")).value()
    guest.signal(signal.SIGTERM)
    assert await guest.exit_code() == 0
    printed = guest.output()
    assert printed.index("parent left") < printed.index("exit hook")
    assert "Odd: exit hook" in printed
    assert "left on the same loop: True" in printed


async def test_exit_hook_that_hangs_is_ended_by_a_second_signal(rig: Rig) -> None:
    function = await rig.function("Lingerer", methods=(MethodSpec(name="run"),))
    guest = await function.guest()
    await (await function.call_method("run")).value()
    guest.signal(signal.SIGTERM)
    await eventually(lambda: "lingering" in guest.output(), "the hook runs")
    guest.signal(signal.SIGTERM)
    assert await guest.exit_code() == 143


async def test_single_use_container_ends_after_one_input(rig: Rig) -> None:
    function = await rig.function("double", single_use=True)
    first = await function.guest()
    calls = [await function.call(1), await function.call(2, lane="bulk")]
    assert await first.exit_code() == 0
    assert sum(bool(call.reports) for call in calls) == 1
    second = await function.guest()
    assert {await call.value() for call in calls} == {2, 4}
    assert await second.exit_code() == 0
