"""Traces: one for each call, from the client through the services into containers and on."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from squall_bus.tracing import Tracing, TracingError, wanted

from tests.system.conftest import PROGRAMS, Server


class Span(NamedTuple):
    name: str
    service: str
    trace: str
    own: str
    parent: str
    seen: dict[str, Any]


def spans_of(file: Path) -> list[Span]:
    found = []
    for line in file.read_text().splitlines():
        seen = json.loads(line)
        context = seen["context"]
        found.append(
            Span(
                seen["name"],
                seen["resource"]["attributes"]["service.name"],
                context["trace_id"].removeprefix("0x"),
                context["span_id"].removeprefix("0x"),
                (seen["parent_id"] or "").removeprefix("0x"),
                seen,
            )
        )
    return found


@pytest.fixture(scope="module")
def spans(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Span]]:
    """What a server, a client and their containers told of one program."""
    folder = tmp_path_factory.mktemp("traces")
    file = folder / "spans"
    asked = {"OTEL_TRACES_EXPORTER": "file", "SQUALL_TRACES_FILE": str(file)}
    server = Server("process", folder / "state")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in asked.items():
            patch.setenv(name, value)
        server.start("--ephemeral")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "squall.cli", "run", "-q", str(PROGRAMS / "traced.py")],
            env={
                **os.environ,
                **asked,
                "SQUALL_SERVER_URL": server.ready["url"],
                "SQUALL_CREDENTIALS": server.ready["credentials"],
            },
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == ["as it should", "b'2'"]
    finally:
        server.stop()
    yield spans_of(file)


def one(spans: list[Span], name: str, **wanted: str) -> Span:
    fitting = [s for s in spans if s.name == name and wanted.items() <= s._asdict().items()]
    assert len(fitting) == 1, (name, wanted, [(s.name, s.trace, s.parent) for s in spans])
    return fitting[0]


def test_a_call_is_one_trace_through_client_services_and_containers(spans: list[Span]) -> None:
    root = one(spans, "remote outer")
    assert (root.service, root.parent) == ("squall.client", "")
    run = one(spans, "run outer", trace=root.trace)
    assert (run.service, run.parent) == ("squall.guest", root.own)
    assert run.seen["attributes"]["squall.call_id"] == root.seen["attributes"]["squall.call_id"]
    nested = one(spans, "remote inner", parent=run.own)
    assert (nested.service, nested.trace) == ("squall.guest", root.trace)
    assert one(spans, "run inner", trace=root.trace).parent == nested.own
    steps = {s.name: s for s in spans if s.parent == root.own and s.name.startswith("container.")}
    assert {name: step.service for name, step in steps.items()} == {
        "container.place": "squall.scheduler",
        "container.start": "squall.runner",
        "container.prepare": "squall.guest",
    }
    assert steps["container.prepare"].seen["end_time"] <= run.seen["start_time"]
    assert run.seen["end_time"] <= root.seen["end_time"]


def test_every_input_of_a_map_is_below_it(spans: list[Span]) -> None:
    root = one(spans, "map inner")
    runs = [s for s in spans if s.name == "run inner" and s.parent == root.own]
    assert len(runs) == 3


def test_a_failure_is_told(spans: list[Span]) -> None:
    for name in ("remote fails", "run fails"):
        status = one(spans, name).seen["status"]
        assert status["status_code"] == "ERROR"
        assert "as it should" in status["description"]


def test_a_web_request_goes_on_with_the_trace_it_came_with(spans: list[Span]) -> None:
    request = one(spans, "GET site")
    assert (request.service, request.trace, request.parent) == (
        "squall.gateway", "ab" * 16, "cd" * 8,
    )  # fmt: skip
    assert request.seen["attributes"]["http.response.status_code"] == "200"
    run = one(spans, "run site", trace=request.trace)
    assert run.parent == request.own


def test_what_the_variables_ask_for_is_made_or_named() -> None:
    assert not wanted({})
    assert not wanted({"OTEL_TRACES_EXPORTER": "none"})
    assert not wanted({"OTEL_TRACES_EXPORTER": "console", "OTEL_SDK_DISABLED": "true"})
    assert wanted({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"})
    with pytest.raises(TracingError, match="'zipkin' is not one of otlp, console, file, none"):
        Tracing("test", {"OTEL_TRACES_EXPORTER": "zipkin"})
    with pytest.raises(TracingError, match="SQUALL_TRACES_FILE"):
        Tracing("test", {"OTEL_TRACES_EXPORTER": "file"})
