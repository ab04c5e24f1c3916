"""What the REST API decides: which route a request is for, how long it waits, what is told of it."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from squall_contracts.calls import Exhausted, Raised, Report, Retrying, Returned, Yielded
from squall_contracts.failures import Failure
from squall_contracts.forms import is_json
from squall_gateway.rest import routes
from squall_gateway.rest.calling import patience
from squall_gateway.rest.outcomes import outcome_in
from squall_gateway.rest.problems import ProblemError
from squall_gateway.rest.streaming import position_after

FAILURE = Failure(kind="exception", message="no")
SEGMENT = st.text(string.ascii_letters + string.digits + "-._~", min_size=1, max_size=10)


@given(st.sampled_from(routes.ROUTES), st.data())
def test_a_path_made_of_a_routes_template_finds_that_route(
    route: routes.Route, data: st.DataObject
) -> None:
    values: dict[str, str] = {}
    segments = []
    for part in route.path.split("/"):
        if part.startswith("{"):
            values[part[1:-1]] = data.draw(SEGMENT)
            segments.append(values[part[1:-1]])
        else:
            segments.append(part)
    found = routes.find(route.method, "/".join(segments))
    assert found == routes.Matched(route, values)
    assert isinstance(routes.find("PATCH", "/".join(segments)), tuple)
    assert route.method in routes.find("PATCH", "/".join(segments))  # type: ignore[operator]


def test_no_two_routes_answer_one_request() -> None:
    assert len({(route.method, route.path) for route in routes.ROUTES}) == len(routes.ROUTES)
    assert len({route.operation for route in routes.ROUTES}) == len(routes.ROUTES)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, 150.0),
        ({"wait": True}, 150.0),
        ({"wait": False}, 0.0),
        ({"Prefer": "respond-async"}, 0.0),
        ({"Prefer": "return=minimal, respond-async; wait=3"}, 0.0),
        ({"Prefer": "wait=3"}, 3.0),
        ({"Prefer": 'Wait="3"'}, 3.0),
        ({"Prefer": "wait=100000"}, 150.0),
        ({"Prefer": "wait=-1"}, 150.0),
        ({"Prefer": "wait=³"}, 150.0),
        ({"Prefer": ",;=,"}, 150.0),
    ],
)
def test_a_client_says_how_long_it_waits(given: dict[str, object], expected: float) -> None:
    assert patience(given, 150.0) == expected


@given(st.text(max_size=40))
def test_any_preference_is_read(text: str) -> None:
    assert 0 <= patience({"Prefer": text}, 150.0) <= 150.0


def test_a_stream_goes_on_behind_the_last_event_that_was_heard() -> None:
    assert position_after("") == 0
    assert position_after("41") == 42
    for text in ("x", "-1", "9" * 30, "²"):
        with pytest.raises(ProblemError):
            position_after(text)


def test_the_first_outcome_of_an_input_counts_and_progress_is_none() -> None:
    reports: list[Report] = [
        Retrying(0, 0, 1.0, "no"),
        Yielded(0, 0, 0, b"1"),
        Returned(1, b"1"),
        Exhausted(0, 1),
        Raised(0, FAILURE),
    ]
    assert outcome_in(reports, 0) == Exhausted(0, 1)
    assert outcome_in(reports, 1) == Returned(1, b"1")
    assert outcome_in(reports, 2) is None
    assert outcome_in([Raised(-1, FAILURE)], 7) == Raised(-1, FAILURE)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_a_payload_says_itself_whether_it_is_json(value: object) -> None:
    import json
    import pickle

    assert is_json(json.dumps(value).encode())
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert not is_json(pickle.dumps(value, protocol))
    assert not is_json(b"")
