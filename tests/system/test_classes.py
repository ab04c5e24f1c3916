"""Classes, concurrency and batches, on the whole stack."""

import time
from pathlib import Path

import pytest
import squall

from .conftest import Program, Server

DEADLINE_S = 30.0


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


def test_exit_hooks_run_when_the_container_stops(
    program: Program, server: Server, tmp_path: Path
) -> None:
    left = tmp_path / "left"
    module = program("classes")
    path = str(left) if server.runtime == "process" else ""
    assert module.Leaver(path=path).stay.remote() == path
    squall.App.stop(module.app)
    if server.runtime == "process":
        deadline = time.monotonic() + DEADLINE_S
        while not left.exists():
            assert time.monotonic() < deadline, "the exit hook did not run"
            time.sleep(0.05)
        assert left.read_text() == "left in order"


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
