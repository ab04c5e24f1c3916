"""Classes, concurrency and batches, on the whole stack."""

import asyncio

import pytest
import squall
from squall import _client, _sync
from squall._console.logs import follow
from squall_contracts import subjects

from .conftest import Program

DEADLINE_S = 60.0


def test_ten_calls_on_one_container_load_once(program: Program) -> None:
    model = program("classes").Model()
    results = [model.times.remote(x) for x in range(10)]
    assert [value for value, *_ in results] == [x * 2 for x in range(10)]
    assert {loads for _, loads, *_ in results} == {1}
    assert len({container for _, _, container, _ in results}) == 1
    assert all(same_loop for *_, same_loop in results)


def test_parameters_choose_a_pool_of_their_own(program: Program) -> None:
    module = program("classes")
    two, three = module.Model(), module.Model(size=3)
    value, _, container, _ = two.times.remote(5)
    other_value, _, other_container, _ = three.times.remote(5)
    assert (value, other_value) == (10, 15)
    assert container != other_container
    assert module.Model(size=2).times.remote(1)[2] == container
    assert list(three.count.remote_gen()) == [0, 1, 2]
    assert [value for value, *_ in three.times.map([1, 2, 3])] == [3, 6, 9]


def test_exit_hooks_run_when_the_container_stops(program: Program) -> None:
    module = program("classes")
    app_id = module.app.app_id
    assert module.Leaver(name="ada").stay.remote() == "ada"
    module.app.stop()
    assert "ada left in order" in _sync.run(logged_by(app_id))


async def logged_by(app_id: str) -> list[str]:
    """What the app's only container printed, to its end."""
    client = await _client.connected()
    lines: list[str] = []
    async with asyncio.timeout(DEADLINE_S):
        async for batch in follow(client, subjects.logs_of_app("main", app_id)):
            lines += [line.text for line in batch.lines]
            if batch.closed:
                break
    return lines


def test_concurrent_inputs_overlap(program: Program) -> None:
    crowd = program("classes").Crowd()
    crowd.wait.remote(0.0)
    spans = list(crowd.wait.map([0.5] * 4))
    assert max(began for began, _ in spans) < min(ended for _, ended in spans)


def test_batches_are_filled_and_shared_out(program: Program) -> None:
    module = program("classes")
    assert module.in_batches.remote(7) == (70, 1)
    results = list(module.in_batches.map(range(8)))
    assert [value for value, _ in results] == [x * 10 for x in range(8)]
    assert max(size for _, size in results) == 4
    with pytest.raises(squall.exception.InvalidError, match="returned 0 results for a batch of 1"):
        module.short.remote(1)


def test_single_use_containers_take_one_input(program: Program) -> None:
    module = program("classes")
    containers = [module.once.remote() for _ in range(3)]
    assert len(set(containers)) == 3


def test_methods_call_their_own_instance_and_other_pools(program: Program) -> None:
    assert program("classes").Crowd().nested.remote() == 14


def test_deployed_class_is_found_by_name(program: Program) -> None:
    module = program("classes")
    deployed = squall.App("deployed-classes").include(module.app)
    deployed.deploy()
    try:
        found = squall.Cls.from_name("deployed-classes", "Model")
        assert found(size=5).times.remote(3)[0] == 15
        assert found().times.remote(3)[0] == 6
        with pytest.raises(squall.exception.NotFoundError, match="no method 'other'"):
            found().other.remote()
        with pytest.raises(squall.exception.NotFoundError, match=r"Cls\.from_name"):
            squall.Function.from_name("deployed-classes", "Model").remote()
        with pytest.raises(squall.exception.NotFoundError, match=r"Function\.from_name"):
            squall.Cls.from_name("deployed-classes", "once")().any.remote()
    finally:
        deployed.stop()
