"""Containers that work together, that serve what their hooks started, and that end themselves."""

import urllib.request
from types import ModuleType

import pytest
import squall

from .conftest import Program, Server


@pytest.fixture
def gangs(program: Program) -> ModuleType:
    return program("gangs")


def test_each_container_of_a_cluster_knows_its_rank_and_the_others(gangs: ModuleType) -> None:
    word, rank, ids, in_place = gangs.ranks.remote("together")
    assert (word, rank, in_place) == ("together", 0, True)
    assert len(set(ids)) == 3


def test_containers_of_a_cluster_reach_one_another_and_others_dont(
    gangs: ModuleType, server: Server
) -> None:
    told, stranger = gangs.ring.remote()
    assert told == ["1", "2"]
    if server.runtime == "docker":
        assert not stranger


def test_exception_of_any_rank_fails_the_call(gangs: ModuleType) -> None:
    with pytest.raises(ValueError, match="rank 1 is out"):
        gangs.fails_behind.remote()


def test_container_that_takes_no_more_inputs_ends(gangs: ModuleType) -> None:
    assert gangs.last_input.remote() != gangs.last_input.remote()


def test_server_answers_what_its_hook_started(gangs: ModuleType) -> None:
    url = gangs.Files.get_url()
    assert isinstance(gangs.Files, squall.Server)
    with urllib.request.urlopen(url, timeout=60) as answer:
        assert answer.status == 200


def test_call_graph_shows_the_calls_an_input_made(gangs: ModuleType) -> None:
    call = gangs.trunk.spawn()
    assert call.get() == 1
    while True:  # what it spawned may outlast it
        (root,) = call.get_call_graph()
        branch, leaf = sorted(root.children, key=lambda info: info.function_name)
        if leaf.status is not squall.types.InputStatus.PENDING:
            break
    assert (branch.function_name, branch.status) == ("branch", squall.types.InputStatus.SUCCESS)
    assert (leaf.function_name, leaf.status) == ("leaf", squall.types.InputStatus.FAILURE)
    below = [(info.function_name, info.status.name) for info in branch.children]
    assert below == [("leaf", "SUCCESS")] * 2
    assert leaf.children == []


def test_logs_and_call_graph_tell_what_ran(gangs: ModuleType) -> None:
    call = gangs.last_input.spawn()
    container = call.get()
    (info,) = call.get_call_graph()
    assert info.status is squall.types.InputStatus.SUCCESS
    assert info.task_id == container
    printed: list[squall.types.LogEntry] = []
    while not printed:  # they travel behind the result
        printed = list(gangs.last_input.logs.fetch(search_text="last input", source="stdout"))
    assert printed[-1].object_id == container
    assert [entry.message for entry in gangs.app.logs.tail(1000)].count(printed[-1].message) >= 1
    assert gangs.last_input.info().app_name == "gangs"
    assert gangs.app.info().state == "ephemeral"
